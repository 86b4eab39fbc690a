//! GFNI on vectors of 32 bytes, for CPUs without AVX-512.

use core::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    portable,
    tables::MATRICES,
    vectors::{VECTORS, sweep},
};

sweep!("gfni,avx2", __m256i, 32);

#[inline]
#[target_feature(enable = "avx2")]
fn multiplier(coefficient: u8) -> __m256i {
    _mm256_set1_epi64x(MATRICES[usize::from(coefficient)].cast_signed())
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn product(multiplier: __m256i, bytes: __m256i) -> __m256i {
    _mm256_gf2p8affine_epi64_epi8::<0>(bytes, multiplier)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}
