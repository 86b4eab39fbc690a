//! ARM's SHA-2 instructions, `N` blocks at a time: as with x86-64's, one message
//! alone leaves the unit idle while it waits for its own last result.
// One index for several arrays is what makes these loops readable.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;

use zerocopy::transmute;

use super::{
    run::Group,
    salted::{Chunk, ROUND_CONSTANTS, Salted, to_digest},
};

/// The states of `N` messages, the words in order.
#[derive(Clone, Copy)]
struct States<const N: usize> {
    abcd: [uint32x4_t; N],
    efgh: [uint32x4_t; N],
}

#[target_feature(enable = "sha2")]
pub(super) fn digest<const N: usize>(salted: &Salted, group: Group<'_, N>) {
    let [abcd, efgh]: [[u32; 4]; 2] = transmute!(salted.state());
    let mut states = States {
        abcd: [transmute!(abcd); N],
        efgh: [transmute!(efgh); N],
    };
    salted.each_run(&group, |messages| take_in(&mut states, messages));
    for n in 0..N {
        group.digests[n] = to_digest(transmute!([states.abcd[n], states.efgh[n]]));
    }
}

/// Takes in all chunks of the messages, which have as many each.
#[target_feature(enable = "sha2")]
fn take_in<const N: usize>(states: &mut States<N>, messages: [&[Chunk]; N]) {
    let mut s = *states;
    for i in 0..messages[0].len() {
        compress(&mut s, messages.map(|message| &message[i]));
    }
    *states = s;
}

#[inline]
#[target_feature(enable = "sha2")]
fn compress<const N: usize>(states: &mut States<N>, chunks: [&Chunk; N]) {
    let before = *states;
    let mut w = load(chunks);
    let (constants, _) = ROUND_CONSTANTS.as_chunks::<16>();
    for constants in &constants[..3] {
        let (k, _) = constants.as_chunks();
        four_rounds(states, &w[0], k[0]);
        w[0] = next_words(&w[0], &w[1], &w[2], &w[3]);
        four_rounds(states, &w[1], k[1]);
        w[1] = next_words(&w[1], &w[2], &w[3], &w[0]);
        four_rounds(states, &w[2], k[2]);
        w[2] = next_words(&w[2], &w[3], &w[0], &w[1]);
        four_rounds(states, &w[3], k[3]);
        w[3] = next_words(&w[3], &w[0], &w[1], &w[2]);
    }
    let (k, _) = constants[3].as_chunks();
    four_rounds(states, &w[0], k[0]);
    four_rounds(states, &w[1], k[1]);
    four_rounds(states, &w[2], k[2]);
    four_rounds(states, &w[3], k[3]);
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
fn four_rounds<const N: usize>(states: &mut States<N>, w: &[uint32x4_t; N], k: [u32; 4]) {
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
