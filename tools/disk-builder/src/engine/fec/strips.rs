//! How the parity of a disk is cut into strips. No I/O.

use std::ops::Range;

use dm_verity::fec::FecLayout;

/// How much of a column is read at once, about: it stays in the processor's cache, with the parity of
/// its rows, and a disk reads it well wherever it is.
const PIECE_BYTES: u64 = 256 << 10;

/// How much parity a strip has, about, for the same reason.
const PARITY_BYTES: u64 = 512 << 10;

/// How many strips there are at least for each thread, so that all end at about the same time.
const STRIPS_PER_THREAD: u64 = 8;

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
        let most = (PIECE_BYTES / block).min(PARITY_BYTES / block / layout.roots().get() as u64);
        let shared = layout.rounds() / (threads as u64 * STRIPS_PER_THREAD);
        let rows = shared.max(MIN_ROWS).min(most).max(1);
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
