//! AVX-512: sixteen blocks at a time.
//!
//! With its rotations and its three-operand logic a round is 17 instructions.
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

digest_lanes!("avx512f,avx512bw", __m512i, 16);

/// Words `4 * q` to `4 * q + 3` of sixteen chunks: a vector has a word of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(chunks: [&Chunk; 16], q: usize) -> [__m512i; 4] {
    let big_endian =
        _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203));
    let mut rows = [_mm512_setzero_si512(); 4];
    for l in 0..4 {
        let quarter = |n: usize| -> [u8; 16] { chunks[n].as_chunks::<16>().0[q] };
        let row = _mm512_castsi128_si512(transmute!(quarter(l)));
        let row = _mm512_inserti32x4::<1>(row, transmute!(quarter(l + 4)));
        let row = _mm512_inserti32x4::<2>(row, transmute!(quarter(l + 8)));
        let row = _mm512_inserti32x4::<3>(row, transmute!(quarter(l + 12)));
        rows[l] = _mm512_shuffle_epi8(row, big_endian);
    }
    // Four words of four chunks in each 128 bits: transposed, a word's four
    // lanes come together there, and those of all sixteen chunks in order.
    let [r0, r1, r2, r3] = rows;
    let (low01, high01) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
    let (low23, high23) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
    [
        _mm512_unpacklo_epi64(low01, low23),
        _mm512_unpackhi_epi64(low01, low23),
        _mm512_unpacklo_epi64(high01, high23),
        _mm512_unpackhi_epi64(high01, high23),
    ]
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

/// Ones in `x` select `y`, zeros select `z`. The number is the truth table.
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
