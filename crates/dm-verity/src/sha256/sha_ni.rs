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

use core::arch::x86_64::*;

use zerocopy::transmute;

use super::{
    instructions::compression,
    prefetch::prefetch,
    run::BlockGroup,
    salted::{Chunk, ROUND_CONSTANTS, Salted, to_digest},
};

/// The states of `N` messages.
#[derive(Clone, Copy)]
struct ShaNiStates<const N: usize> {
    abef: [__m128i; N],
    cdgh: [__m128i; N],
}

#[target_feature(enable = "sha,avx")]
pub(super) fn digest<const N: usize>(salted: &Salted, group: BlockGroup<'_, N>) {
    let [a, b, c, d, e, f, g, h] = salted.state();
    let mut states = ShaNiStates {
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

compression!("sha,avx", ShaNiStates, prefetch_group);

/// Fetches what lies `ahead` of the chunks, which is hashed next.
#[inline]
fn prefetch_group<const N: usize>(chunks: [&Chunk; N], ahead: usize) {
    for chunk in chunks {
        prefetch::<_MM_HINT_T0>(chunk, ahead);
    }
}

/// Adds the words of one state to those of another.
#[inline]
#[target_feature(enable = "sha,avx")]
fn add<const N: usize>(states: &mut ShaNiStates<N>, before: &ShaNiStates<N>) {
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
fn four_rounds<const N: usize>(states: &mut ShaNiStates<N>, w: &[__m128i; N], k: [u32; 4]) {
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
