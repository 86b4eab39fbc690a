//! A tree of which pieces come in any order.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use super::open_blocks::OpenBlocks;
use crate::engine::{Sink, SinkError, blocks::Digester, kept::KeptDigests, runs::Runs};

/// How many whole hash blocks are hashed at once, about.
const AT_ONCE: usize = 16;

/// The lower levels of a tree, made from digests of data blocks in any order.
pub(super) struct ScatteredTree<'a> {
    pub(super) runs: &'a Runs,
    pub(super) digester: &'a Digester,
    pub(super) sink: &'a dyn Sink,
    pub(super) open: OpenBlocks,
    pub(super) kept: Mutex<KeptDigests>,
}

/// The digests in a hash block, all of them, with its level and its number there.
type WholeBlock = (usize, u64, Vec<u8>);

/// A thread's hash blocks that are whole, and not hashed yet.
#[derive(Default)]
pub(super) struct WholeBlocks(Vec<WholeBlock>);

impl ScatteredTree<'_> {
    /// Takes the digests of data blocks, of which the first is `first`.
    pub(super) fn put(
        &self,
        first: u64,
        digests: &[u8],
        whole: &mut WholeBlocks,
    ) -> Result<(), SinkError> {
        self.put_in(0, first, digests, whole);
        if whole.0.len() < AT_ONCE {
            return Ok(());
        }
        self.hash(whole)
    }

    /// Makes and hands over all hash blocks that are whole, and those over them.
    #[expect(
        clippy::indexing_slicing,
        reason = "levels and blocks of its own layout"
    )]
    pub(super) fn hash(&self, whole: &mut WholeBlocks) -> Result<(), SinkError> {
        let block_bytes = self.digester.hash_block_size().as_usize();
        while !whole.0.is_empty() {
            let mut ready = mem::take(&mut whole.0);
            ready.sort_unstable_by_key(|(level, block, _)| (*level, *block));
            // Wherever they are, many at once are hashed faster.
            let mut blocks = Vec::with_capacity(ready.len() * block_bytes);
            for (_, _, digests) in &ready {
                blocks.extend_from_slice(digests);
                blocks.resize(self.digester.padded(blocks.len()), 0);
            }
            let digests = self.digester.hash_blocks(&blocks);
            let mut done = 0;
            for run in ready.chunk_by(follows) {
                let (level, first, _) = run[0];
                let here = done..done + run.len();
                let start = self.runs.layout().levels()[level].first_block;
                let bytes = here.start * block_bytes..here.end * block_bytes;
                self.sink.hash_blocks(start + first, &blocks[bytes])?;
                let size = self.digester.digest_size();
                let over = &digests[here.start * size..here.end * size];
                self.put_in(level + 1, first, over, whole);
                done = here.end;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "levels of its own layout, cut where a block ends"
    )]
    fn put_in(&self, level: usize, first: u64, mut digests: &[u8], whole: &mut WholeBlocks) {
        let size = self.digester.digest_size() as u64;
        let mut start = first * size;
        if level == self.runs.lower_levels() {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.put(start as usize, digests);
            return;
        }
        let all = self.runs.layout().levels()[level].digests * size;
        let block_bytes = self.digester.hash_block_size().bytes();
        while !digests.is_empty() {
            let (block, within) = (start / block_bytes, (start % block_bytes) as usize);
            let bytes = (all - block * block_bytes).min(block_bytes) as usize;
            let (here, after) = digests.split_at(digests.len().min(bytes - within));
            let complete = if here.len() == bytes {
                Some(here.to_vec())
            } else {
                self.open.add((level, block), within, here, bytes)
            };
            whole
                .0
                .extend(complete.map(|digests| (level, block, digests)));
            start += here.len() as u64;
            digests = after;
        }
    }
}

/// Whether two hash blocks are beside each other in one level.
fn follows(one: &WholeBlock, next: &WholeBlock) -> bool {
    (one.0, one.1 + 1) == (next.0, next.1)
}
