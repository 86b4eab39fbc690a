//! SHA-256 on vectors: lane `n` of every vector belongs to message `n`, and each
//! step is done for all messages at once.
//!
//! Macros, for each instruction set needs functions of its own, compiled with it
//! and named alike. The module that uses them brings the operations on its type
//! of vector: `splat`, `add`, `choose`, `majority`, the four sigmas (FIPS 180-4,
//! 4.1.2) and `load`, which gives a quarter of the words of all chunks.

/// `digest`, for groups of `$lanes` blocks, on vectors of type `$vector`.
macro_rules! digest_lanes {
    ($features:literal, $vector:ty, $lanes:literal) => {
        /// The digests of a group, one block to a lane.
        #[target_feature(enable = $features)]
        pub(super) fn digest(salted: &Salted, group: BlockGroup<'_, $lanes>) {
            let mut state = [splat(0); 8];
            for (vector, word) in state.iter_mut().zip(salted.state()) {
                *vector = splat(word);
            }
            let ahead = group.bytes();
            salted.each_run(&group, |messages| take_in(&mut state, messages, ahead));
            let words: [[u32; $lanes]; 8] = zerocopy::transmute!(state);
            for (n, digest) in group.digests.iter_mut().enumerate() {
                *digest = to_digest(words.map(|lanes| lanes[n]));
            }
        }

        /// Takes in all chunks of the messages, which have as many each. Those `ahead` of
        /// them, which are next, are fetched meanwhile: too many for the innermost cache.
        #[target_feature(enable = $features)]
        fn take_in(state: &mut [$vector; 8], messages: [&[Chunk]; $lanes], ahead: usize) {
            let mut s = *state;
            for i in 0..messages[0].len() {
                let chunks = messages.map(|message| &message[i]);
                for chunk in chunks {
                    prefetch::<_MM_HINT_T1>(chunk, ahead);
                }
                compress(&mut s, chunks);
            }
            *state = s;
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn compress(state: &mut [$vector; 8], chunks: [&Chunk; $lanes]) {
            let mut w = [splat(0); 16];
            let (constants, _) = ROUND_CONSTANTS.as_chunks::<16>();
            let mut s = *state;
            sixteen_rounds!(s, constants[0], |n| {
                if n % 4 == 0 {
                    w[n..n + 4].copy_from_slice(&load(chunks, n / 4));
                }
                w[n]
            });
            for k in &constants[1..] {
                sixteen_rounds!(s, k, |n| {
                    let (w1, w9, w14) = (w[(n + 1) % 16], w[(n + 9) % 16], w[(n + 14) % 16]);
                    w[n] = add(add(w[n], small_sigma0(w1)), add(w9, small_sigma1(w14)));
                    w[n]
                });
            }
            for (sum, word) in state.iter_mut().zip(s) {
                *sum = add(*sum, word);
            }
        }
    };
}

/// Sixteen rounds on the state `$s` with the constants `$k`; the expression
/// gives word `$n`. Names change places, not values: after eight rounds each is
/// where it was.
macro_rules! sixteen_rounds {
    ($s:ident, $k:expr, |$n:ident| $word:expr) => {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = $s;
        sixteen_rounds!(@eight a b c d e f g h, $k, |$n| $word, 0 1 2 3 4 5 6 7);
        sixteen_rounds!(@eight a b c d e f g h, $k, |$n| $word, 8 9 10 11 12 13 14 15);
        $s = [a, b, c, d, e, f, g, h];
    };
    (@eight $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident,
     $k:expr, |$n:ident| $word:expr, $i0:literal $i1:literal $i2:literal $i3:literal
     $i4:literal $i5:literal $i6:literal $i7:literal) => {
        sixteen_rounds!(@one $a $b $c $d $e $f $g $h, $k, |$n| $word, $i0);
        sixteen_rounds!(@one $h $a $b $c $d $e $f $g, $k, |$n| $word, $i1);
        sixteen_rounds!(@one $g $h $a $b $c $d $e $f, $k, |$n| $word, $i2);
        sixteen_rounds!(@one $f $g $h $a $b $c $d $e, $k, |$n| $word, $i3);
        sixteen_rounds!(@one $e $f $g $h $a $b $c $d, $k, |$n| $word, $i4);
        sixteen_rounds!(@one $d $e $f $g $h $a $b $c, $k, |$n| $word, $i5);
        sixteen_rounds!(@one $c $d $e $f $g $h $a $b, $k, |$n| $word, $i6);
        sixteen_rounds!(@one $b $c $d $e $f $g $h $a, $k, |$n| $word, $i7);
    };
    (@one $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident,
     $k:expr, |$n:ident| $word:expr, $i:literal) => {
        let word = { let $n: usize = $i; $word };
        let t = add(add(add($h, add(word, splat($k[$i]))), choose($e, $f, $g)), big_sigma1($e));
        $d = add($d, t);
        $h = add(add(t, majority($a, $b, $c)), big_sigma0($a));
    };
}

pub(super) use {digest_lanes, sixteen_rounds};
