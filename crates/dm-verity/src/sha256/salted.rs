//! What all backends share: the state that the salt leaves, and how a salt and a
//! block are cut into the chunks of 64 bytes that SHA-256 takes in.
//!
//! ```text
//!   salt … | salt, block | block … | block, padding
//!   state  | head        | body    | tail (one chunk or two)
//! ```
//!
//! The whole chunks of a salt are the same for every block: they are taken in
//! once. The 0 to 63 bytes that are left over shift each block against its
//! chunks. So its head and tail are put together in a buffer, and everything
//! between is read where it is.

use sha2::block_api::compress256;

use super::run::BlockGroup;

/// What SHA-256 takes in at once.
pub(super) type Chunk = [u8; CHUNK];

const CHUNK: usize = 64;

/// The state of SHA-256: eight words.
pub(super) type State = [u32; 8];

/// The state before any chunk (FIPS 180-4, 5.3.3).
const INITIAL: State = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// The constants of the 64 rounds (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
pub(super) static ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// SHA-256 with a salt taken in, as far as that goes without the block.
#[derive(Clone)]
pub(crate) struct Salted {
    state: State,
    /// The bytes of the salt after its whole chunks, and zeros.
    rest: Chunk,
    rest_len: usize,
    salt_len: usize,
}

impl Salted {
    pub(crate) fn new(salt: &[u8]) -> Self {
        let (chunks, rest_of_salt) = salt.as_chunks();
        let mut state = INITIAL;
        compress256(&mut state, chunks);
        let mut rest = [0; CHUNK];
        rest[..rest_of_salt.len()].copy_from_slice(rest_of_salt);
        Self {
            state,
            rest,
            rest_len: rest_of_salt.len(),
            salt_len: salt.len(),
        }
    }

    /// The state in which every block starts.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// All chunks of `N` blocks in order, in runs of as many for each block:
    /// heads, bodies, tails.
    #[inline]
    pub(super) fn each_run<const N: usize>(
        &self,
        group: &BlockGroup<'_, N>,
        mut take: impl FnMut([&[Chunk]; N]),
    ) {
        let blocks = group.blocks();
        let heads = blocks.map(|block| self.head(block));
        take(heads.each_ref().map(core::slice::from_ref));
        take(blocks.map(|block| self.body(block)));
        let tails = blocks.map(|block| self.tail(block));
        take(tails.each_ref().map(|tail| &tail[..self.tail_chunks()]));
    }

    /// The rest of the salt and the first bytes of the block.
    fn head(&self, block: &[u8]) -> Chunk {
        let mut head = self.rest;
        head[self.rest_len..].copy_from_slice(&block[..CHUNK - self.rest_len]);
        head
    }

    /// The chunks that are the block's alone. Block sizes are multiples of 64,
    /// so there is no remainder.
    fn body<'a>(&self, block: &'a [u8]) -> &'a [Chunk] {
        block[CHUNK - self.rest_len..block.len() - self.rest_len]
            .as_chunks()
            .0
    }

    /// The last bytes of the block and the padding (FIPS 180-4, 5.1.1).
    fn tail(&self, block: &[u8]) -> [Chunk; 2] {
        let mut tail = [[0; CHUNK]; 2];
        tail[0][..self.rest_len].copy_from_slice(&block[block.len() - self.rest_len..]);
        tail[0][self.rest_len] = 0x80;
        let bits = (self.salt_len + block.len()) as u64 * 8;
        tail[self.tail_chunks() - 1][CHUNK - 8..].copy_from_slice(&bits.to_be_bytes());
        tail
    }

    /// How many chunks of the tail count: the padding takes nine bytes.
    fn tail_chunks(&self) -> usize {
        if self.rest_len + 9 <= CHUNK { 1 } else { 2 }
    }
}

/// A state as a digest.
pub(super) fn to_digest(state: State) -> [u8; 32] {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}
