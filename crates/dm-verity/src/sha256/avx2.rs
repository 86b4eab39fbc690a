//! AVX2: eight blocks at a time, for CPUs without SHA-NI.
// One index for several arrays is what makes these loops readable.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    lanes::{digest_lanes, sixteen_rounds},
    prefetch::prefetch,
    run::BlockGroup,
    salted::{Chunk, ROUND_CONSTANTS, Salted, to_digest},
};

digest_lanes!("avx2", __m256i, 8);

/// Words `4 * q` to `4 * q + 3` of eight chunks: a vector has a word of each.
#[inline]
#[target_feature(enable = "avx2")]
fn load(chunks: [&Chunk; 8], q: usize) -> [__m256i; 4] {
    let big_endian =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203));
    let mut rows = [_mm256_setzero_si256(); 4];
    for l in 0..4 {
        let quarter = |n: usize| -> [u8; 16] { chunks[n].as_chunks::<16>().0[q] };
        let row = _mm256_set_m128i(transmute!(quarter(l + 4)), transmute!(quarter(l)));
        rows[l] = _mm256_shuffle_epi8(row, big_endian);
    }
    // Four words of four chunks in each 128 bits: transposed, a word's four
    // lanes come together there, and those of all eight chunks in order.
    let [r0, r1, r2, r3] = rows;
    let (low01, high01) = (_mm256_unpacklo_epi32(r0, r1), _mm256_unpackhi_epi32(r0, r1));
    let (low23, high23) = (_mm256_unpacklo_epi32(r2, r3), _mm256_unpackhi_epi32(r2, r3));
    [
        _mm256_unpacklo_epi64(low01, low23),
        _mm256_unpackhi_epi64(low01, low23),
        _mm256_unpacklo_epi64(high01, high23),
        _mm256_unpackhi_epi64(high01, high23),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(x: u32) -> __m256i {
    _mm256_set1_epi32(x.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(x: __m256i, y: __m256i) -> __m256i {
    _mm256_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx2")]
fn choose(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_and_si256(x, _mm256_xor_si256(y, z)), z)
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_and_si256(x, y),
        _mm256_and_si256(z, _mm256_or_si256(x, y)),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(x, y), z)
}

/// Rotates each lane to the right; AVX2 has shifts only.
macro_rules! rotate {
    ($x:expr, $bits:literal) => {
        _mm256_or_si256(
            _mm256_srli_epi32::<$bits>($x),
            _mm256_slli_epi32::<{ 32 - $bits }>($x),
        )
    };
}

#[inline]
#[target_feature(enable = "avx2")]
fn big_sigma0(x: __m256i) -> __m256i {
    xor(rotate!(x, 2), rotate!(x, 13), rotate!(x, 22))
}

#[inline]
#[target_feature(enable = "avx2")]
fn big_sigma1(x: __m256i) -> __m256i {
    xor(rotate!(x, 6), rotate!(x, 11), rotate!(x, 25))
}

#[inline]
#[target_feature(enable = "avx2")]
fn small_sigma0(x: __m256i) -> __m256i {
    xor(rotate!(x, 7), rotate!(x, 18), _mm256_srli_epi32::<3>(x))
}

#[inline]
#[target_feature(enable = "avx2")]
fn small_sigma1(x: __m256i) -> __m256i {
    xor(rotate!(x, 17), rotate!(x, 19), _mm256_srli_epi32::<10>(x))
}
