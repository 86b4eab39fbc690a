//! x86-64's SHA instructions (SHA-NI), `N` blocks at a time.
//!
//! `sha256rnds2` takes four cycles, but a new one can start every two: one
//! message alone leaves the unit idle half of the time. Two, each step done for
//! one and then for the other, fill it; four gained 1 %.
//!
//! The instructions hold the state in two registers, words a, b, e, f in one
//! and c, d, g, h in the other, the first of them topmost.
// One index for several arrays is what makes these loops readable.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    prefetch::prefetch,
    run::Group,
    salted::{Chunk, ROUND_CONSTANTS, Salted, to_digest},
};

/// The states of `N` messages.
#[derive(Clone, Copy)]
struct States<const N: usize> {
    abef: [__m128i; N],
    cdgh: [__m128i; N],
}

#[target_feature(enable = "sha,avx")]
pub(super) fn digest<const N: usize>(salted: &Salted, group: Group<'_, N>) {
    let [a, b, c, d, e, f, g, h] = salted.state();
    let mut states = States {
        abef: [transmute!([f, e, b, a]); N],
        cdgh: [transmute!([h, g, d, c]); N],
    };
    let ahead = group.bytes();
    salted.each_run(&group, |messages| take_in(&mut states, messages, ahead));
    for n in 0..N {
        let [f, e, b, a]: [u32; 4] = transmute!(states.abef[n]);
        let [h, g, d, c]: [u32; 4] = transmute!(states.cdgh[n]);
        group.digests[n] = to_digest([a, b, c, d, e, f, g, h]);
    }
}

/// Takes in all chunks of the messages, which have as many each. Those `ahead` of them, which are
/// next, are fetched meanwhile.
#[target_feature(enable = "sha,avx")]
fn take_in<const N: usize>(states: &mut States<N>, messages: [&[Chunk]; N], ahead: usize) {
    let mut s = *states;
    for i in 0..messages[0].len() {
        let chunks = messages.map(|message| &message[i]);
        for chunk in chunks {
            prefetch::<_MM_HINT_T0>(chunk, ahead);
        }
        compress(&mut s, chunks);
    }
    *states = s;
}

#[inline]
#[target_feature(enable = "sha,avx")]
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
        states.abef[n] = _mm_add_epi32(states.abef[n], before.abef[n]);
        states.cdgh[n] = _mm_add_epi32(states.cdgh[n], before.cdgh[n]);
    }
}

/// The 16 words of each message's chunk, four to a register.
#[inline]
#[target_feature(enable = "avx")]
fn load<const N: usize>(chunks: [&Chunk; N]) -> [[__m128i; N]; 4] {
    let big_endian = _mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203);
    let mut w = [[_mm_setzero_si128(); N]; 4];
    for n in 0..N {
        let quarters: [[u8; 16]; 4] = transmute!(*chunks[n]);
        for q in 0..4 {
            w[q][n] = _mm_shuffle_epi8(transmute!(quarters[q]), big_endian);
        }
    }
    w
}

/// Four rounds of each message, with the words `w` and the constants `k`.
#[inline]
#[target_feature(enable = "sha,avx")]
fn four_rounds<const N: usize>(states: &mut States<N>, w: &[__m128i; N], k: [u32; 4]) {
    let k = transmute!(k);
    for n in 0..N {
        let wk = _mm_add_epi32(w[n], k);
        // Two rounds turn a, b, e, f into c, d, g, h: the registers swap roles.
        states.cdgh[n] = _mm_sha256rnds2_epu32(states.cdgh[n], states.abef[n], wk);
        let wk = _mm_shuffle_epi32::<0b1110>(wk);
        states.abef[n] = _mm_sha256rnds2_epu32(states.abef[n], states.cdgh[n], wk);
    }
}

/// The four words after the 16 in `w0` to `w3`.
#[inline]
#[target_feature(enable = "sha,avx")]
fn next_words<const N: usize>(
    w0: &[__m128i; N],
    w1: &[__m128i; N],
    w2: &[__m128i; N],
    w3: &[__m128i; N],
) -> [__m128i; N] {
    let mut next = [_mm_setzero_si128(); N];
    for n in 0..N {
        let sum = _mm_add_epi32(
            _mm_sha256msg1_epu32(w0[n], w1[n]),
            _mm_alignr_epi8::<4>(w3[n], w2[n]),
        );
        next[n] = _mm_sha256msg2_epu32(sum, w3[n]);
    }
    next
}
