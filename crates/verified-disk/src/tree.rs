//! Blocks, compared with the digests above them.

use std::{ops::Range, sync::Arc};

use dm_verity::{
    BlockHasher, BlockSize, HashArea, Level, RootHash, TreeLayout, VerityParams,
    fec::{FecArea, FecLayout},
};
use model_disk::FileError;

use crate::{
    BlockStorage, VerifiedReadError,
    cache::{BlockCache, BlockKey},
    fec::Correction,
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
    fec: Option<Correction>,
}

/// Whether a block that is not what it should be is corrected, where it can be. What is read to
/// correct another one is not: so no correction takes more than the blocks of one row, and those that
/// they are verified by.
#[derive(Clone, Copy, PartialEq)]
enum Amend {
    Yes,
    No,
}

/// Blocks that are read at once, and what is said of them.
struct ReadRun<R, E> {
    /// The number of the first in the sequence that FEC covers.
    covered: u64,
    size: BlockSize,
    /// Fills a buffer from this block of them on.
    read: R,
    /// The error of one that is corrupt.
    corrupt: E,
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
            fec: None,
        }
    }

    /// The same, where corrupt blocks are corrected.
    pub(crate) fn with_fec(self, layout: &FecLayout, area: FecArea) -> Self {
        Self {
            fec: Some(Correction::new(layout, area)),
            ..self
        }
    }

    /// How many blocks were corrected; None where none are.
    pub(crate) fn corrected(&self) -> Option<u64> {
        self.fec.as_ref().map(Correction::count)
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
        let expected = self.digests(storage, 0, first..first + count, Amend::Yes)?;
        let offset = |index: u64| (first + index) * size.bytes();
        let run = ReadRun {
            covered: first,
            size,
            read: |buffer: &mut [u8], index| storage.read_data(buffer, offset(index)),
            corrupt: |index| VerifiedReadError::DataBlock {
                path: storage.data_path().to_owned(),
                block: first + index,
                offset: offset(index),
            },
        };
        let read = self.read_blocks(storage, &run, buffer, &expected, Amend::Yes);
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
        amend: Amend,
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
        for block in self.hash_blocks(storage, level, blocks, amend)? {
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
        amend: Amend,
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
            verified.extend(self.read_hash_blocks(storage, level, next..end, amend)?);
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
        amend: Amend,
    ) -> Result<Vec<Arc<[u8]>>, VerifiedReadError> {
        let expected = self.digests(storage, level + 1, blocks.clone(), amend)?;
        let size = self.params.hash_block_size();
        let first = self.layout.levels().get(level).map_or(0, first_block);
        let offset = |block: u64| self.area.block_offset(first + block);
        let mut bytes = vec![0; (blocks.end - blocks.start) as usize * size.as_usize()];
        let run = ReadRun {
            covered: self.params.data_blocks() + first + blocks.start,
            size,
            read: |buffer: &mut [u8], index| {
                storage.read_hashes(buffer, offset(blocks.start + index))
            },
            corrupt: |index| VerifiedReadError::HashBlock {
                path: storage.hash_path().to_owned(),
                level,
                block: blocks.start + index,
                offset: offset(blocks.start + index),
            },
        };
        self.read_blocks(storage, &run, &mut bytes, &expected, amend)?;
        let verified: Vec<Arc<[u8]>> = bytes.chunks_exact(size.as_usize()).map(Arc::from).collect();
        for (block, bytes) in blocks.zip(&verified) {
            self.cache
                .insert(BlockKey::Hash(level, block), Arc::clone(bytes));
        }
        Ok(verified)
    }

    /// Fills `buffer` with whole blocks that have the digests `expected`, one after the other.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "numbers of blocks of its own layout"
    )]
    fn read_blocks<R, E>(
        &self,
        storage: &impl BlockStorage,
        run: &ReadRun<R, E>,
        buffer: &mut [u8],
        expected: &[u8],
        amend: Amend,
    ) -> Result<(), VerifiedReadError>
    where
        R: Fn(&mut [u8], u64) -> Result<(), FileError>,
        E: Fn(u64) -> VerifiedReadError,
    {
        let fec = self.fec.as_ref().filter(|_| amend == Amend::Yes);
        let mut unread = Vec::new();
        match ((run.read)(buffer, 0), fec) {
            (Ok(()), _) => {}
            (Err(error), None) => return Err(error.into()),
            // What cannot be read is as good as corrupt, and the others may be well.
            (Err(_), Some(_)) => {
                for (index, block) in (0..).zip(buffer.chunks_exact_mut(run.size.as_usize())) {
                    if let Err(error) = (run.read)(block, index) {
                        block.fill(0);
                        unread.push((index, error));
                    }
                }
            }
        }
        for index in self.differing(buffer, run.size, expected) {
            let digest_size = self.params.digest_size();
            let digest = expected.chunks_exact(digest_size).nth(index as usize);
            let mut blocks = buffer.chunks_exact_mut(run.size.as_usize());
            let block = blocks.nth(index as usize);
            let covered = run.covered + index;
            let right = fec.zip(digest).and_then(|(fec, digest)| {
                let read = |buffer: &mut [u8], other| self.read_covered(storage, buffer, other);
                let right = fec.propose(storage, covered, read)?;
                let is_right = self.differing(&right, run.size, digest).is_empty();
                is_right.then(|| fec.note(covered)).map(|()| right)
            });
            match (block, right) {
                (Some(block), Some(right)) => {
                    let bytes = block.iter_mut().zip(right);
                    bytes.for_each(|(to, from)| *to = from);
                }
                _ => {
                    let error = unread.into_iter().find(|(unread, _)| *unread == index);
                    return Err(
                        error.map_or_else(|| (run.corrupt)(index), |(_, error)| error.into())
                    );
                }
            }
        }
        Ok(())
    }

    /// Fills `buffer` with a block of the sequence that FEC covers. False where it cannot be read, or is
    /// known to be another than it should be: where a hash block above it is corrupt, nothing is known.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "numbers of blocks on a disk, which has less than 2^63 bytes"
    )]
    fn read_covered(&self, storage: &impl BlockStorage, buffer: &mut [u8], covered: u64) -> bool {
        let size = self.params.data_block_size();
        let of_level = |level, block| self.digests(storage, level, block..block + 1, Amend::No);
        let (read, expected) = match covered.checked_sub(self.params.data_blocks()) {
            None => (
                storage.read_data(buffer, covered * size.bytes()),
                of_level(0, covered),
            ),
            Some(of_tree) => {
                let read = storage.read_hashes(buffer, self.area.block_offset(of_tree));
                let levels = self.layout.levels().iter().enumerate();
                let mut blocks = levels.filter_map(|(level, place)| {
                    let block = of_tree.checked_sub(place.first_block)?;
                    (block < place.blocks).then_some((level, block))
                });
                match blocks.next() {
                    Some((level, block)) => (read, of_level(level + 1, block)),
                    // What stands behind the tree.
                    None => return read.is_ok(),
                }
            }
        };
        let is_wrong = |expected: Vec<u8>| !self.differing(buffer, size, &expected).is_empty();
        read.is_ok() && !expected.is_ok_and(is_wrong)
    }

    /// Those of some blocks of one size that have another digest than they should. `expected` has one
    /// digest for each of them.
    fn differing(&self, blocks: &[u8], size: BlockSize, expected: &[u8]) -> Vec<u64> {
        let mut digests = vec![0; expected.len()];
        self.hasher.digest_blocks(blocks, size, &mut digests);
        let digest_size = self.params.digest_size();
        let found = digests.chunks_exact(digest_size);
        let pairs = found.zip(expected.chunks_exact(digest_size));
        (0..)
            .zip(pairs)
            .filter_map(|(index, (found, expected))| (found != expected).then_some(index))
            .collect()
    }
}

fn first_block(level: &Level) -> u64 {
    level.first_block
}
