//! The schedule of SHA-256 for CPUs with instructions of its own, which do four rounds and make
//! four words at a time: x86-64's and ARM's differ in what these are called, and in nothing else.

/// Defines `take_in`, which takes in chunks of messages, with what the caller's module has of its
/// instruction set: `load`, `four_rounds`, `next_words` and `add`.
///
/// A macro and no generic function: what has a `target_feature` cannot be a method of a trait, and
/// what has none is not inlined with the instructions.
macro_rules! compression {
    ($features:literal, $states:ident, $prefetch:ident) => {
        /// Takes in all chunks of the messages, which have as many each. Those `ahead` of them,
        /// which are next, may be fetched meanwhile.
        #[target_feature(enable = $features)]
        fn take_in<const N: usize>(states: &mut $states<N>, messages: [&[Chunk]; N], ahead: usize) {
            let mut s = *states;
            for i in 0..messages[0].len() {
                let chunks = messages.map(|message| &message[i]);
                $prefetch(chunks, ahead);
                compress(&mut s, chunks);
            }
            *states = s;
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn compress<const N: usize>(states: &mut $states<N>, chunks: [&Chunk; N]) {
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
            add(states, &before);
        }
    };
}

pub(super) use compression;
