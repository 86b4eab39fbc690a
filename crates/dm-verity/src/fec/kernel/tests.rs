//! Every backend that the CPU has against products one by one.

use super::{super::field, FecBackend};

/// What is taken at a time with the widest vectors, twice, and a part of it.
const LENGTH: usize = 2 * 128 + 127;

fn some_bytes(size: usize, seed: usize) -> Vec<u8> {
    let number = |i: usize| (i + seed * 977).wrapping_mul(2_654_435_761) >> 24;
    (0..size).map(|i| number(i) as u8).collect()
}

/// Adds to planes that have bytes of their own before and after, which must stay.
#[track_caller]
fn check(coefficients: &[u8], data: &[u8], at: usize) {
    let stride = at + data.len() + 5;
    let before = some_bytes(coefficients.len() * stride, 1);
    let mut expected = before.clone();
    for (plane, coefficient) in coefficients.iter().enumerate() {
        for (n, byte) in data.iter().enumerate() {
            expected[plane * stride + at + n] ^= field::multiply(*coefficient, *byte);
        }
    }
    for backend in FecBackend::supported() {
        let mut planes = before.clone();
        backend.multiply_add(coefficients, data, &mut planes, stride, at);
        let count = coefficients.len();
        assert!(planes == expected, "{backend}, {count} planes at {at}");
    }
}

#[test]
fn all_products() {
    let data: Vec<u8> = (0..=255).collect();
    for coefficient in 0..=255 {
        check(&[coefficient], &data, 0);
    }
}

#[test]
fn any_number_of_planes() {
    for count in 0..=24 {
        check(&some_bytes(count, count), &some_bytes(LENGTH, 3), 0);
    }
}

#[test]
fn any_length() {
    let data = some_bytes(LENGTH, 4);
    for length in 0..=LENGTH {
        check(&[7, 1, 255], &data[..length], 0);
    }
}

#[test]
fn any_place() {
    let data = some_bytes(LENGTH + 64, 5);
    for offset in 0..64 {
        check(&[9, 0, 130], &data[offset..][..LENGTH], 63 - offset);
    }
}

/// An emulator that is to have some instructions has them: they were compared.
#[test]
fn backends_that_are_expected() {
    let supported: Vec<_> = FecBackend::supported().map(FecBackend::name).collect();
    let expected = std::env::var("EXPECTED_FEC_BACKENDS").unwrap_or_default();
    for name in expected.split_whitespace() {
        assert!(supported.contains(&name), "{name} is not in {supported:?}");
    }
}
