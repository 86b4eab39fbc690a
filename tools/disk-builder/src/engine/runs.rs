//! How a tree is cut into runs. No I/O.

use std::ops::Range;

use dm_verity::{TreeLayout, VerityParams};

/// About how many bytes of data a run has; the finest grain of work. Small, so that the threads
/// together read a file nearly in order: then the kernel's read-ahead serves them all.
const RUN_BYTES: u64 = 4 << 20;

/// The most data that one kept digest stands for.
const UNIT_BYTES: u64 = 16 << 20;

/// A kept digest stands for at least so many times its size of data, where a unit can be made
/// so large.
const DATA_PER_DIGEST: u64 = 16384;

/// A tree cut into runs of whole units.
///
/// The levels below [`Runs::lower_levels`] are made or checked run by run, the others at once.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    layout: TreeLayout,
    fanout: u64,
    data_blocks: u64,
    lower_levels: usize,
    unit_blocks: u64,
    units_per_run: u64,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Its data blocks; only the last run may end within a unit.
    pub(super) blocks: Range<u64>,
    /// Its units.
    pub(super) units: Range<u64>,
}

impl Run {
    /// How many bytes of data it has.
    pub(super) fn bytes(&self, params: &VerityParams) -> u64 {
        (self.blocks.end - self.blocks.start) * params.data_block_size().bytes()
    }
}

impl Runs {
    pub(super) fn new(params: &VerityParams) -> Self {
        let layout = TreeLayout::new(params);
        let fanout = params.digests_per_block();
        let block_bytes = params.data_block_size().bytes();
        let enough = DATA_PER_DIGEST * params.digest_size() as u64;
        let mut lower_levels = 0;
        let mut unit_blocks = 1;
        // At least one level, or the digest of each data block would be kept.
        while lower_levels < layout.levels().len()
            && (lower_levels == 0
                || (unit_blocks * block_bytes < enough
                    && unit_blocks * fanout * block_bytes <= UNIT_BYTES))
        {
            lower_levels += 1;
            unit_blocks *= fanout;
        }
        Self {
            layout,
            fanout,
            data_blocks: params.data_blocks(),
            lower_levels,
            unit_blocks,
            units_per_run: (RUN_BYTES / (unit_blocks * block_bytes)).max(1),
        }
    }

    pub(super) fn layout(&self) -> &TreeLayout {
        &self.layout
    }

    pub(super) fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// How many levels are made run by run; at most as many as there are.
    pub(super) fn lower_levels(&self) -> usize {
        self.lower_levels
    }

    /// How many units there are: as many as there are digests in the level above those made run
    /// by run, or one, where there is none above.
    pub(super) fn units(&self) -> u64 {
        self.data_blocks.div_ceil(self.unit_blocks)
    }

    /// How many runs there are.
    pub(super) fn count(&self) -> u64 {
        self.units().div_ceil(self.units_per_run)
    }

    /// A run, counted from 0.
    pub(super) fn get(&self, index: u64) -> Run {
        let start = index * self.units_per_run;
        self.of_units(start..(start + self.units_per_run).min(self.units()))
    }

    fn of_units(&self, units: Range<u64>) -> Run {
        let blocks =
            units.start * self.unit_blocks..(units.end * self.unit_blocks).min(self.data_blocks);
        Run { blocks, units }
    }

    /// The runs over ranges of data blocks, which are in order: whole units, none of them twice.
    pub(super) fn over(&self, data_blocks: &[Range<u64>]) -> RunsOver<'_> {
        let mut parts: Vec<(u64, Range<u64>)> = Vec::new();
        for blocks in data_blocks {
            let end = blocks.end.div_ceil(self.unit_blocks);
            let start = blocks.start / self.unit_blocks;
            match parts.last_mut() {
                Some((_, last)) if start <= last.end => last.end = last.end.max(end),
                _ => parts.push((0, start..end)),
            }
        }
        let mut count = 0;
        for (first, units) in &mut parts {
            *first = count;
            count += (units.end - units.start).div_ceil(self.units_per_run);
        }
        RunsOver {
            runs: self,
            parts,
            count,
        }
    }

    /// The hash blocks of a level over a range of data blocks that starts where a hash block's
    /// data starts, counted from the first of the level.
    pub(super) fn hash_blocks(&self, level: usize, blocks: &Range<u64>) -> Range<u64> {
        let covered = self.covered(level);
        blocks.start / covered..blocks.end.div_ceil(covered)
    }

    /// The data blocks under a hash block.
    pub(super) fn data_under(&self, level: usize, block: u64) -> Range<u64> {
        let covered = self.covered(level);
        block * covered..((block + 1) * covered).min(self.data_blocks)
    }

    /// How many data blocks a hash block of a level covers: less than the fanout times all data
    /// blocks, which parameters keep far below 2^63.
    fn covered(&self, level: usize) -> u64 {
        self.fanout.pow(level as u32 + 1)
    }
}

/// Runs over a part of the data.
pub(super) struct RunsOver<'a> {
    runs: &'a Runs,
    /// Units, in order and apart, each with the number of its first run.
    parts: Vec<(u64, Range<u64>)>,
    count: u64,
}

impl RunsOver<'_> {
    /// How many runs there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// A run, counted from 0.
    #[expect(
        clippy::indexing_slicing,
        reason = "the first part has run 0, and there is no run without a part"
    )]
    pub(super) fn get(&self, index: u64) -> Run {
        let part = self.parts.partition_point(|(first, _)| *first <= index) - 1;
        let (first, units) = &self.parts[part];
        let start = units.start + (index - first) * self.runs.units_per_run;
        let end = (start + self.runs.units_per_run).min(units.end);
        self.runs.of_units(start..end)
    }

    /// How many bytes of data they have.
    pub(super) fn bytes(&self, params: &VerityParams) -> u64 {
        let parts = self.parts.iter();
        parts
            .map(|(_, units)| self.runs.of_units(units.clone()).bytes(params))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use dm_verity::{BlockSize, HashAlgorithm, MAX_BYTES, Salt};

    use super::*;

    fn runs(algorithm: HashAlgorithm, data: u64, hash: u64, blocks: u64) -> Runs {
        let size = |bytes| BlockSize::new(bytes).unwrap();
        let params = VerityParams::new(algorithm, size(data), size(hash), blocks, Salt::default());
        Runs::new(&params.unwrap())
    }

    fn shapes() -> impl Iterator<Item = (HashAlgorithm, u64, u64)> {
        HashAlgorithm::ALL.into_iter().flat_map(|algorithm| {
            (9..=16)
                .flat_map(move |data| (9..=16).map(move |hash| (algorithm, 1 << data, 1 << hash)))
        })
    }

    #[test]
    fn the_usual_shape() {
        let runs = runs(HashAlgorithm::Sha256, 4096, 4096, 1 << 20);
        assert_eq!((runs.lower_levels(), runs.unit_blocks), (1, 128));
        assert_eq!((runs.units(), runs.count()), (8192, 1024));
        assert_eq!(
            runs.get(1),
            Run {
                blocks: 1024..2048,
                units: 8..16
            }
        );
    }

    #[test]
    fn few_blocks() {
        let runs = |blocks| runs(HashAlgorithm::Sha256, 4096, 4096, blocks);
        assert_eq!(runs(1).lower_levels(), 0);
        assert_eq!(
            runs(1).get(0),
            Run {
                blocks: 0..1,
                units: 0..1
            }
        );
        assert_eq!(runs(2).lower_levels(), 1);
        assert_eq!(
            runs(129).get(0),
            Run {
                blocks: 0..129,
                units: 0..2
            }
        );
        assert_eq!(
            runs(1025).get(1),
            Run {
                blocks: 1024..1025,
                units: 8..9
            }
        );
    }

    #[test]
    fn runs_follow_each_other_and_cover_all() {
        for (algorithm, data, hash) in shapes() {
            for blocks in [1, 2, 1023, 1024, 1025, 1_000_000] {
                let runs = runs(algorithm, data, hash, blocks);
                let mut end = Run {
                    blocks: 0..0,
                    units: 0..0,
                };
                for index in 0..runs.count() {
                    let run = runs.get(index);
                    assert_eq!(run.blocks.start, end.blocks.end);
                    assert_eq!(run.units.start, end.units.end);
                    assert!(!run.blocks.is_empty());
                    end = run;
                }
                assert_eq!((end.blocks.end, end.units.end), (blocks, runs.units()));
            }
        }
    }

    #[test]
    fn runs_over_a_part() {
        // Units of 128 blocks, 8 to a run.
        let runs = runs(HashAlgorithm::Sha256, 4096, 4096, 3000);
        let over = |ranges: &[Range<u64>]| {
            let over = runs.over(ranges);
            let all = (0..over.count()).map(|index| over.get(index).blocks);
            all.collect::<Vec<_>>()
        };
        let all = (0..runs.count()).map(|index| runs.get(index).blocks);
        assert_eq!(over(&[0..100, 100..3000]), all.collect::<Vec<_>>());
        assert_eq!(over(&[]), []);
        assert_eq!(over(&[5..6, 7..130, 2999..3000]), [0..256, 2944..3000]);
        assert_eq!(
            over(&[0..1, 128..129, 500..1700]),
            [0..256, 384..1408, 1408..1792]
        );
        let params = |blocks| {
            let size = BlockSize::DEFAULT;
            VerityParams::new(HashAlgorithm::Sha256, size, size, blocks, Salt::default()).unwrap()
        };
        assert_eq!(
            runs.over(&[5..6, 2999..3000]).bytes(&params(3000)),
            (128 + 56) * 4096
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for (algorithm, data, hash) in shapes() {
            // 1 TiB of data, and the largest there can be.
            for bytes in [1 << 40, MAX_BYTES / 2 / 65536 * 65536] {
                let runs = runs(algorithm, data, hash, bytes / data.max(hash));
                let data_bytes = bytes / data.max(hash) * data;
                let kept = runs.units() * algorithm.digest_size() as u64;
                let share = if data == 4096 && hash == 4096 {
                    16384
                } else {
                    2048
                };
                assert!(kept <= data_bytes / share + 64, "{algorithm} {data} {hash}");
                let top = runs.layout().levels().len() - 1;
                assert_eq!(runs.data_under(top, 0), 0..runs.data_blocks);
                // The level-0 digests of a run are held by each worker.
                let run = runs.get(0).blocks;
                let digests = (run.end - run.start) * algorithm.digest_size() as u64;
                assert!(digests <= 2 << 20, "{algorithm} {data} {hash}");
            }
        }
    }

    #[test]
    fn what_lies_over_what() {
        let runs = runs(HashAlgorithm::Sha256, 4096, 4096, 20_000);
        assert_eq!(runs.hash_blocks(0, &(128..300)), 1..3);
        assert_eq!(runs.hash_blocks(1, &(16384..20_000)), 1..2);
        assert_eq!(runs.data_under(0, 156), 19_968..20_000);
        assert_eq!(runs.data_under(1, 0), 0..16384);
    }
}
