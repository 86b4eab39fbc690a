//! AVX2: products of half bytes are looked up by a shuffle, for 32 bytes at a time.

use core::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    portable,
    tables::NIBBLES,
    vectors::{VECTORS, sweep},
};

sweep!("avx2", __m256i, 32);

/// The products of low and high half bytes, in both halves of the vector.
#[inline]
#[target_feature(enable = "avx2")]
fn multiplier(coefficient: u8) -> [__m256i; 2] {
    let [low, high] = NIBBLES[usize::from(coefficient)];
    [
        _mm256_broadcastsi128_si256(transmute!(low)),
        _mm256_broadcastsi128_si256(transmute!(high)),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn product([low, high]: [__m256i; 2], bytes: __m256i) -> __m256i {
    let mask = _mm256_set1_epi8(0x0f);
    let low_half = _mm256_and_si256(bytes, mask);
    let high_half = _mm256_and_si256(_mm256_srli_epi64::<4>(bytes), mask);
    xor(
        _mm256_shuffle_epi8(low, low_half),
        _mm256_shuffle_epi8(high, high_half),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}
