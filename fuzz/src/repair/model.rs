//! What is wrong with a disk whose right bytes are known, and what can be made good of it.

use std::ops::Range;

use disk_builder::engine::{Findings, HashBlock};

use super::disk::{Files, RepairDisk};

/// The blocks that an FEC area covers: data, tree, and what is after it.
pub(super) struct Covered<'a> {
    disk: &'a RepairDisk<'a>,
    /// Of each block of data and tree, the hash block with its digest; none of the top.
    above: Vec<Option<usize>>,
    /// Of each block of the tree, its level and its number there.
    levels: Vec<(usize, u64)>,
}

impl<'a> Covered<'a> {
    pub(super) fn new(disk: &'a RepairDisk<'a>) -> Self {
        let fanout = disk.plan.params.digests_per_block();
        let data_blocks = disk.fec.layout.data_blocks();
        let levels = disk.plan.layout.levels();
        let parent = |level: usize, number: u64| {
            let level = levels.get(level)?;
            Some((data_blocks + level.first_block + number / fanout) as usize)
        };
        let mut above: Vec<_> = (0..data_blocks).map(|block| parent(0, block)).collect();
        let mut numbers = Vec::new();
        // The top comes first.
        for (level, at) in levels.iter().enumerate().rev() {
            above.extend((0..at.blocks).map(|block| parent(level + 1, block)));
            numbers.extend((0..at.blocks).map(|block| (level, block)));
        }
        Self {
            disk,
            above,
            levels: numbers,
        }
    }

    /// The block whose digest is the root hash.
    pub(super) fn top(&self) -> usize {
        let is_top = |above: &Option<usize>| above.is_none();
        self.above.iter().position(is_top).unwrap()
    }

    /// How many blocks of data and tree there are.
    pub(super) fn count(&self) -> usize {
        self.above.len()
    }

    /// Whether all that is covered after the tree is as it was built.
    pub(super) fn has_rest(&self, wrong: &[bool]) -> bool {
        wrong[self.count()..].iter().all(|wrong| !wrong)
    }

    /// Of each block, whether it is not what was built.
    pub(super) fn wrong(&self, files: &Files) -> Vec<bool> {
        let blocks = 0..self.disk.fec.layout.covered_blocks();
        let wrong = blocks.map(|block| {
            let (file, range) = self.disk.place(block);
            files[file].get(range.clone()) != Some(&self.disk.files[file][range])
        });
        wrong.collect()
    }

    /// Whether all hash blocks above one of data or tree are right.
    fn is_known(&self, wrong: &[bool], block: usize) -> bool {
        let mut above = self.above[block];
        while let Some(hash_block) = above {
            if wrong[hash_block] {
                return false;
            }
            above = self.above[hash_block];
        }
        true
    }

    /// What must be told of that.
    pub(super) fn findings(&self, wrong: &[bool]) -> Findings {
        let data_blocks = self.disk.fec.layout.data_blocks() as usize;
        let is_bad = |block: &usize| wrong[*block] && self.is_known(wrong, *block);
        let unknown = |block: &usize| !self.is_known(wrong, *block);
        Findings {
            corrupt_hash_blocks: self.hash_blocks((data_blocks..self.count()).filter(is_bad)),
            corrupt_data: ranges((0..data_blocks).filter(is_bad)),
            unverifiable_data: ranges((0..data_blocks).filter(unknown)),
            incomplete: false,
        }
    }

    /// Blocks of the tree by level and number, in that order.
    pub(super) fn hash_blocks(&self, blocks: impl Iterator<Item = usize>) -> Vec<HashBlock> {
        let data_blocks = self.disk.fec.layout.data_blocks() as usize;
        let hash_blocks = blocks.map(|block| {
            let number = block - data_blocks;
            let (level, block) = self.levels[number];
            HashBlock {
                level,
                block,
                offset: self.disk.plan.area.block_offset(number as u64),
            }
        });
        let mut hash_blocks: Vec<_> = hash_blocks.collect();
        hash_blocks.sort_unstable();
        hash_blocks
    }

    /// The blocks of a row.
    fn row(&self, row: u64) -> impl Iterator<Item = usize> {
        let layout = self.disk.fec.layout;
        let blocks = (0..layout.columns()).map_while(move |column| layout.block_at(row, column));
        blocks.map(|block| block as usize)
    }

    /// The rows of which all that can be verified is right, and known to be.
    pub(super) fn right_rows(&self, wrong: &[bool]) -> Vec<usize> {
        let is_right =
            |block: usize| block >= self.count() || (!wrong[block] && self.is_known(wrong, block));
        let rows = 0..self.disk.fec.layout.rounds();
        let rows = rows.filter(|row| self.row(*row).all(is_right));
        rows.map(|row| row as usize).collect()
    }

    /// What is wrong still when all has been corrected that must be.
    pub(super) fn corrected(&self, files: &Files) -> Vec<bool> {
        let mut wrong = self.wrong(files);
        loop {
            let before = wrong.clone();
            for row in 0..self.disk.fec.layout.rounds() {
                for block in self.correctable(row, &wrong, files) {
                    wrong[block] = false;
                }
            }
            if wrong == before {
                return wrong;
            }
        }
    }

    /// The bad blocks of a row, if they must be corrected.
    fn correctable(&self, row: u64, wrong: &[bool], files: &Files) -> Vec<usize> {
        let (mut bad, mut unknown, mut wrong_unknown, mut wrong_rest) = (vec![], 0, 0, 0);
        for block in self.row(row) {
            if block >= self.count() {
                wrong_rest += usize::from(wrong[block]);
            } else if !self.is_known(wrong, block) {
                unknown += 1;
                wrong_unknown += usize::from(wrong[block]);
            } else if wrong[block] {
                bad.push(block);
            }
        }
        if bad.is_empty() {
            return bad;
        }
        let roots = self.disk.shape.roots.get();
        let size = self.disk.shape.block_size.as_usize();
        let range = self.disk.parity(row);
        let built = &self.disk.files[self.disk.fec_file()][range.clone()];
        let parity = &files[self.disk.fec_file()][range];
        let differing = |one: &[u8], other: &[u8]| {
            let pairs = one.iter().zip(other);
            pairs.filter(|(one, other)| one != other).count()
        };
        let codewords = parity.chunks(roots).zip(built.chunks(roots));
        let mut in_codewords: Vec<_> = codewords
            .map(|(one, other)| differing(one, other))
            .collect();
        let wrong_parity = in_codewords.iter().copied().max().unwrap_or(0);
        let as_they_are = bad.len() + 2 * (wrong_unknown + wrong_rest + wrong_parity);
        let as_erasures = bad.len() + unknown + 2 * (wrong_rest + wrong_parity);
        if as_they_are.min(as_erasures) <= roots {
            return bad;
        }
        // Those that are known to be bad need not be wrong in every byte.
        for block in self.row(row).filter(|block| wrong[*block]) {
            let (file, range) = self.disk.place(block as u64);
            let (now, built) = (&files[file][range.clone()], &self.disk.files[file][range]);
            for at in 0..size {
                in_codewords[at] += usize::from(now[at] != built[at]);
            }
        }
        if in_codewords.iter().any(|wrong| 2 * wrong > roots) {
            bad.clear();
        }
        bad
    }
}

/// Numbers in order, as ranges.
pub(super) fn ranges(numbers: impl Iterator<Item = usize>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for number in numbers.map(|number| number as u64) {
        match ranges.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}
