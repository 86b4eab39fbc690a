//! SSSE3: as AVX2, for 16 bytes at a time.

use core::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    portable,
    tables::NIBBLES,
    vectors::{VECTORS, sweep},
};

sweep!("ssse3", __m128i, 16);

/// The products of low and high half bytes.
#[inline]
#[target_feature(enable = "ssse3")]
fn multiplier(coefficient: u8) -> [__m128i; 2] {
    transmute!(NIBBLES[usize::from(coefficient)])
}

#[inline]
#[target_feature(enable = "ssse3")]
fn product([low, high]: [__m128i; 2], bytes: __m128i) -> __m128i {
    let mask = _mm_set1_epi8(0x0f);
    let low_half = _mm_and_si128(bytes, mask);
    let high_half = _mm_and_si128(_mm_srli_epi64::<4>(bytes), mask);
    xor(
        _mm_shuffle_epi8(low, low_half),
        _mm_shuffle_epi8(high, high_half),
    )
}

#[inline]
#[target_feature(enable = "ssse3")]
fn xor(a: __m128i, b: __m128i) -> __m128i {
    _mm_xor_si128(a, b)
}
