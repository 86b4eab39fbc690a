//! Digests of blocks.

use sha2::{Digest as _, Sha256, Sha512};

use super::{
    BlockSize, Digest, HashAlgorithm, Salt, VerityParams,
    sha256::{Backend, Salted},
};

/// Makes the digests of blocks: `H(salt ‖ block)`. Made once for a tree, it has
/// taken in the salt already.
#[derive(Clone)]
pub struct BlockHasher {
    state: AlgorithmState,
}

#[derive(Clone)]
enum AlgorithmState {
    Sha256 {
        one: Sha256,
        many: Salted,
        backend: Backend,
    },
    Sha512(Sha512),
}

impl BlockHasher {
    /// A hasher for this algorithm and salt, with the process's
    /// [backend](Backend::chosen).
    pub fn new(algorithm: HashAlgorithm, salt: &Salt) -> Self {
        let salt = salt.as_bytes();
        let state = match algorithm {
            HashAlgorithm::Sha256 => AlgorithmState::Sha256 {
                one: Sha256::new_with_prefix(salt),
                many: Salted::new(salt),
                backend: Backend::chosen(),
            },
            HashAlgorithm::Sha512 => AlgorithmState::Sha512(Sha512::new_with_prefix(salt)),
        };
        Self { state }
    }

    /// A hasher for a tree with these parameters.
    pub fn for_params(params: &VerityParams) -> Self {
        Self::new(params.algorithm(), params.salt())
    }

    /// The same hasher with another backend. SHA-512 has but one way to go.
    pub fn with_backend(mut self, wanted: Backend) -> Self {
        if let AlgorithmState::Sha256 { backend, .. } = &mut self.state {
            *backend = wanted;
        }
        self
    }

    /// What the digests are made with.
    pub fn algorithm(&self) -> HashAlgorithm {
        match self.state {
            AlgorithmState::Sha256 { .. } => HashAlgorithm::Sha256,
            AlgorithmState::Sha512(_) => HashAlgorithm::Sha512,
        }
    }

    /// The digest of one block of any size.
    pub fn digest(&self, block: &[u8]) -> Digest {
        match &self.state {
            AlgorithmState::Sha256 { one, .. } => Digest::new(
                HashAlgorithm::Sha256,
                &one.clone().chain_update(block).finalize(),
            ),
            AlgorithmState::Sha512(salted) => Digest::new(
                HashAlgorithm::Sha512,
                &salted.clone().chain_update(block).finalize(),
            ),
        }
    }

    /// The digests of many blocks of one size, one after the other.
    ///
    /// # Panics
    ///
    /// When `blocks` is not a whole number of blocks, or `digests` has not
    /// just the room for theirs.
    #[expect(
        clippy::disallowed_macros,
        reason = "the caller's fault, as is documented"
    )]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the lengths of slices that lie in memory"
    )]
    pub fn digest_blocks(&self, blocks: &[u8], block_size: BlockSize, digests: &mut [u8]) {
        match &self.state {
            AlgorithmState::Sha256 { many, backend, .. } => {
                backend.digest_blocks(many, blocks, block_size, digests);
            }
            AlgorithmState::Sha512(salted) => {
                let size = block_size.as_usize();
                let (digests, part) = digests.as_chunks_mut::<64>();
                assert!(
                    blocks.len() == digests.len() * size && part.is_empty(),
                    "whole blocks, and a place for the digest of each"
                );
                for (block, digest) in blocks.chunks_exact(size).zip(digests) {
                    *digest = salted.clone().chain_update(block).finalize().into();
                }
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
            let single: Vec<_> = blocks
                .chunks(512)
                .map(|block| hasher.digest(block))
                .collect();
            let single: Vec<_> = single.iter().flat_map(Digest::as_bytes).copied().collect();
            for backend in Backend::supported() {
                let hasher = hasher.clone().with_backend(backend);
                let mut digests = vec![0; 5 * algorithm.digest_size()];
                hasher.digest_blocks(&blocks, size, &mut digests);
                assert_eq!(digests, single, "{backend}");
            }
        }
    }
}
