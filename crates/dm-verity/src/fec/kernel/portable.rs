//! Plain code that a compiler turns into the vectors that every CPU of the architecture has.

use super::super::field;

/// As many bytes are multiplied side by side.
const LANES: usize = 64;

/// Adds `data`, multiplied by each coefficient, to the plane of that coefficient.
pub(super) fn multiply_add<const PLANES: usize>(
    coefficients: [u8; PLANES],
    data: &[u8],
    mut planes: [&mut [u8]; PLANES],
) {
    let (chunks, tail) = data.as_chunks::<LANES>();
    for (n, chunk) in chunks.iter().enumerate() {
        let mut multiple = *chunk;
        let mut sums = [[0; LANES]; PLANES];
        for bit in 0..8 {
            for p in 0..PLANES {
                let mask = 0u8.wrapping_sub(coefficients[p] >> bit & 1);
                for lane in 0..LANES {
                    sums[p][lane] ^= multiple[lane] & mask;
                }
            }
            for byte in &mut multiple {
                *byte = field::times_alpha(*byte);
            }
        }
        for p in 0..PLANES {
            let bytes = &mut planes[p].as_chunks_mut::<LANES>().0[n];
            for lane in 0..LANES {
                bytes[lane] ^= sums[p][lane];
            }
        }
    }
    let done = data.len() - tail.len();
    for (plane, coefficient) in planes.iter_mut().zip(coefficients) {
        for (byte, other) in plane[done..].iter_mut().zip(tail) {
            *byte ^= field::multiply(coefficient, *other);
        }
    }
}
