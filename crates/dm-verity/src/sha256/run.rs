//! Equal blocks in memory and the places of their digests, handed out in groups
//! as large as a backend takes at once.

use super::super::BlockSize;

/// The size of a SHA-256 digest in bytes.
pub(super) const DIGEST_SIZE: usize = 32;

/// Blocks, one after the other, that are still to be hashed, and the room for
/// their digests.
pub(super) struct BlockRun<'a> {
    blocks: &'a [u8],
    block_size: BlockSize,
    digests: &'a mut [[u8; DIGEST_SIZE]],
}

/// `N` blocks, one after the other, and the room for their digests.
pub(super) struct BlockGroup<'a, const N: usize> {
    blocks: &'a [u8],
    block_size: BlockSize,
    /// Digest `n` is that of block `n`.
    pub(super) digests: &'a mut [[u8; DIGEST_SIZE]; N],
}

impl<'a> BlockRun<'a> {
    /// # Panics
    ///
    /// When `blocks` is not a whole number of blocks, or `digests` has not just
    /// the room for theirs.
    pub(super) fn new(blocks: &'a [u8], block_size: BlockSize, digests: &'a mut [u8]) -> Self {
        let (digests, part) = digests.as_chunks_mut();
        assert!(
            blocks.len() == digests.len() * block_size.as_usize() && part.is_empty(),
            "whole blocks, and a place for the digest of each"
        );
        Self {
            blocks,
            block_size,
            digests,
        }
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Hands out groups of `N` blocks for as long as there are so many.
    pub(super) fn each_group<const N: usize>(&mut self, mut hash: impl FnMut(BlockGroup<'_, N>)) {
        let block_size = self.block_size;
        let group_size = N * block_size.as_usize();
        let (groups, rest) = core::mem::take(&mut self.digests).as_chunks_mut();
        self.digests = rest;
        for digests in groups {
            let (blocks, rest) = self.blocks.split_at(group_size);
            self.blocks = rest;
            hash(BlockGroup {
                blocks,
                block_size,
                digests,
            });
        }
    }
}

impl<const N: usize> BlockGroup<'_, N> {
    /// The size of all blocks together: as far ahead of each lies that of the next group.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len()
    }

    /// The blocks one by one.
    pub(super) fn blocks(&self) -> [&[u8]; N] {
        let size = self.block_size.as_usize();
        core::array::from_fn(|n| &self.blocks[n * size..][..size])
    }
}
