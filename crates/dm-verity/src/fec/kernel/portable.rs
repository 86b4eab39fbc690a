//! Plain code for any CPU: eight bytes in a word, and as many words side by side as a compiler may turn
//! into vectors. It does not count on that: in a program that is built small there are none.

use super::super::field::{self, POLYNOMIAL};

/// As many words are multiplied side by side.
const WORDS: usize = 4;

/// As many bytes are in a word.
const LANES: usize = size_of::<u64>();

/// Adds `data`, multiplied by each coefficient, to the plane of that coefficient.
pub(super) fn multiply_add<const PLANES: usize>(
    coefficients: [u8; PLANES],
    data: &[u8],
    mut planes: [&mut [u8]; PLANES],
) {
    let (chunks, tail) = data.as_chunks::<{ WORDS * LANES }>();
    for (n, chunk) in chunks.iter().enumerate() {
        let mut multiple = words(chunk);
        let mut sums = [[0; WORDS]; PLANES];
        for bit in 0..8 {
            for (sum, coefficient) in sums.iter_mut().zip(coefficients) {
                let mask = 0u64.wrapping_sub(u64::from(coefficient >> bit & 1));
                for word in 0..WORDS {
                    sum[word] ^= multiple[word] & mask;
                }
            }
            multiple = multiple.map(each_times_alpha);
        }
        for (plane, sum) in planes.iter_mut().zip(sums) {
            let bytes = &mut plane.as_chunks_mut::<{ WORDS * LANES }>().0[n];
            let before = words(bytes);
            for word in 0..WORDS {
                let after = before[word] ^ sum[word];
                bytes.as_chunks_mut::<LANES>().0[word] = after.to_ne_bytes();
            }
        }
    }
    let done = data.len() - tail.len();
    for (plane, coefficient) in planes.iter_mut().zip(coefficients) {
        for (byte, other) in plane[done..].iter_mut().zip(tail) {
            *byte ^= field::multiply(coefficient, *other);
        }
    }
}

fn words(bytes: &[u8; WORDS * LANES]) -> [u64; WORDS] {
    let (words, _) = bytes.as_chunks::<LANES>();
    core::array::from_fn(|word| u64::from_ne_bytes(words[word]))
}

/// The product of each byte of a word with x.
fn each_times_alpha(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; LANES]);
    let carried = word >> 7 & EACH;
    // All bits of the bytes that carry.
    let mask = (carried << 8).wrapping_sub(carried);
    ((word & !(EACH << 7)) << 1) ^ (mask & (EACH * POLYNOMIAL as u64))
}
