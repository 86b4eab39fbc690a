//! One row corrected.

use super::{CorrectError, CoveredDisk, RepairSink, covered::ReadRow, suspects::Suspects};

/// Corrects what is `wanted` of a row that has been read, and puts it. Gives the blocks that were put.
pub(super) fn correct(
    disk: &CoveredDisk<'_>,
    row: ReadRow<'_>,
    suspects: &Suspects,
    wanted: &dyn Fn(u64) -> bool,
    sink: &dyn RepairSink,
) -> Result<Vec<u64>, CorrectError> {
    if row.parity.is_none() {
        return Ok(Vec::new());
    }
    let mut correcting = Correcting::new(disk, row, suspects, wanted);
    let mut put = Vec::new();
    while !correcting.wanted.is_empty() {
        let corrected = correcting.step(disk, sink)?;
        if corrected.is_empty() {
            break;
        }
        put.extend(corrected);
    }
    Ok(put)
}

struct Correcting<'d> {
    row: ReadRow<'d>,
    /// Columns that are not what they must be, or cannot be read.
    bad: Vec<usize>,
    /// Columns of which that is not known.
    unknown: Vec<usize>,
    /// The bad ones whose right digest is known.
    wanted: Vec<(usize, u64)>,
}

impl<'d> Correcting<'d> {
    fn new(
        disk: &CoveredDisk<'_>,
        row: ReadRow<'d>,
        suspects: &Suspects,
        wanted: &dyn Fn(u64) -> bool,
    ) -> Self {
        let mut bad = row.unread.clone();
        let mut unknown = Vec::new();
        let mut all_wanted = Vec::new();
        for (column, block) in disk.blocks_of(row.number) {
            if wanted(block) {
                all_wanted.push((column, block));
            }
            if suspects.is_bad(block) {
                bad.push(column);
            } else if suspects.is_unknown(block) && !row.unread.contains(&column) {
                unknown.push(column);
            }
        }
        bad.sort_unstable();
        bad.dedup();
        Self {
            row,
            bad,
            unknown,
            wanted: all_wanted,
        }
    }

    /// Takes one guess after the other at what else may be wrong, until something comes of it. Gives
    /// the blocks that have been put.
    fn step(
        &mut self,
        disk: &CoveredDisk<'_>,
        sink: &dyn RepairSink,
    ) -> Result<Vec<u64>, CorrectError> {
        for erased in self.guesses(disk.layout.roots().get()) {
            // Where something else is wrong too, no erasure comes out right.
            let corrections = if self.bad.iter().all(|column| erased.contains(column)) {
                self.row.sums.correct_all(&erased)
            } else {
                self.row.sums.correct(&erased).map(Some)
            };
            let Ok(Some(corrections)) = corrections else {
                continue;
            };
            let mut put = Vec::new();
            for (column, block) in self.wanted.clone() {
                let Some(change) = corrections.change(column) else {
                    continue;
                };
                let unread = self.row.unread.contains(&column);
                if corrected(disk, block, unread, change, sink)? {
                    self.row.sums.add(column, change);
                    self.forget(column);
                    put.push(block);
                }
            }
            if !put.is_empty() {
                return Ok(put);
            }
        }
        Ok(Vec::new())
    }

    /// Which columns may be taken for erasures, the likeliest first.
    fn guesses(&self, roots: usize) -> Vec<Vec<usize>> {
        let mut guesses = Vec::new();
        let all_fit = self.bad.len() + self.unknown.len() <= roots;
        if all_fit {
            guesses.push([&self.bad[..], &self.unknown].concat());
        }
        if self.bad.len() <= roots {
            // Two roots correct what is wrong in one byte of a codeword, wherever it is.
            guesses.push(self.bad.clone());
        }
        if self.bad.len() <= roots && !all_fit {
            let room = roots - self.bad.len();
            // What has been overwritten in one piece, such as a whole tree, is in columns that follow
            // each other, around those that are known.
            let after = |column| self.unknown.partition_point(|unknown| *unknown < column);
            let first = self.bad.first().map_or(0, |column| after(*column));
            for start in (0..=room).map(|before| first.saturating_sub(before)) {
                let near = self.unknown.iter().skip(start).take(room);
                guesses.push(self.bad.iter().chain(near).copied().collect());
            }
            // An even number of roots corrects no more with it.
            if room % 2 == 1 {
                let one = |column: &usize| [&self.bad[..], &[*column]].concat();
                guesses.extend(self.unknown.iter().map(one));
            }
        }
        // Many blocks may be bad in few bytes each.
        if self.row.unread.len() < self.bad.len() {
            guesses.push(self.row.unread.clone());
        }
        guesses
    }

    /// A column is right now.
    fn forget(&mut self, column: usize) {
        self.bad.retain(|bad| *bad != column);
        self.row.unread.retain(|unread| *unread != column);
        self.wanted.retain(|(wanted, _)| *wanted != column);
    }
}

/// Whether a block has the digest that it must have when it is changed so. Then it is put.
fn corrected(
    disk: &CoveredDisk<'_>,
    block: u64,
    unread: bool,
    change: &[u8],
    sink: &dyn RepairSink,
) -> Result<bool, CorrectError> {
    let Some(expected) = disk.expected_digest(block)? else {
        return Ok(false);
    };
    let mut bytes = change.to_vec();
    if !unread {
        let mut now = vec![0; bytes.len()];
        if !disk.read_block(block, &mut now)? {
            return Ok(false);
        }
        bytes.iter_mut().zip(now).for_each(|(to, byte)| *to ^= byte);
    }
    if disk.digest(&bytes) != expected {
        return Ok(false);
    }
    sink.put(disk.place(block), &bytes)?;
    Ok(true)
}
