//! Which block is in which codewords.

use crate::{BlockSize, FecRoots, VerityParams};

/// How a number of blocks is spread over codewords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecLayout {
    block_size: BlockSize,
    covered_blocks: u64,
    roots: FecRoots,
}

/// A disk that can have no FEC area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FecLayoutError {
    /// The kernel takes blocks of one size alone.
    #[error(
        "forward error correction needs data blocks ({data}) and hash blocks ({hash}) of one size"
    )]
    BlockSizes {
        /// The size of a data block.
        data: BlockSize,
        /// That of a hash block.
        hash: BlockSize,
    },
}

impl FecLayout {
    /// The layout that covers so many blocks.
    pub fn covering(
        params: &VerityParams,
        covered_blocks: u64,
        roots: FecRoots,
    ) -> Result<Self, FecLayoutError> {
        let (data, hash) = (params.data_block_size(), params.hash_block_size());
        if data != hash {
            return Err(FecLayoutError::BlockSizes { data, hash });
        }
        Ok(Self {
            block_size: data,
            covered_blocks,
            roots,
        })
    }

    /// How many blocks are covered.
    pub fn covered_blocks(&self) -> u64 {
        self.covered_blocks
    }

    /// How many bytes of a codeword are parity.
    pub fn roots(&self) -> FecRoots {
        self.roots
    }

    /// The unit of all.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// How many blocks of parity there are.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "at most 231 bytes of a codeword are data"
    )]
    pub fn parity_blocks(&self) -> u64 {
        let roots = self.roots.get() as u64;
        self.covered_blocks
            .div_ceil(255 - roots)
            .saturating_mul(roots)
    }
}
