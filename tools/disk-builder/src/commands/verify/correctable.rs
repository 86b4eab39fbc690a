//! What the FEC area of a disk could correct, found out without a write.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_verity::fec::{FecArea, FecRoots};
use model_disk::{FileError, UnjudgedDisk};
use serde_json::{Value, json};

use crate::{
    commands::fec_sources::FecSources,
    engine::{
        CorrectError, CoveredPlace, Findings, HashBlock, ParityFindings, RepairSink, Source,
        SourceError, Workers, contains, correct, find_wrong_parity,
    },
};

/// As many bytes of corrected hash blocks are kept. What is under more of them is not told.
const MAX_KEPT: usize = 64 << 20;

/// What an FEC area could do for a disk.
#[derive(Clone, Debug)]
pub struct FecVerdict {
    /// Where the area is.
    pub area: FecArea,
    /// How many bytes of a codeword are parity.
    pub roots: FecRoots,
    /// What is wrong with the parity of rows that are not corrupt.
    pub parity: ParityFindings,
    hash_blocks: Vec<HashBlock>,
    data: Vec<Range<u64>>,
}

impl FecVerdict {
    /// Checks a disk, and whether each block that is corrupt could be corrected. What is under corrupt
    /// hash blocks that could be is checked as if they had been.
    pub(super) fn find(
        disk: &UnjudgedDisk,
        workers: &Workers,
    ) -> Result<(Findings, Self), CorrectError> {
        let sources = FecSources::of(disk);
        let overlay = HashOverlay {
            source: sources.hashes(),
            block_size: disk.fec().layout().block_size().as_usize(),
            blocks: Mutex::default(),
        };
        let covered = sources.with_hashes(&overlay);
        let outcome = correct(&covered, &overlay, workers)?;
        let hash_blocks = outcome.corrected_hash_blocks(&covered);
        let data = outcome.corrected_data(&covered);
        let mut findings = outcome.left;
        findings.corrupt_hash_blocks.extend(&hash_blocks);
        findings.corrupt_hash_blocks.sort_unstable();
        findings.corrupt_hash_blocks.dedup();
        findings.corrupt_data = cut(&findings.corrupt_data, &data);
        let parity = find_wrong_parity(&covered, &findings, workers)?;
        let verdict = Self {
            area: covered.area,
            roots: covered.layout.roots(),
            parity,
            hash_blocks,
            data,
        };
        Ok((findings, verdict))
    }

    /// Whether a corrupt hash block could be corrected.
    pub fn corrects_hash_block(&self, block: &HashBlock) -> bool {
        self.hash_blocks.binary_search(block).is_ok()
    }

    /// Whether some corrupt data blocks, of those that are told as one range, could be.
    pub fn corrects_data(&self, blocks: &Range<u64>) -> bool {
        contains(&self.data, blocks.start)
    }
}

impl FecVerdict {
    /// As a JSON object.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "offset": self.area.offset(),
            "roots": self.roots.get(),
            "rows_compared": self.parity.compared,
            "rows_wrong": self.parity.wrong_rows(),
            "area_found": self.parity.is_of_this_disk(),
        })
    }
}

/// What is said of the parity.
impl fmt::Display for FecVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (compared, wrong) = (self.parity.compared, self.parity.wrong_rows());
        if wrong == 0 {
            write!(
                f,
                "parity: right in all {compared} rows of blocks that are right"
            )
        } else {
            write!(
                f,
                "parity: wrong in {wrong} of {compared} rows of blocks that are right"
            )
        }
    }
}

/// Cuts ranges where others, which are in order and apart, begin and end.
fn cut(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut all = Vec::new();
    for range in ranges {
        let mut start = range.start;
        let first = others.partition_point(|other| other.end <= start);
        let others = others.iter().skip(first);
        let ends = others.flat_map(|other| [other.start, other.end]);
        for end in ends.take_while(|end| *end < range.end) {
            if end > start {
                all.push(start..end);
                start = end;
            }
        }
        all.push(start..range.end);
    }
    all
}

/// A tree in which blocks that can be corrected are as if they were.
struct HashOverlay<'a> {
    source: &'a dyn Source,
    block_size: usize,
    /// By their places.
    blocks: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl HashOverlay<'_> {
    fn blocks(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for HashOverlay<'_> {
    fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    /// Whole blocks are read of a tree.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let blocks = self.blocks();
        let here = blocks.range(offset..offset + buf.len() as u64);
        // What cannot be read need not be.
        if here.clone().count() * self.block_size < buf.len() {
            self.source.read_exact_at(buf, offset)?;
        }
        for (place, block) in here {
            let from = buf.get_mut((place - offset) as usize..).unwrap_or_default();
            from.iter_mut()
                .zip(block)
                .for_each(|(to, byte)| *to = *byte);
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.source.check_unchanged()
    }
}

impl RepairSink for HashOverlay<'_> {
    fn keeps_data(&self) -> bool {
        false
    }

    fn put(&self, place: CoveredPlace, block: &[u8]) -> Result<(), FileError> {
        let mut blocks = self.blocks();
        if let CoveredPlace::Hashes(offset) = place
            && (blocks.len() + 1) * self.block_size <= MAX_KEPT
        {
            blocks.insert(offset, block.to_owned());
        }
        Ok(())
    }

    fn put_parity(&self, _offset: u64, _parity: &[u8]) -> Result<(), FileError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), FileError> {
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is meant")]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_where_others_begin_and_end() {
        for (ranges, others, expected) in [
            (vec![0..10], vec![], vec![0..10]),
            (vec![0..10], vec![0..10], vec![0..10]),
            (vec![0..10], vec![2..3], vec![0..2, 2..3, 3..10]),
            (vec![0..4, 6..9], vec![3..7], vec![0..3, 3..4, 6..7, 7..9]),
            (vec![5..6], vec![0..5, 6..8], vec![5..6]),
        ] {
            assert_eq!(cut(&ranges, &others), expected, "{ranges:?} {others:?}");
        }
    }
}
