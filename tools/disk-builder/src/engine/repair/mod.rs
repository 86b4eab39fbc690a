//! Corrupt blocks made good by the FEC area of a disk, and the area by the blocks.
//!
//! A block is corrected only to bytes that have the digest that it must have, which is looked up from
//! the root hash down; so neither parity nor the way by which bytes came about need be trusted. What
//! hashing finds corrupt are *erasures*: as many of them in a row can be corrected as there are roots.
//! Blocks under a corrupt hash block may be right or not; they are taken as they are, or as erasures,
//! where that suffices, and when the hash block has been corrected they are checked, and so on until
//! nothing more comes of it.

mod covered;
mod faults;
mod parity;
mod rows;
mod suspects;
#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is meant")]
mod tests;

use std::{
    ops::Range,
    slice,
    sync::{Mutex, PoisonError},
};

use dm_verity::fec::FecDecoder;
use model_disk::{AlignedBuffer, ExitCode, FileError, HasExitCode, Interrupted};

use super::{
    Findings, HashBlock, Source, SourceError, TreeParts, VerifyTreeError, Workers,
    findings::merged,
    verify::{check_top, find_corrupt},
};
pub use covered::{CoveredDisk, CoveredPlace};
use faults::WithoutFaults;
pub use parity::{ParityFindings, find_wrong_parity, write_parity};
use suspects::Suspects;

/// Where corrected blocks go. They are put from many threads at a time.
pub trait RepairSink: Sync {
    /// Whether what is put is there when the disk is read again: data and hash blocks alike, or
    /// hash blocks alone.
    fn keeps_data(&self) -> bool;

    /// Takes the right bytes of a block.
    fn put(&self, place: CoveredPlace, block: &[u8]) -> Result<(), FileError>;

    /// Takes parity, for byte `offset` of what has the FEC area.
    fn put_parity(&self, offset: u64, parity: &[u8]) -> Result<(), FileError>;

    /// All that was put is on the disk when this returns.
    fn sync(&self) -> Result<(), FileError>;
}

/// Why a disk could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum CorrectError {
    /// It could not be checked.
    #[error(transparent)]
    Tree(#[from] VerifyTreeError),
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] FileError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl HasExitCode for CorrectError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Tree(error) => error.exit_code(),
            Self::Source(error) => error.exit_code(),
            Self::Write(error) => error.exit_code(),
            Self::Interrupted(_) => ExitCode::Failure,
        }
    }
}

/// What came of corrupt blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairOutcome {
    /// What was corrupt at first. Under a corrupt hash block nothing was known yet.
    pub found: Findings,
    /// What is corrupt still, as far as the sink keeps what is put.
    pub left: Findings,
    /// The blocks that have been put, as numbers of the covered sequence: in order, merged.
    pub corrected: Vec<Range<u64>>,
}

impl RepairOutcome {
    /// The data blocks that have been put, as ranges in order.
    pub fn corrected_data(&self, disk: &CoveredDisk<'_>) -> Vec<Range<u64>> {
        let data_blocks = disk.layout.data_blocks();
        let ranges = self.corrected.iter();
        let data = ranges.map(|blocks| blocks.start..blocks.end.min(data_blocks));
        data.filter(|blocks| !blocks.is_empty()).collect()
    }

    /// The hash blocks that have been put, by level and number.
    pub fn corrected_hash_blocks(&self, disk: &CoveredDisk<'_>) -> Vec<HashBlock> {
        let data_blocks = disk.layout.data_blocks();
        let ranges = self.corrected.iter();
        let hash_blocks = ranges.flat_map(|blocks| blocks.start.max(data_blocks)..blocks.end);
        let mut hash_blocks: Vec<_> = hash_blocks
            .filter_map(|block| disk.hash_block(block))
            .collect();
        hash_blocks.sort_unstable();
        hash_blocks
    }

    /// Whether the top of the tree, on which all else hangs, is not right and was not put.
    fn has_other_top(&self, disk: &CoveredDisk<'_>) -> bool {
        let data_blocks = disk.layout.data_blocks();
        let top = if data_blocks == 1 { 0 } else { data_blocks };
        Suspects::of(&self.left, disk).is_bad(top) && !contains(&self.corrected, top)
    }
}

/// Looks for all that is corrupt on a disk, and puts what can be corrected. A top of the tree that is
/// another one and cannot be corrected is an error: nothing is known then.
pub fn correct(
    disk: &CoveredDisk<'_>,
    sink: &dyn RepairSink,
    workers: &Workers,
) -> Result<RepairOutcome, CorrectError> {
    let outcome = correct_all(disk, sink, workers)?;
    if outcome.has_other_top(disk) {
        let block_size = disk.layout.block_size();
        let parts = TreeParts {
            data: &WithoutFaults::new(disk.tree.data, block_size, false),
            hashes: &WithoutFaults::new(disk.tree.hashes, block_size, false),
            ..disk.tree
        };
        check_top(&parts)?;
    }
    Ok(outcome)
}

fn correct_all(
    disk: &CoveredDisk<'_>,
    sink: &dyn RepairSink,
    workers: &Workers,
) -> Result<RepairOutcome, CorrectError> {
    let decoder = FecDecoder::new(&disk.layout);
    let all = 0..disk.tree.params.data_blocks();
    let found = find(disk, slice::from_ref(&all), true, workers)?;
    let mut correction = RepairOutcome {
        left: found.clone(),
        found,
        corrected: Vec::new(),
    };
    loop {
        let left = &correction.left;
        let suspects = Suspects::of(left, disk);
        let corrected = &correction.corrected;
        // What was written and is bad still would be bad the next time too.
        let wanted = |block| suspects.is_bad(block) && !contains(corrected, block);
        let rows = suspects::rows(&suspects.bad, &disk.layout);
        let new = correct_rows(disk, &decoder, &suspects, &wanted, &rows, sink, workers)?;
        if new.is_empty() {
            return Ok(correction);
        }
        sink.sync()?;
        let data_blocks = disk.layout.data_blocks();
        let of_tree = new.iter().any(|block| *block >= data_blocks);
        let again = if left.incomplete {
            vec![all.clone()]
        } else {
            left.damaged_data()
        };
        let new = new.into_iter().map(|block| block..block + 1);
        let corrected = correction.corrected.drain(..).chain(new).collect();
        correction.corrected = merged(corrected);
        if !of_tree && !sink.keeps_data() {
            return Ok(correction);
        }
        correction.left = find(disk, &again, false, workers)?;
    }
}

/// What is corrupt where the `data_blocks` are, and above. What cannot be read is corrupt. Holes are
/// as they were when the disk was opened, if nothing has been written since.
fn find(
    disk: &CoveredDisk<'_>,
    data_blocks: &[Range<u64>],
    holes: bool,
    workers: &Workers,
) -> Result<Findings, CorrectError> {
    let block_size = disk.layout.block_size();
    let parts = TreeParts {
        data: &WithoutFaults::new(disk.tree.data, block_size, holes),
        hashes: &WithoutFaults::new(disk.tree.hashes, block_size, holes),
        ..disk.tree
    };
    Ok(find_corrupt(&parts, data_blocks, workers)?)
}

/// Corrects what is `wanted` of some rows. Gives the blocks that were put.
fn correct_rows(
    disk: &CoveredDisk<'_>,
    decoder: &FecDecoder,
    suspects: &Suspects,
    wanted: &(dyn Fn(u64) -> bool + Sync),
    rows: &[Range<u64>],
    sink: &dyn RepairSink,
    workers: &Workers,
) -> Result<Vec<u64>, CorrectError> {
    let put = Mutex::new(Vec::new());
    let stretches = suspects::stretches(rows, &disk.layout);
    let one = |buffer: &mut AlignedBuffer, index: u64| {
        let Some(stretch) = stretches.get(index as usize) else {
            return Ok(());
        };
        let has_any = |row: &u64| disk.blocks_of(*row).any(|(_, block)| wanted(block));
        if !stretch.clone().any(|row| has_any(&row)) {
            return Ok(());
        }
        for row in disk.read_rows(decoder, stretch.clone(), buffer)? {
            let mut corrected = rows::correct(disk, row, suspects, wanted, sink)?;
            let mut put = put.lock().unwrap_or_else(PoisonError::into_inner);
            put.append(&mut corrected);
        }
        Ok::<_, CorrectError>(())
    };
    let count = stretches.len() as u64;
    workers.for_each(count, AlignedBuffer::default, one, || ())?;
    Ok(put.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Whether a number is in any of some ranges, which are in order and apart.
pub fn contains(ranges: &[Range<u64>], number: u64) -> bool {
    let after = ranges.partition_point(|range| range.end <= number);
    ranges.get(after).is_some_and(|range| range.start <= number)
}

/// Whether an error is that of a place that cannot be read, and no other one.
fn is_fault(error: &SourceError) -> bool {
    let SourceError::Read { source, .. } = error else {
        return false;
    };
    let code = source.raw_os_error();
    [libc::EIO, libc::ENODATA].map(Some).contains(&code)
}

/// Fills a buffer. False where the place cannot be read.
fn read(source: &dyn Source, buffer: &mut [u8], offset: u64) -> Result<bool, SourceError> {
    match source.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if is_fault(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
