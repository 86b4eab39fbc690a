//! Digests of blocks.

use sha2::{Digest as _, Sha256, Sha512};

use super::{BlockSize, Digest, HashAlgorithm, Salt, VerityParams};

/// Makes the digests of blocks: `H(salt ‖ block)`. Made once for a tree, it has
/// taken in the salt already.
#[derive(Clone)]
pub struct BlockHasher {
    state: State,
}

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl BlockHasher {
    /// A hasher for this algorithm and salt.
    pub fn new(algorithm: HashAlgorithm, salt: &Salt) -> Self {
        let salt = salt.as_bytes();
        let state = match algorithm {
            HashAlgorithm::Sha256 => State::Sha256(Sha256::new_with_prefix(salt)),
            HashAlgorithm::Sha512 => State::Sha512(Sha512::new_with_prefix(salt)),
        };
        Self { state }
    }

    /// A hasher for a tree with these parameters.
    pub fn for_params(params: &VerityParams) -> Self {
        Self::new(params.algorithm(), params.salt())
    }

    /// What the digests are made with.
    pub fn algorithm(&self) -> HashAlgorithm {
        match self.state {
            State::Sha256(_) => HashAlgorithm::Sha256,
            State::Sha512(_) => HashAlgorithm::Sha512,
        }
    }

    /// The digest of one block of any size.
    pub fn digest(&self, block: &[u8]) -> Digest {
        let mut bytes = [0; 64];
        let bytes = &mut bytes[..self.algorithm().digest_size()];
        self.digest_into(block, bytes);
        Digest::new(self.algorithm(), bytes)
    }

    /// The digests of many blocks of one size, one after the other.
    ///
    /// # Panics
    ///
    /// When `blocks` is not a whole number of blocks, or `digests` has not
    /// just the room for theirs.
    pub fn digest_blocks(&self, blocks: &[u8], block_size: BlockSize, digests: &mut [u8]) {
        let size = self.algorithm().digest_size();
        assert!(
            blocks.len().is_multiple_of(block_size.as_usize()),
            "part of a block"
        );
        assert_eq!(
            blocks.len() / block_size.as_usize() * size,
            digests.len(),
            "room for the digests"
        );
        for (block, digest) in blocks
            .chunks_exact(block_size.as_usize())
            .zip(digests.chunks_exact_mut(size))
        {
            self.digest_into(block, digest);
        }
    }

    fn digest_into(&self, block: &[u8], digest: &mut [u8]) {
        match &self.state {
            State::Sha256(salted) => {
                digest.copy_from_slice(&salted.clone().chain_update(block).finalize());
            }
            State::Sha512(salted) => {
                digest.copy_from_slice(&salted.clone().chain_update(block).finalize());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_salt_goes_first() {
        let block = [7; 512];
        let salt: Salt = "0102".parse().unwrap();
        let expected = Sha256::digest([[1, 2].as_slice(), &block].concat());
        assert_eq!(
            BlockHasher::new(HashAlgorithm::Sha256, &salt)
                .digest(&block)
                .as_bytes(),
            &expected[..]
        );
        let expected = Sha512::digest([[1, 2].as_slice(), &block].concat());
        assert_eq!(
            BlockHasher::new(HashAlgorithm::Sha512, &salt)
                .digest(&block)
                .as_bytes(),
            &expected[..]
        );
    }

    #[test]
    fn many_are_as_one_by_one() {
        let size = BlockSize::new(512).unwrap();
        let blocks: Vec<u8> = (0..512u32 * 5).map(|i| (i % 251) as u8).collect();
        for algorithm in HashAlgorithm::ALL {
            let hasher = BlockHasher::new(algorithm, &Salt::default());
            let mut digests = vec![0; 5 * algorithm.digest_size()];
            hasher.digest_blocks(&blocks, size, &mut digests);
            let single: Vec<_> = blocks
                .chunks(512)
                .map(|block| hasher.digest(block))
                .collect();
            let single: Vec<_> = single.iter().flat_map(Digest::as_bytes).copied().collect();
            assert_eq!(digests, single);
        }
    }
}
