//! ARM's SHA-2 instructions, `N` blocks at a time: as with x86-64's, one message
//! alone leaves the unit idle while it waits for its own last result.
// One index for several arrays is what makes these loops readable.
#![allow(clippy::needless_range_loop)]

use core::arch::aarch64::*;

use zerocopy::transmute;

use super::{
    instructions::compression,
    run::BlockGroup,
    salted::{Chunk, ROUND_CONSTANTS, Salted, to_digest},
};

/// The states of `N` messages, the words in order.
#[derive(Clone, Copy)]
struct ArmStates<const N: usize> {
    abcd: [uint32x4_t; N],
    efgh: [uint32x4_t; N],
}

#[target_feature(enable = "sha2")]
pub(super) fn digest<const N: usize>(salted: &Salted, group: BlockGroup<'_, N>) {
    let [abcd, efgh]: [[u32; 4]; 2] = transmute!(salted.state());
    let mut states = ArmStates {
        abcd: [transmute!(abcd); N],
        efgh: [transmute!(efgh); N],
    };
    let ahead = group.bytes();
    salted.each_run(&group, |messages| take_in(&mut states, messages, ahead));
    for n in 0..N {
        group.digests[n] = to_digest(transmute!([states.abcd[n], states.efgh[n]]));
    }
}

compression!("sha2", ArmStates, no_prefetch);

/// ARM's own prefetcher keeps up.
#[inline]
fn no_prefetch<const N: usize>(_chunks: [&Chunk; N], _ahead: usize) {}

/// Adds the words of one state to those of another.
#[inline]
#[target_feature(enable = "sha2")]
fn add<const N: usize>(states: &mut ArmStates<N>, before: &ArmStates<N>) {
    for n in 0..N {
        states.abcd[n] = vaddq_u32(states.abcd[n], before.abcd[n]);
        states.efgh[n] = vaddq_u32(states.efgh[n], before.efgh[n]);
    }
}

/// The 16 words of each message's chunk, four to a register.
#[inline]
#[target_feature(enable = "sha2")]
fn load<const N: usize>(chunks: [&Chunk; N]) -> [[uint32x4_t; N]; 4] {
    let mut w = [[vdupq_n_u32(0); N]; 4];
    for n in 0..N {
        let quarters: [[u8; 16]; 4] = transmute!(*chunks[n]);
        for q in 0..4 {
            w[q][n] = vreinterpretq_u32_u8(vrev32q_u8(transmute!(quarters[q])));
        }
    }
    w
}

/// Four rounds of each message, with the words `w` and the constants `k`.
#[inline]
#[target_feature(enable = "sha2")]
fn four_rounds<const N: usize>(states: &mut ArmStates<N>, w: &[uint32x4_t; N], k: [u32; 4]) {
    let k = transmute!(k);
    for n in 0..N {
        let wk = vaddq_u32(w[n], k);
        let abcd = states.abcd[n];
        states.abcd[n] = vsha256hq_u32(abcd, states.efgh[n], wk);
        states.efgh[n] = vsha256h2q_u32(states.efgh[n], abcd, wk);
    }
}

/// The four words after the 16 in `w0` to `w3`.
#[inline]
#[target_feature(enable = "sha2")]
fn next_words<const N: usize>(
    w0: &[uint32x4_t; N],
    w1: &[uint32x4_t; N],
    w2: &[uint32x4_t; N],
    w3: &[uint32x4_t; N],
) -> [uint32x4_t; N] {
    let mut next = [vdupq_n_u32(0); N];
    for n in 0..N {
        next[n] = vsha256su1q_u32(vsha256su0q_u32(w0[n], w1[n]), w2[n], w3[n]);
    }
    next
}
