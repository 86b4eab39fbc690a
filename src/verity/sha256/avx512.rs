//! AVX-512: sixteen blocks at a time.
//!
//! Its rotation and its three-operand logic make a round 17 instructions.
// One index for several arrays is what makes these loops readable.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    lanes::{digest_lanes, sixteen_rounds},
    run::Group,
    salted::{Chunk, ROUND_CONSTANTS, Salted, to_digest},
};

digest_lanes!("avx512f,avx512bw", __m512i, 16);

/// The words of sixteen chunks: vector `i` has word `i` of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(chunks: [&Chunk; 16]) -> [__m512i; 16] {
    // Quarter q of chunks l, l + 4, l + 8 and l + 12 makes rows[q][l]. The four
    // quarters of a chunk are read together: blocks of 4096 bytes compete for
    // the same eight lines of the cache.
    let mut rows = [[_mm512_setzero_si512(); 4]; 4];
    for l in 0..4 {
        let quarters = |n: usize| -> [[u8; 16]; 4] { transmute!(*chunks[n]) };
        let (c0, c1, c2, c3) = (
            quarters(l),
            quarters(l + 4),
            quarters(l + 8),
            quarters(l + 12),
        );
        for q in 0..4 {
            rows[q][l] = _mm512_castsi128_si512(transmute!(c0[q]));
        }
        for q in 0..4 {
            rows[q][l] = _mm512_inserti32x4::<1>(rows[q][l], transmute!(c1[q]));
        }
        for q in 0..4 {
            rows[q][l] = _mm512_inserti32x4::<2>(rows[q][l], transmute!(c2[q]));
        }
        for q in 0..4 {
            rows[q][l] = _mm512_inserti32x4::<3>(rows[q][l], transmute!(c3[q]));
        }
    }
    let big_endian =
        _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203));
    let mut words = [_mm512_setzero_si512(); 16];
    for q in 0..4 {
        // Four words of four chunks in each 128 bits: transposed, a word's four
        // lanes come together there, and those of all sixteen chunks in order.
        let [r0, r1, r2, r3] = rows[q];
        let (r0, r1) = (
            _mm512_shuffle_epi8(r0, big_endian),
            _mm512_shuffle_epi8(r1, big_endian),
        );
        let (r2, r3) = (
            _mm512_shuffle_epi8(r2, big_endian),
            _mm512_shuffle_epi8(r3, big_endian),
        );
        let (low01, high01) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
        let (low23, high23) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
        words[4 * q] = _mm512_unpacklo_epi64(low01, low23);
        words[4 * q + 1] = _mm512_unpackhi_epi64(low01, low23);
        words[4 * q + 2] = _mm512_unpacklo_epi64(high01, high23);
        words[4 * q + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
    words
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(x: u32) -> __m512i {
    _mm512_set1_epi32(x.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(x: __m512i, y: __m512i) -> __m512i {
    _mm512_add_epi32(x, y)
}

/// `x` where it has ones selects `y`, where zeros `z`. The last number of a
/// ternary operation is its truth table.
#[inline]
#[target_feature(enable = "avx512f")]
fn choose(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn majority(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xe8>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(x: __m512i, y: __m512i, z: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn big_sigma0(x: __m512i) -> __m512i {
    xor(
        _mm512_ror_epi32::<2>(x),
        _mm512_ror_epi32::<13>(x),
        _mm512_ror_epi32::<22>(x),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn big_sigma1(x: __m512i) -> __m512i {
    xor(
        _mm512_ror_epi32::<6>(x),
        _mm512_ror_epi32::<11>(x),
        _mm512_ror_epi32::<25>(x),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn small_sigma0(x: __m512i) -> __m512i {
    xor(
        _mm512_ror_epi32::<7>(x),
        _mm512_ror_epi32::<18>(x),
        _mm512_srli_epi32::<3>(x),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn small_sigma1(x: __m512i) -> __m512i {
    xor(
        _mm512_ror_epi32::<17>(x),
        _mm512_ror_epi32::<19>(x),
        _mm512_srli_epi32::<10>(x),
    )
}
