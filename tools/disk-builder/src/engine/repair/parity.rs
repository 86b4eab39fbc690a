//! Parity compared with the blocks that it is of, and made again.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use dm_verity::fec::{FecDecoder, FecEncoder, ParityPlanes};
use model_disk::AlignedBuffer;

use super::{
    super::{Findings, Workers, findings::merged},
    CorrectError, CoveredDisk, RepairSink,
    suspects::{Suspects, stretches},
};

/// What is wrong with the parity of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParityFindings {
    /// How many rows were compared: those whose blocks are all right.
    pub compared: u64,
    /// The rows whose parity is not that of their blocks, or cannot be read: in order, merged.
    pub wrong: Vec<Range<u64>>,
    /// How many rows are right that have anything but zeros.
    pub telling: u64,
}

impl ParityFindings {
    /// How many rows are wrong.
    pub fn wrong_rows(&self) -> u64 {
        self.wrong.iter().map(|rows| rows.end - rows.start).sum()
    }

    /// Whether what is there is the FEC area of this disk, and not something else that happens to
    /// stand there.
    pub fn is_of_this_disk(&self) -> bool {
        self.wrong.is_empty() || self.telling > self.wrong_rows()
    }
}

/// Compares the parity of all rows whose blocks are right, where these `findings` are all that is not.
pub fn find_wrong_parity(
    disk: &CoveredDisk<'_>,
    findings: &Findings,
    workers: &Workers,
) -> Result<ParityFindings, CorrectError> {
    let decoder = FecDecoder::new(&disk.layout);
    let suspect = Suspects::of(findings, disk).rows(&disk.layout);
    let stretches = stretches(&gaps(&suspect, disk.layout.rounds()), &disk.layout);
    workers.progress().start(stretches.len() as u64);
    let (compared, telling) = (AtomicU64::new(0), AtomicU64::new(0));
    let wrong = Mutex::new(Vec::new());
    let one = |buffer: &mut AlignedBuffer, index: u64| {
        let Some(stretch) = stretches.get(index as usize) else {
            return Ok(());
        };
        for row in disk.read_rows(&decoder, stretch.clone(), buffer)? {
            // Of the blocks after a tree nobody knows what should be there.
            if !row.unread.is_empty() {
                continue;
            }
            compared.fetch_add(1, Ordering::Relaxed);
            match row.parity.filter(|_| row.sums.is_right()) {
                Some(true) => drop(telling.fetch_add(1, Ordering::Relaxed)),
                Some(false) => {}
                None => {
                    let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                    wrong.push(row.number..row.number + 1);
                }
            }
        }
        workers.progress().advance(1);
        Ok::<_, CorrectError>(())
    };
    let count = stretches.len() as u64;
    workers.for_each(count, AlignedBuffer::default, one, || ())?;
    Ok(ParityFindings {
        compared: compared.into_inner(),
        wrong: merged(wrong.into_inner().unwrap_or_else(PoisonError::into_inner)),
        telling: telling.into_inner(),
    })
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
