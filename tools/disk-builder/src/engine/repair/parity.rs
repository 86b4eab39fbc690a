//! Parity compared with the blocks that it is of, and made again.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use dm_verity::fec::{FecDecoder, FecEncoder, FecRoots, ParityPlanes};
use model_disk::AlignedBuffer;

use super::{
    super::{Findings, Workers, findings::merged},
    CorrectError, CoveredDisk, RepairSink,
    covered::ReadRow,
    suspects::{Suspects, stretches},
};

/// What is wrong with the parity of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParityFindings {
    /// How many rows were compared: those whose blocks are all right.
    pub compared: u64,
    /// The rows whose parity is not that of their blocks, or cannot be read: in order, merged.
    pub wrong: Vec<Range<u64>>,
    /// In how many codewords blocks and parity agree, and have anything but zeros.
    pub right_codewords: u64,
    /// In how many they do not agree.
    pub wrong_codewords: u64,
}

impl ParityFindings {
    /// How many rows are wrong.
    pub fn wrong_rows(&self) -> u64 {
        self.wrong.iter().map(|rows| rows.end - rows.start).sum()
    }

    /// Whether what is there is the FEC area of this disk, be it damaged, and not something else that
    /// happens to stand there, of which one codeword in 65,536 may agree.
    pub fn is_of_this_disk(&self) -> bool {
        self.wrong_codewords <= self.right_codewords.saturating_mul(8)
    }

    fn add(&mut self, other: Self) {
        self.compared += other.compared;
        self.wrong.extend(other.wrong);
        self.right_codewords += other.right_codewords;
        self.wrong_codewords += other.wrong_codewords;
    }

    fn note(&mut self, row: &ReadRow<'_>, roots: FecRoots) {
        self.compared += 1;
        let Some(parity) = &row.parity else {
            self.wrong.push(row.number..row.number + 1);
            return;
        };
        let tells = |codeword: &[u8]| codeword.iter().any(|byte| *byte != 0);
        let mut telling = parity
            .chunks(roots.get())
            .filter(|codeword| tells(codeword))
            .count();
        let mut wrong = 0;
        for at in row.sums.wrong_codewords() {
            wrong += 1;
            let codeword = parity.chunks(roots.get()).nth(at);
            telling -= usize::from(codeword.is_some_and(tells));
        }
        if wrong > 0 {
            self.wrong.push(row.number..row.number + 1);
        }
        self.right_codewords += telling as u64;
        self.wrong_codewords += wrong;
    }
}

/// Compares the parity of all rows whose blocks are right, where these `findings` are all that is not.
pub fn find_wrong_parity(
    disk: &CoveredDisk<'_>,
    findings: &Findings,
    workers: &Workers,
) -> Result<ParityFindings, CorrectError> {
    let layout = &disk.layout;
    let decoder = FecDecoder::new(layout);
    let suspect = Suspects::of(findings, disk).rows(layout);
    let rows = gaps(&suspect, layout.rounds());
    let row_bytes = layout.columns() as u64 * layout.block_size().bytes();
    let count: u64 = rows.iter().map(|rows| rows.end - rows.start).sum();
    workers.progress().start(count * row_bytes);
    let stretches = stretches(&rows, layout);
    let all = Mutex::new(ParityFindings::default());
    let one = |buffer: &mut AlignedBuffer, index: u64| {
        let Some(stretch) = stretches.get(index as usize) else {
            return Ok(());
        };
        let mut found = ParityFindings::default();
        for row in disk.read_rows(&decoder, stretch.clone(), buffer)? {
            // Of blocks after a tree that cannot be read, nobody knows what should be there.
            if row.unread.is_empty() {
                found.note(&row, layout.roots());
            }
        }
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(found);
        drop(all);
        workers
            .progress()
            .advance((stretch.end - stretch.start) * row_bytes);
        Ok::<_, CorrectError>(())
    };
    let count = stretches.len() as u64;
    workers.for_each(count, AlignedBuffer::default, one, || ())?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.wrong = merged(all.wrong);
    Ok(all)
}

/// Puts the parity that rows must have. All their blocks are right, and on the disk.
pub fn write_parity(
    disk: &CoveredDisk<'_>,
    rows: &[Range<u64>],
    sink: &dyn RepairSink,
    workers: &Workers,
) -> Result<(), CorrectError> {
    let encoder = FecEncoder::new(disk.layout.roots());
    let stretches = stretches(rows, &disk.layout);
    let codewords = disk.layout.block_size().as_usize();
    let one = |buffer: &mut AlignedBuffer, index: u64| {
        let Some(stretch) = stretches.get(index as usize) else {
            return Ok(());
        };
        for row in stretch.clone() {
            let mut planes = ParityPlanes::new(disk.layout.roots(), codewords);
            let mut readable = true;
            for (column, block) in disk.blocks_of(row) {
                let bytes = buffer.bytes(codewords);
                readable &= disk.read_block(block, bytes)?;
                encoder.add(column, bytes, &mut planes, 0);
            }
            if let Some(range) = disk.layout.row_parity_range(row).filter(|_| readable) {
                let mut parity = vec![0; disk.layout.row_parity_bytes()];
                planes.interleave(&mut parity);
                sink.put_parity(disk.area.offset() + range.start, &parity)?;
            }
        }
        Ok::<_, CorrectError>(())
    };
    let count = stretches.len() as u64;
    workers.for_each(count, AlignedBuffer::default, one, || ())?;
    Ok(sink.sync()?)
}

/// What is between ranges that are in order and apart, up to `end`.
fn gaps(ranges: &[Range<u64>], end: u64) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut start = 0;
    for range in ranges {
        gaps.push(start..range.start);
        start = range.end;
    }
    gaps.push(start..end);
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is meant")]
mod tests {
    use super::*;

    #[test]
    fn what_is_between() {
        assert_eq!(gaps(&[], 5), [0..5]);
        assert_eq!(gaps(&[0..2, 3..5], 5), [2..3]);
        assert_eq!(gaps(&[1..2], 5), [0..1, 2..5]);
        assert_eq!(gaps(&[0..5], 5), []);
    }
}
