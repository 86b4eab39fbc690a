//! What is corrupt. No I/O.

use std::ops::Range;

use serde::Serialize;

/// How many entries are kept of each list: a disk that is all wrong must not fill the memory.
const MAX_ENTRIES: usize = 1 << 18;

/// A hash block that is not what the block above it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct HashBlock {
    /// Its level: 0 holds the digests of the data blocks.
    pub level: usize,
    /// Its number in the level, from 0.
    pub block: u64,
    /// Where it starts on the hash device, in bytes.
    pub offset: u64,
}

/// What is corrupt in a tree and its data. Ranges are of data blocks, merged and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Hash blocks, by level and number. What lies under one is not checked.
    pub corrupt_hash_blocks: Vec<HashBlock>,
    /// Data that differs from its digests.
    pub corrupt_data: Vec<Range<u64>>,
    /// Data under corrupt hash blocks: nobody can tell whether it is right, and the kernel
    /// refuses to read it.
    pub unverifiable_data: Vec<Range<u64>>,
    /// There is so much that some of it was left out.
    pub incomplete: bool,
}

impl Findings {
    /// Nothing is corrupt.
    pub fn is_clean(&self) -> bool {
        self.corrupt_hash_blocks.is_empty() && self.corrupt_data.is_empty()
    }

    /// All data that is corrupt or may be, merged and in order.
    pub(super) fn damaged_data(&self) -> Vec<Range<u64>> {
        merged([&self.corrupt_data[..], &self.unverifiable_data].concat())
    }

    pub(super) fn corrupt_hash_block(&mut self, block: HashBlock) {
        if self.corrupt_hash_blocks.len() < MAX_ENTRIES {
            self.corrupt_hash_blocks.push(block);
        } else {
            self.incomplete = true;
        }
    }

    /// Joins a block to the range that was told last, where it is the next one.
    pub(super) fn corrupt_data_block(&mut self, block: u64) {
        let room = self.corrupt_data.len() < MAX_ENTRIES;
        match self.corrupt_data.last_mut() {
            Some(last) if last.end == block => last.end += 1,
            _ if room => self.corrupt_data.push(block..block + 1),
            _ => self.incomplete = true,
        }
    }

    /// Puts all in order. `data_under` tells which data a hash block covers.
    pub(super) fn complete(mut self, data_under: impl Fn(&HashBlock) -> Range<u64>) -> Self {
        self.corrupt_hash_blocks.sort_unstable();
        let under = self.corrupt_hash_blocks.iter().map(data_under).collect();
        self.unverifiable_data = merged(under);
        self.corrupt_data = merged(self.corrupt_data);
        self
    }
}

/// Ranges in order, without gaps between two that touch.
pub(super) fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged() {
        for (ranges, expected) in [
            (&[][..], "[]"),
            (&[3..5, 0..1], "[0..1, 3..5]"),
            (&[1..2, 0..1], "[0..2]"),
            (&[0..10, 2..3, 10..11], "[0..11]"),
        ] {
            assert_eq!(format!("{:?}", merged(ranges.to_vec())), expected);
        }
    }

    #[test]
    fn told_in_any_order() {
        let mut findings = Findings::default();
        for block in [8, 9, 0, 1, 10] {
            findings.corrupt_data_block(block);
        }
        for block in [7, 5, 4] {
            findings.corrupt_hash_block(HashBlock {
                level: 1,
                block,
                offset: 0,
            });
        }
        let findings = findings.complete(|block| block.block * 100..(block.block + 1) * 100);
        assert!(!findings.is_clean());
        assert_eq!(findings.corrupt_data, [0..2, 8..11]);
        assert_eq!(findings.corrupt_hash_blocks[0].block, 4);
        assert_eq!(findings.unverifiable_data, [400..600, 700..800]);
    }

    #[test]
    fn endless_corruption_is_cut_and_says_so() {
        let mut findings = Findings::default();
        for block in 0..=MAX_ENTRIES as u64 {
            assert!(!findings.incomplete);
            findings.corrupt_data_block(2 * block);
        }
        assert!(findings.incomplete);
        assert_eq!(findings.complete(|_| 0..0).corrupt_data.len(), MAX_ENTRIES);
    }
}
