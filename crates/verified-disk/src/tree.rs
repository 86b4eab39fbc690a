//! Blocks, compared with the digests above them.

use std::{ops::Range, sync::Arc};

use dm_verity::{BlockHasher, BlockSize, HashArea, Level, RootHash, TreeLayout, VerityParams};

use crate::{
    BlockStorage, VerifiedReadError,
    cache::{BlockCache, BlockKey},
};

/// About how many bytes of data are read and hashed at once: they stay in the processor's cache.
const WINDOW_BYTES: usize = 512 << 10;

/// A tree, and those of its blocks that have been verified.
pub(crate) struct VerifiedTree {
    params: VerityParams,
    layout: TreeLayout,
    area: HashArea,
    root_hash: RootHash,
    hasher: BlockHasher,
    cache: BlockCache,
}

impl VerifiedTree {
    pub(crate) fn new(params: VerityParams, area: HashArea, root_hash: RootHash) -> Self {
        Self {
            layout: TreeLayout::new(&params),
            hasher: BlockHasher::for_params(&params),
            cache: BlockCache::new(),
            params,
            area,
            root_hash,
        }
    }

    /// How many bytes of data there are.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.params.data_bytes()
    }

    /// Fills `buffer` with verified data from byte `offset` on, which ends within the data. Where
    /// that fails, what has not been verified is zeros, or what was there before.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "all of it is within the data, which has less than 2^63 bytes"
    )]
    pub(crate) fn read(
        &self,
        storage: &impl BlockStorage,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<(), VerifiedReadError> {
        let size = self.params.data_block_size();
        // Whoever asks for little comes back for what is beside it.
        let is_little = buffer.len() <= size.as_usize();
        let (mut rest, mut at) = (buffer, offset);
        while !rest.is_empty() {
            let block = at / size.bytes();
            let within = (at % size.bytes()) as usize;
            let whole = rest.len() / size.as_usize() * size.as_usize();
            let length = if is_little || within > 0 || whole == 0 {
                rest.len().min(size.as_usize() - within)
            } else {
                whole.min(WINDOW_BYTES)
            };
            let Some((now, later)) = rest.split_at_mut_checked(length) else {
                break;
            };
            if length < size.as_usize() || is_little {
                let verified = self.data_block(storage, block)?;
                let bytes = verified.iter().skip(within);
                now.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            } else {
                self.data_blocks(storage, now, block)?;
            }
            rest = later;
            at += length as u64;
        }
        Ok(())
    }

    /// A data block, which is kept.
    fn data_block(
        &self,
        storage: &impl BlockStorage,
        block: u64,
    ) -> Result<Arc<[u8]>, VerifiedReadError> {
        let key = BlockKey::Data(block);
        if let Some(kept) = self.cache.get(key) {
            return Ok(kept);
        }
        let mut bytes = vec![0; self.params.data_block_size().as_usize()];
        self.data_blocks(storage, &mut bytes, block)?;
        let bytes = Arc::from(bytes);
        self.cache.insert(key, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Fills `buffer` with whole data blocks from this one on. It is all zeros where one of them is
    /// corrupt, or cannot be read.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "whole blocks, all of them within the data"
    )]
    fn data_blocks(
        &self,
        storage: &impl BlockStorage,
        buffer: &mut [u8],
        first: u64,
    ) -> Result<(), VerifiedReadError> {
        let size = self.params.data_block_size();
        let count = (buffer.len() / size.as_usize()) as u64;
        let expected = self.digests(storage, 0, first..first + count)?;
        let read = storage.read_data(buffer, first * size.bytes());
        let read = read.map_err(VerifiedReadError::from).and_then(|()| {
            match self.differing(buffer, size, &expected) {
                None => Ok(()),
                Some(index) => {
                    let block = first + index;
                    Err(VerifiedReadError::DataBlock {
                        path: storage.data_path().to_owned(),
                        block,
                        offset: block * size.bytes(),
                    })
                }
            }
        });
        if read.is_err() {
            buffer.fill(0);
        }
        read
    }

    /// The digests, one after the other, of a range of blocks, which has some: those that stand in
    /// `level`, of the blocks below it.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "places of digests in blocks of its own layout"
    )]
    fn digests(
        &self,
        storage: &impl BlockStorage,
        level: usize,
        below: Range<u64>,
    ) -> Result<Vec<u8>, VerifiedReadError> {
        if level >= self.layout.levels().len() {
            return Ok(self.root_hash.as_bytes().to_owned());
        }
        let fanout = self.params.digests_per_block();
        let blocks = below.start / fanout..(below.end - 1) / fanout + 1;
        let skipped = (below.start - blocks.start * fanout) as usize;
        let count = (below.end - below.start) as usize;
        let digest_size = self.params.digest_size();
        let mut digests: Vec<u8> = Vec::new();
        for block in self.hash_blocks(storage, level, blocks)? {
            digests.extend_from_slice(&block);
        }
        digests.drain(..skipped * digest_size);
        digests.truncate(count * digest_size);
        Ok(digests)
    }

    /// Hash blocks of a level.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "numbers of blocks of its own layout"
    )]
    fn hash_blocks(
        &self,
        storage: &impl BlockStorage,
        level: usize,
        blocks: Range<u64>,
    ) -> Result<Vec<Arc<[u8]>>, VerifiedReadError> {
        let mut verified = Vec::new();
        let mut next = blocks.start;
        while next < blocks.end {
            if let Some(kept) = self.cache.get(BlockKey::Hash(level, next)) {
                verified.push(kept);
                next += 1;
                continue;
            }
            // All that are missing here are read at once.
            let mut end = next + 1;
            while end < blocks.end && !self.cache.contains(BlockKey::Hash(level, end)) {
                end += 1;
            }
            verified.extend(self.read_hash_blocks(storage, level, next..end)?);
            next = end;
        }
        Ok(verified)
    }

    /// Hash blocks of a level that are not kept yet.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "numbers of blocks of its own layout"
    )]
    fn read_hash_blocks(
        &self,
        storage: &impl BlockStorage,
        level: usize,
        blocks: Range<u64>,
    ) -> Result<Vec<Arc<[u8]>>, VerifiedReadError> {
        let expected = self.digests(storage, level + 1, blocks.clone())?;
        let size = self.params.hash_block_size();
        let first = self.layout.levels().get(level).map_or(0, first_block);
        let offset = |block: u64| self.area.block_offset(first + block);
        let mut bytes = vec![0; (blocks.end - blocks.start) as usize * size.as_usize()];
        storage.read_hashes(&mut bytes, offset(blocks.start))?;
        if let Some(index) = self.differing(&bytes, size, &expected) {
            let block = blocks.start + index;
            return Err(VerifiedReadError::HashBlock {
                path: storage.hash_path().to_owned(),
                level,
                block,
                offset: offset(block),
            });
        }
        let verified: Vec<Arc<[u8]>> = bytes.chunks_exact(size.as_usize()).map(Arc::from).collect();
        for (block, bytes) in blocks.zip(&verified) {
            self.cache
                .insert(BlockKey::Hash(level, block), Arc::clone(bytes));
        }
        Ok(verified)
    }

    /// The first of some blocks of one size that has another digest than it should. `expected` has
    /// one digest for each of them.
    fn differing(&self, blocks: &[u8], size: BlockSize, expected: &[u8]) -> Option<u64> {
        let mut digests = vec![0; expected.len()];
        self.hasher.digest_blocks(blocks, size, &mut digests);
        let digest_size = self.params.digest_size();
        let found = digests.chunks_exact(digest_size);
        let pairs = found.zip(expected.chunks_exact(digest_size));
        (0..)
            .zip(pairs)
            .find_map(|(index, (found, expected))| (found != expected).then_some(index))
    }
}

fn first_block(level: &Level) -> u64 {
    level.first_block
}
