//! GFNI on vectors of 64 bytes.

use core::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    portable,
    tables::MATRICES,
    vectors::{VECTORS, sweep},
};

sweep!("gfni,avx512f", __m512i, 64);

#[inline]
#[target_feature(enable = "avx512f")]
fn multiplier(coefficient: u8) -> __m512i {
    _mm512_set1_epi64(MATRICES[usize::from(coefficient)].cast_signed())
}

#[inline]
#[target_feature(enable = "gfni,avx512f")]
fn product(multiplier: __m512i, bytes: __m512i) -> __m512i {
    _mm512_gf2p8affine_epi64_epi8::<0>(bytes, multiplier)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i) -> __m512i {
    _mm512_xor_si512(a, b)
}
