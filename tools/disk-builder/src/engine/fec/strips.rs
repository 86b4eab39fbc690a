//! How the parity of a disk is cut into strips. No I/O.

use std::ops::Range;

use dm_verity::fec::FecLayout;

/// How much of a column is read at once, about: it stays in the processor's cache, with the parity of
/// its rows, and a disk reads it well wherever it is.
const PIECE_BYTES: u64 = 256 << 10;

/// How much parity a strip has, about, for the same reason.
const PARITY_BYTES: u64 = 512 << 10;

/// How much parity the strips of all threads have at most, unless one row has more: what else a thread
/// has in memory, and what is not yet whole of the tree, grows with it.
const ALL_PARITY_BYTES: u64 = 3 << 20;

/// How many strips there are at least for each thread, so that all end at about the same time.
const STRIPS_PER_THREAD: u64 = 4;

/// Fewer rows than this are hashed slowly.
const MIN_ROWS: u64 = 16;

/// Rows of parity in strips of the same length, but for the last one.
///
/// A row's blocks are far from each other: one in each column. To go through the data in its order
/// would mean to go through all parity for each column, and at a terabyte that is 8 GiB. So all
/// columns' pieces of one strip are read one after the other, and its parity stays where it is.
#[derive(Clone, Debug)]
pub(super) struct Strips {
    layout: FecLayout,
    rows: u64,
}

impl Strips {
    pub(super) fn new(layout: FecLayout, threads: usize) -> Self {
        let block = layout.block_size().bytes();
        let (threads, row) = (threads as u64, layout.row_parity_bytes() as u64);
        let fast = (PARITY_BYTES / row).max(MIN_ROWS).min(PIECE_BYTES / block);
        let shared = (layout.rounds() / (threads * STRIPS_PER_THREAD)).max(MIN_ROWS);
        let rows = fast
            .min(shared)
            .min(ALL_PARITY_BYTES / threads / row)
            .max(1);
        Self { layout, rows }
    }

    pub(super) fn layout(&self) -> &FecLayout {
        &self.layout
    }

    /// How many strips there are.
    pub(super) fn count(&self) -> u64 {
        self.layout.rounds().div_ceil(self.rows)
    }

    /// The rows of a strip, counted from 0.
    pub(super) fn get(&self, index: u64) -> Range<u64> {
        index * self.rows..((index + 1) * self.rows).min(self.layout.rounds())
    }

    /// What of `part` of the covered blocks is in these rows: for each column that has some, its
    /// number and the blocks.
    pub(super) fn pieces(
        &self,
        rows: &Range<u64>,
        part: &Range<u64>,
    ) -> impl Iterator<Item = (u64, Range<u64>)> {
        let rounds = self.layout.rounds();
        let (rows, part) = (rows.clone(), part.clone());
        let columns = part.start / rounds..part.end.div_ceil(rounds);
        columns.filter_map(move |column| {
            let first = column * rounds;
            let start = (first + rows.start).max(part.start);
            let end = (first + rows.end).min(part.end);
            (start < end).then_some((column, start..end))
        })
    }
}

#[cfg(test)]
mod tests {
    use dm_verity::{BlockSize, HashAlgorithm, Salt, VerityParams, fec::FecRoots};

    use super::*;

    fn strips(bytes: u64, block: u64, roots: u32, threads: usize) -> Strips {
        let size = BlockSize::new(block).unwrap();
        let algorithm = HashAlgorithm::Sha256;
        let salt = Salt::default();
        let params = VerityParams::new(algorithm, size, size, bytes / block, salt).unwrap();
        let roots = FecRoots::try_from(roots).unwrap();
        Strips::new(FecLayout::new(&params, roots).unwrap(), threads)
    }

    #[test]
    fn rows_for_the_disk_the_roots_and_the_threads() {
        for (bytes, block, roots, threads, rows) in [
            (1 << 40, 4096, 2, 1, 64),
            (1 << 40, 4096, 2, 6, 64),
            (1 << 40, 4096, 2, 32, 12),
            (1 << 40, 4096, 24, 2, 16),
            (1 << 40, 4096, 24, 32, 1),
            (1 << 40, 512, 2, 2, 512),
            (1 << 40, 65536, 2, 2, 4),
            (1 << 40, 65536, 24, 32, 1),
            // So that there are some for each thread.
            (1 << 29, 4096, 2, 4, 32),
            (1 << 20, 4096, 2, 4, 16),
        ] {
            let strips = strips(bytes, block, roots, threads);
            assert_eq!(strips.rows, rows, "{bytes} {block} {roots} {threads}");
        }
    }

    /// Each covered block is in one piece, and those of a strip are in its rows.
    #[test]
    fn each_block_once() {
        for (blocks, roots, threads) in [(1, 2, 1), (250, 2, 2), (9000, 2, 1), (70_000, 24, 3)] {
            let strips = strips(blocks * 4096, 4096, roots, threads);
            let layout = *strips.layout();
            let parts = [0..blocks, blocks..layout.covered_blocks()];
            let mut seen = vec![false; layout.covered_blocks() as usize];
            for rows in (0..strips.count()).map(|index| strips.get(index)) {
                for part in &parts {
                    for (column, blocks) in strips.pieces(&rows, part) {
                        for block in blocks {
                            let place = layout.place(block).unwrap();
                            assert_eq!(place.column as u64, column);
                            assert!(rows.contains(&place.row) && part.contains(&block));
                            assert!(!std::mem::replace(&mut seen[block as usize], true));
                        }
                    }
                }
            }
            assert!(seen.into_iter().all(|seen| seen), "{blocks}");
        }
    }
}
