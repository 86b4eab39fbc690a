//! Which blocks of the covered sequence are bad, and which may be. No I/O.

use std::ops::Range;

use dm_verity::fec::FecLayout;

use super::{
    super::{Findings, findings::merged, runs::Runs},
    CoveredDisk, contains,
};

/// How many bytes of sums the rows have that are taken at once: they stay in the processor's cache.
const STRETCH_BYTES: usize = 1 << 20;

/// As many rows are taken at once, where their sums are small.
const MAX_ROWS: usize = 128;

/// What findings say of the covered sequence: ranges of it, in order and apart.
pub(super) struct Suspects {
    /// Blocks that are not what they must be.
    pub(super) bad: Vec<Range<u64>>,
    /// Blocks under bad hash blocks.
    unknown: Vec<Range<u64>>,
}

impl Suspects {
    pub(super) fn of(findings: &Findings, disk: &CoveredDisk<'_>) -> Self {
        let runs = Runs::new(disk.tree.params);
        let data_blocks = disk.layout.data_blocks();
        let mut bad = findings.corrupt_data.clone();
        let mut unknown = findings.unverifiable_data.clone();
        for hash_block in &findings.corrupt_hash_blocks {
            let under = runs.data_under(hash_block.level, hash_block.block);
            let levels = runs.layout().levels().iter().enumerate();
            for (level, at) in levels.take(hash_block.level + 1) {
                let first = data_blocks + at.first_block;
                let blocks = runs.hash_blocks(level, &under);
                let blocks = first + blocks.start..first + blocks.end;
                if level == hash_block.level {
                    bad.push(blocks);
                } else {
                    unknown.push(blocks);
                }
            }
        }
        Self {
            bad: merged(bad),
            unknown: merged(unknown),
        }
    }

    pub(super) fn is_bad(&self, block: u64) -> bool {
        contains(&self.bad, block)
    }

    pub(super) fn is_unknown(&self, block: u64) -> bool {
        contains(&self.unknown, block)
    }

    /// The rows with any of them.
    pub(super) fn rows(&self, layout: &FecLayout) -> Vec<Range<u64>> {
        let mut all = rows(&self.bad, layout);
        all.extend(rows(&self.unknown, layout));
        merged(all)
    }
}

/// The rows that blocks are in, in order and merged.
pub(super) fn rows(blocks: &[Range<u64>], layout: &FecLayout) -> Vec<Range<u64>> {
    let rounds = layout.rounds();
    let mut rows = Vec::new();
    for blocks in blocks {
        let start = blocks.start % rounds;
        let end = start + (blocks.end - blocks.start).min(rounds);
        rows.push(start..end.min(rounds));
        if end > rounds {
            rows.push(0..end - rounds);
        }
    }
    merged(rows)
}

/// Rows in pieces that are read at once.
pub(super) fn stretches(rows: &[Range<u64>], layout: &FecLayout) -> Vec<Range<u64>> {
    let most = (STRETCH_BYTES / layout.row_parity_bytes()).clamp(1, MAX_ROWS);
    let pieces = rows.iter().flat_map(|rows| {
        let starts = rows.clone().step_by(most);
        starts.map(|start| start..rows.end.min(start + most as u64))
    });
    pieces.collect()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is meant")]
mod tests {
    use dm_verity::{BlockSize, HashAlgorithm, Salt, VerityParams, fec::FecRoots};

    use super::*;

    #[test]
    fn rows_of_blocks() {
        let size = BlockSize::DEFAULT;
        let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 1000, Salt::default());
        let layout = FecLayout::new(&params.unwrap(), FecRoots::default()).unwrap();
        assert_eq!(layout.rounds(), 4);
        for (blocks, expected) in [
            (vec![], vec![]),
            (vec![5..6], vec![1..2]),
            (vec![7..9], vec![0..1, 3..4]),
            (vec![7..8, 8..10], vec![0..2, 3..4]),
            (vec![1..5], vec![0..4]),
            (vec![2..900], vec![0..4]),
        ] {
            assert_eq!(rows(&blocks, &layout), expected, "{blocks:?}");
        }
        assert_eq!(
            stretches(&[0..3, 7..400], &layout),
            [0..3, 7..135, 135..263, 263..391, 391..400]
        );
    }
}
