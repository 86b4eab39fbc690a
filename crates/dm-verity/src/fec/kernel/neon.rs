//! ARM's vectors: products of half bytes are looked up in a table, for 16 bytes at a time.

use core::arch::aarch64::*;

use zerocopy::transmute;

use super::{
    portable,
    tables::NIBBLES,
    vectors::{VECTORS, sweep},
};

sweep!("neon", uint8x16_t, 16);

/// The products of low and high half bytes.
#[inline]
#[target_feature(enable = "neon")]
fn multiplier(coefficient: u8) -> [uint8x16_t; 2] {
    transmute!(NIBBLES[usize::from(coefficient)])
}

#[inline]
#[target_feature(enable = "neon")]
fn product([low, high]: [uint8x16_t; 2], bytes: uint8x16_t) -> uint8x16_t {
    let low_half = vandq_u8(bytes, vdupq_n_u8(0x0f));
    xor(
        vqtbl1q_u8(low, low_half),
        vqtbl1q_u8(high, vshrq_n_u8::<4>(bytes)),
    )
}

#[inline]
#[target_feature(enable = "neon")]
fn xor(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    veorq_u8(a, b)
}
