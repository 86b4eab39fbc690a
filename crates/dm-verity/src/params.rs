//! The parameters of a hash tree.

use super::{BlockSize, HashAlgorithm, Salt};

/// The largest size or offset in bytes that is accepted anywhere: that of
/// `off_t`, which every system call takes.
pub const MAX_BYTES: u64 = i64::MAX as u64;

/// What a root hash depends on, besides the data itself. Once it exists, the
/// data and its tree fit into [`MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerityParams {
    algorithm: HashAlgorithm,
    data_block_size: BlockSize,
    hash_block_size: BlockSize,
    data_blocks: u64,
    salt: Salt,
}

/// Parameters that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// There is nothing to verify.
    #[error("the number of data blocks is zero")]
    NoData,
    /// Data and tree would not fit into 63 bits of bytes.
    #[error(
        "{data_blocks} data blocks of {data_block_size} bytes are too many: the limit is 2^63 bytes with the hash tree"
    )]
    TooLarge {
        /// How many.
        data_blocks: u64,
        /// Of how many bytes.
        data_block_size: BlockSize,
    },
}

impl VerityParams {
    /// Checks the parameters against each other.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "block sizes are at least 512 bytes"
    )]
    pub fn new(
        algorithm: HashAlgorithm,
        data_block_size: BlockSize,
        hash_block_size: BlockSize,
        data_blocks: u64,
        salt: Salt,
    ) -> Result<Self, ParamsError> {
        if data_blocks == 0 {
            return Err(ParamsError::NoData);
        }
        // The tree is at most 64/(512-64) of the data: half the room for each.
        let limit = MAX_BYTES / 2 / data_block_size.bytes().max(hash_block_size.bytes());
        if data_blocks > limit {
            return Err(ParamsError::TooLarge {
                data_blocks,
                data_block_size,
            });
        }
        Ok(Self {
            algorithm,
            data_block_size,
            hash_block_size,
            data_blocks,
            salt,
        })
    }

    /// What the digests are made with.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The unit in which data is hashed.
    pub fn data_block_size(&self) -> BlockSize {
        self.data_block_size
    }

    /// The unit in which the tree is hashed.
    pub fn hash_block_size(&self) -> BlockSize {
        self.hash_block_size
    }

    /// How many data blocks the root hash covers; at least one.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// How many bytes the root hash covers.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "checked against 2^63 bytes when they were made"
    )]
    pub fn data_bytes(&self) -> u64 {
        self.data_blocks * self.data_block_size.bytes()
    }

    /// What each block is hashed together with.
    pub fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The size of a digest in bytes.
    pub fn digest_size(&self) -> usize {
        self.algorithm.digest_size()
    }

    /// How many digests a hash block holds: 8 to 2048.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "digests have at least 32 bytes"
    )]
    pub fn digests_per_block(&self) -> u64 {
        self.hash_block_size.bytes() / self.digest_size() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(data: u64, hash: u64, blocks: u64) -> Result<VerityParams, ParamsError> {
        VerityParams::new(
            HashAlgorithm::Sha256,
            BlockSize::new(data).unwrap(),
            BlockSize::new(hash).unwrap(),
            blocks,
            Salt::default(),
        )
    }

    #[test]
    fn limits() {
        assert_eq!(params(4096, 4096, 0), Err(ParamsError::NoData));
        let limit = (1 << 62) / 4096 - 1;
        assert_eq!(
            params(4096, 4096, limit).unwrap().data_bytes(),
            (1 << 62) - 4096
        );
        for blocks in [limit + 1, u64::MAX / 4096, u64::MAX / 4096 + 2, u64::MAX] {
            assert!(
                matches!(
                    params(4096, 4096, blocks),
                    Err(ParamsError::TooLarge { .. })
                ),
                "{blocks}"
            );
        }
        // One large hash block for each few data blocks is the costliest tree.
        assert!(params(512, 65536, (1 << 62) / 65536).is_err());
    }
}
