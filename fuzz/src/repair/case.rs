//! A disk that is damaged, what the arguments say of it, and what must come of that.

use std::ops::Range;

use disk_builder::{
    commands::{
        repair::{Repair, RepairError, RepairReport},
        verify::{Verify, VerifyError, VerifyReport},
    },
    engine::{CorrectError, VerifyTreeError, contains},
};
use dm_verity::{SUPERBLOCK_SIZE, fec::FecRoots};
use model_disk::{
    ExpectedParams, FecArguments, HasExitCode, ParamsSource,
    filesystem::{FsType, HEADER_SIZE, NoFilesystem},
};

use super::{
    ARGUMENTS_SIZE,
    disk::{Files, RepairDisk},
    model::{Covered, ranges},
};
use crate::built_disk::workers;

pub(super) struct RepairCase<'a> {
    disk: &'a RepairDisk<'a>,
    covered: Covered<'a>,
    damaged: Files,
    repair: Repair,
}

impl<'a> RepairCase<'a> {
    pub(super) fn new(
        disk: &'a RepairDisk<'a>,
        raw: &[u8; ARGUMENTS_SIZE],
        damaged: Files,
    ) -> Self {
        let said = |bit: u8| raw[1] >> bit & 1 == 1;
        let params = &disk.plan.params;
        let expected = ExpectedParams {
            data_blocks: said(1).then_some(params.data_blocks()),
            data_block_size: said(0).then_some(params.data_block_size()),
            hash_block_size: said(0).then_some(params.hash_block_size()),
            algorithm: None,
            salt: said(2).then(|| params.salt().clone()),
        };
        let repair = Repair {
            image: disk.path(0),
            root_hash: disk.root_hash,
            hash_device: disk.shape.tree_apart.then(|| disk.path(1)),
            fs_type: FsType::default(),
            params: if disk.shape.superblock {
                ParamsSource::Superblock {
                    hash_offset: (!said(3)).then_some(disk.plan.area.offset()),
                    expected,
                }
            } else {
                ParamsSource::Arguments {
                    params: params.clone(),
                    hash_area: disk.plan.area,
                }
            },
            fec: FecArguments {
                device: disk.shape.fec_apart.then(|| disk.path(2)),
                offset: disk
                    .shape
                    .has_more_covered()
                    .then_some(disk.fec.area.offset()),
                roots: match raw[5] {
                    0 => disk.shape.roots,
                    said => FecRoots::try_from(2 + u32::from(said % 23)).unwrap(),
                },
            },
        };
        Self {
            disk,
            covered: Covered::new(disk),
            damaged,
            repair,
        }
    }

    /// Repairs it twice, and compares.
    pub(super) fn judge(&self) {
        self.disk.write(&self.damaged);
        let proposed = self.verify(Some(self.repair.fec.clone()));
        assert!(self.disk.read() == self.damaged, "verify wrote");
        let repaired = self.repair.run(workers());
        let now = self.disk.read();
        self.check_written(&now);
        match &repaired {
            Ok(report) => {
                assert!(!report.to_string().is_empty() && report.to_json().is_object());
                self.check_report(report, &now);
                if let Ok(proposed) = proposed {
                    check_proposed(&proposed, report);
                }
            }
            Err(error) => {
                assert!(!error.to_string().is_empty() && error.exit_code() as u8 >= 2);
                assert!(now == self.damaged, "written for nothing: {error}");
                assert!(!self.is_bound() || self.has_another_top(error), "{error}");
            }
        }
        let again = self.repair.run(workers());
        assert!(self.disk.read() == now, "the second run wrote");
        let left = |report: RepairReport| report.findings;
        assert_eq!(repaired.ok().map(left), again.ok().map(left));
    }

    fn verify(&self, fec: Option<FecArguments>) -> Result<VerifyReport, VerifyError> {
        Verify {
            image: self.repair.image.clone(),
            root_hash: self.repair.root_hash,
            hash_device: self.repair.hash_device.clone(),
            fs_type: self.repair.fs_type,
            params: self.repair.params.clone(),
            fec,
        }
        .run(workers())
    }

    /// Whether what is damaged is no more than data, tree, parity, and a superblock that can be made
    /// again, so that the parameters are those of the disk.
    fn is_bound(&self) -> bool {
        let (disk, shape) = (self.disk, &self.disk.shape);
        let lengths = |files: &Files| [0, 1, 2].map(|file| files[file].len());
        if lengths(&self.damaged) != lengths(&disk.files) || self.repair.fec.roots != shape.roots {
            return false;
        }
        let ParamsSource::Superblock {
            hash_offset,
            expected,
        } = &self.repair.params
        else {
            return true;
        };
        let has_header = has_header(disk, &self.damaged);
        let place = hash_offset.is_some() || shape.tree_apart;
        let superblock = disk.superblock().start..disk.superblock().start + SUPERBLOCK_SIZE;
        let [now, built] = [&self.damaged, &disk.files].map(|files| &files[disk.tree_file()]);
        if now[superblock.clone()] == built[superblock] {
            let filesystem = shape.has_filesystem() && has_header;
            let bound = !shape.own_salt || expected.data_blocks.is_some() || filesystem;
            return bound && (place || filesystem);
        }
        // A filesystem that is none of this disk could bind another superblock.
        let filesystem = FsType::default().claimed_bytes(&self.damaged[0]);
        let no_other = has_header || filesystem == Err(NoFilesystem::Magic);
        let sizes = expected.data_block_size.is_some();
        let salt = !shape.own_salt || expected.salt.is_some();
        let blocks =
            expected.data_blocks.is_some() || (expected.salt.is_none() && !shape.has_more_data());
        no_other && place && sizes && salt && blocks
    }

    /// Whether it is refused for the top of its tree, rightly.
    fn has_another_top(&self, error: &RepairError) -> bool {
        // Of a superblock that cannot be made again it is told what is wrong with that.
        let is_of_top = match error {
            RepairError::Correct(CorrectError::Tree(VerifyTreeError::RootHash(_))) => true,
            RepairError::Disk(_) => self.disk.shape.superblock,
            _ => false,
        };
        is_of_top && self.covered.corrected(&self.damaged)[self.covered.top()]
    }

    /// What is written to data, tree and superblock is what was built, and to the rest nothing.
    fn check_written(&self, now: &Files) {
        let disk = self.disk;
        let mut rest = now.clone();
        let blocks = (0..self.covered.count()).map(|block| disk.place(block as u64));
        let rows = (0..disk.fec.layout.rounds()).map(|row| (disk.fec_file(), disk.parity(row)));
        let superblock = (disk.tree_file(), disk.superblock());
        for (file, range) in blocks.chain(rows).chain([superblock]) {
            let all = [&disk.files, &self.damaged].map(|files| files[file].get(range.clone()));
            if let ([Some(built), Some(before)], Some(rest)) = (all, rest[file].get_mut(range))
                && rest == built
            {
                rest.copy_from_slice(before);
            }
        }
        if !self.is_bound() || !self.covered.has_rest(&self.covered.wrong(&self.damaged)) {
            // Parity follows what is covered, whatever that is: of what is after the tree nobody knows
            // what it should be.
            let (file, start) = (disk.fec_file(), disk.fec.area.offset() as usize);
            let start = start.min(rest[file].len());
            assert_eq!(rest[file].len(), self.damaged[file].len());
            rest[file][start..].copy_from_slice(&self.damaged[file][start..]);
        }
        assert!(rest == self.damaged, "other bytes were written");
    }

    fn check_report(&self, report: &RepairReport, now: &Files) {
        let (disk, covered) = (self.disk, &self.covered);
        let (before, after) = (covered.wrong(&self.damaged), covered.wrong(now));
        let findings = &report.findings;
        match self.verify(None) {
            Ok(verified) => assert_eq!(verified.findings, *findings),
            Err(error) => assert!(!has_header(disk, now), "{error}"),
        }
        if findings.is_clean() {
            assert_eq!(report.params, disk.plan.params);
            assert!(after[..covered.count()].iter().all(|wrong| !wrong));
        }
        if report.params != disk.plan.params {
            assert!(!self.is_bound());
            return;
        }
        assert_eq!(*findings, covered.findings(&after));
        let data_blocks = disk.fec.layout.data_blocks() as usize;
        let corrected = |block: &usize| before[*block] && !after[*block];
        let of_data = ranges((0..data_blocks).filter(corrected));
        let of_tree = (data_blocks..covered.count()).filter(corrected);
        assert_eq!(corrected_data(report), of_data);
        assert_eq!(report.corrected_hash_blocks, covered.hash_blocks(of_tree));
        if !self.is_bound() {
            return;
        }
        let promised = covered.corrected(&self.damaged);
        for block in 0..covered.count() {
            assert!(promised[block] || !after[block], "{block} can be corrected");
        }
        if covered.has_rest(&before) {
            self.check_parity(report, now, &covered.right_rows(&after));
        }
    }

    /// Parity is made right where all blocks are, if any of it was.
    fn check_parity(&self, report: &RepairReport, now: &Files, right: &[usize]) {
        let (disk, file) = (self.disk, self.disk.fec_file());
        let of = |files: &Files, row: usize| files[file][disk.parity(row as u64)].to_vec();
        let is_wrong = |row: &usize| of(&self.damaged, *row) != of(&disk.files, *row);
        let wrong = ranges(right.iter().copied().filter(is_wrong));
        assert_eq!(report.parity.compared, right.len() as u64);
        assert_eq!(report.parity.wrong, wrong);
        for row in 0..disk.fec.layout.rounds() as usize {
            let is_made = right.contains(&row) && report.parity.is_of_this_disk();
            let expected = if is_made { &disk.files } else { &self.damaged };
            assert!(of(now, row) == of(expected, row), "parity of row {row}");
        }
    }
}

/// Whether the start of the data is as it was built.
fn has_header(disk: &RepairDisk<'_>, files: &Files) -> bool {
    let [built, now] = [&disk.files, files].map(|files| &files[0]);
    let length = built.len().min(HEADER_SIZE);
    now.get(..length) == Some(&built[..length])
}

fn corrected_data(report: &RepairReport) -> Vec<Range<u64>> {
    let damages = report.corrected.corrupt.iter();
    let blocks = damages.flat_map(|damage| damage.blocks.clone());
    ranges(blocks.map(|block| block as usize))
}

/// What `verify` said that FEC can correct has been corrected.
fn check_proposed(proposed: &VerifyReport, repaired: &RepairReport) {
    let Some(verdict) = &proposed.fec else {
        return;
    };
    for block in &proposed.findings.corrupt_hash_blocks {
        let corrected = repaired.corrected_hash_blocks.contains(block);
        assert!(
            corrected || !verdict.corrects_hash_block(block),
            "{block:?}"
        );
    }
    let corrected = corrected_data(repaired);
    for blocks in &proposed.findings.corrupt_data {
        let all = blocks.clone().all(|block| contains(&corrected, block));
        assert!(all || !verdict.corrects_data(blocks), "{blocks:?}");
    }
}
