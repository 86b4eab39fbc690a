//! Where each level of a hash tree stands. All sizes of hash areas come from here.

use super::{BlockSize, MAX_BYTES, SUPERBLOCK_SIZE, VerityParams};
use alloc::vec::Vec;

/// One level of a hash tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its first hash block, counted from the start of the tree.
    pub first_block: u64,
    /// How many hash blocks it has.
    pub blocks: u64,
    /// How many digests these hold: one for each block of the level below.
    pub digests: u64,
}

/// The levels of a tree. On the disk the top level comes first, level 0 last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLayout {
    levels: Vec<Level>,
    blocks: u64,
}

impl TreeLayout {
    /// The tree for these parameters.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "parameters leave the tree half of the 2^63 bytes"
    )]
    pub fn new(params: &VerityParams) -> Self {
        let fanout = params.digests_per_block();
        let mut levels = Vec::new();
        let mut digests = params.data_blocks();
        while digests > 1 {
            let blocks = digests.div_ceil(fanout);
            levels.push(Level {
                first_block: 0,
                blocks,
                digests,
            });
            digests = blocks;
        }
        let mut blocks = 0;
        for level in levels.iter_mut().rev() {
            level.first_block = blocks;
            blocks += level.blocks;
        }
        Self { levels, blocks }
    }

    /// The levels, level 0 (the digests of the data blocks) first. None where there is but one
    /// data block: then its digest is the root hash.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// How many hash blocks all levels have together.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }
}

/// The place of a superblock and a tree on a hash device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashArea {
    offset: u64,
    hash_block_size: BlockSize,
    first_block: u64,
}

/// An offset at which no hash area can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashAreaError {
    /// Not at a multiple of the sector or, without a superblock, of the block.
    #[error("hash offset {offset} is not a multiple of {unit} bytes")]
    Misaligned {
        /// The offset in bytes.
        offset: u64,
        /// What it must be a multiple of, in bytes.
        unit: u64,
    },
    /// The tree would end after [`MAX_BYTES`].
    #[error("hash offset {0} is too large: the hash tree would end after 2^63 bytes")]
    TooLarge(u64),
}

impl HashArea {
    /// A hash area that starts at `offset` bytes, with or without a superblock.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the offset is at most half of 2^63 bytes"
    )]
    pub fn new(
        params: &VerityParams,
        offset: u64,
        superblock: bool,
    ) -> Result<Self, HashAreaError> {
        let hash_block_size = params.hash_block_size();
        let unit = if superblock {
            SUPERBLOCK_SIZE as u64
        } else {
            hash_block_size.bytes()
        };
        if !offset.is_multiple_of(unit) {
            return Err(HashAreaError::Misaligned { offset, unit });
        }
        if offset > MAX_BYTES / 2 {
            return Err(HashAreaError::TooLarge(offset));
        }
        let header = if superblock {
            SUPERBLOCK_SIZE as u64
        } else {
            0
        };
        let first_block = (offset + header).div_ceil(hash_block_size.bytes());
        let area = Self {
            offset,
            hash_block_size,
            first_block,
        };
        // Parameters leave the tree half of the room; this is the other half.
        if area.end(&TreeLayout::new(params)) > MAX_BYTES {
            return Err(HashAreaError::TooLarge(offset));
        }
        Ok(area)
    }

    /// Where it starts, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The first hash block of the tree, counted from the start of the device: the kernel's
    /// `hash_start_block`.
    pub fn first_block(&self) -> u64 {
        self.first_block
    }

    /// Where a hash block of the tree starts, in bytes.
    ///
    /// `block` counts from the start of the tree.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the whole tree ends within 2^63 bytes; another block is the caller's fault"
    )]
    pub fn block_offset(&self, block: u64) -> u64 {
        (self.first_block + block) * self.hash_block_size.bytes()
    }

    /// Where the tree ends, in bytes.
    pub fn end(&self, layout: &TreeLayout) -> u64 {
        self.block_offset(layout.blocks())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashAlgorithm, Salt};

    fn params(data_blocks: u64, hash_block_size: u64, algorithm: HashAlgorithm) -> VerityParams {
        let hash_block_size = BlockSize::new(hash_block_size).unwrap();
        VerityParams::new(
            algorithm,
            BlockSize::DEFAULT,
            hash_block_size,
            data_blocks,
            Salt::default(),
        )
        .unwrap()
    }

    fn levels(data_blocks: u64) -> Vec<(u64, u64)> {
        let layout = TreeLayout::new(&params(data_blocks, 4096, HashAlgorithm::Sha256));
        layout
            .levels()
            .iter()
            .map(|level| (level.first_block, level.blocks))
            .collect()
    }

    #[test]
    fn levels_by_hand() {
        assert_eq!(levels(1), []);
        assert_eq!(levels(2), [(0, 1)]);
        assert_eq!(levels(128), [(0, 1)]);
        assert_eq!(levels(129), [(1, 2), (0, 1)]);
        assert_eq!(levels(128 * 128), [(1, 128), (0, 1)]);
        assert_eq!(levels(128 * 128 + 1), [(3, 129), (1, 2), (0, 1)]);
    }

    #[test]
    fn the_largest_tree_does_not_overflow() {
        for (algorithm, hash_block_size) in [
            (HashAlgorithm::Sha512, 512),
            (HashAlgorithm::Sha512, 65536),
            (HashAlgorithm::Sha256, 512),
        ] {
            let limit = MAX_BYTES / 2 / hash_block_size.max(4096);
            let params = params(limit, hash_block_size, algorithm);
            let layout = TreeLayout::new(&params);
            assert!(layout.levels().len() < 64);
            let end = HashArea::new(&params, 0, true).map(|area| area.end(&layout));
            assert!(end.unwrap() < MAX_BYTES / 2);
            assert_eq!(
                HashArea::new(&params, MAX_BYTES - 511, true),
                Err(HashAreaError::TooLarge(MAX_BYTES - 511))
            );
        }
    }

    #[test]
    fn the_tree_starts_at_the_block_after_the_superblock() {
        let params = params(2, 4096, HashAlgorithm::Sha256);
        let first = |offset, superblock| {
            HashArea::new(&params, offset, superblock).map(|a| a.first_block())
        };
        assert_eq!(first(0, true), Ok(1));
        assert_eq!(first(4096, true), Ok(2));
        assert_eq!(first(3584, true), Ok(1));
        assert_eq!(first(4608, true), Ok(2));
        assert_eq!(first(0, false), Ok(0));
        assert_eq!(first(8192, false), Ok(2));
        assert_eq!(
            first(100, true),
            Err(HashAreaError::Misaligned {
                offset: 100,
                unit: 512
            })
        );
        assert_eq!(
            first(512, false),
            Err(HashAreaError::Misaligned {
                offset: 512,
                unit: 4096
            })
        );
    }
}
