//! `verify`: checks every block of a disk.

mod correctable;
mod damage;
mod manifest;
mod report;
mod verified_filesystem;

use std::path::{Path, PathBuf};

use dm_verity::{RootHash, TreeLayout};
use model_disk::{
    BackingFile, BackingFileError, Disk, DiskArguments, DiskError, ExitCode, FecArguments,
    HasExitCode, ParamsSource, UnjudgedDisk, filesystem::FsType,
};

pub use correctable::FecVerdict;
pub use damage::{Damage, Damages};
pub use manifest::{ManifestMismatch, ManifestReport, ManifestVerdict, NotCompared};
pub use report::VerifyReport;
pub(super) use report::{hash_block, ranges, write_damages};

use crate::{
    engine::{
        CorrectError, FileSource, Findings, TreeParts, VerifyTreeError, Workers, verify_tree,
    },
    output::storage,
};
pub(super) use verified_filesystem::VerifiedFilesystem;

/// What `verify` is to do.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The data, and the tree unless that is elsewhere.
    pub image: PathBuf,
    /// What it is compared with.
    pub root_hash: RootHash,
    /// Where the tree is, if not with the data.
    pub hash_device: Option<PathBuf>,
    /// The filesystem on the disk.
    pub fs_type: FsType,
    /// Where the parameters of the tree come from.
    pub params: ParamsSource,
    /// Where the FEC area is, if it is to be told what it could correct.
    pub fec: Option<FecArguments>,
}

/// Why a disk could not be checked, or is not what the root hash says.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be opened.
    #[error(transparent)]
    File(#[from] BackingFileError),
    /// It is refused before all of it is read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The check itself failed, or the root hash is another.
    #[error(transparent)]
    Tree(#[from] VerifyTreeError),
    /// The same, or what could be corrected could not be found out.
    #[error(transparent)]
    Correct(#[from] CorrectError),
}

impl HasExitCode for VerifyError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::Tree(error) => error.exit_code(),
            Self::Correct(error) => error.exit_code(),
        }
    }
}

impl Verify {
    /// An image with its superblock and tree after the filesystem, as
    /// [`Build`](crate::commands::build::Build) makes it.
    pub fn new(image: impl Into<PathBuf>, root_hash: RootHash) -> Self {
        Self {
            image: image.into(),
            root_hash,
            hash_device: None,
            fs_type: FsType::default(),
            params: ParamsSource::default(),
            fec: None,
        }
    }

    /// Checks every block, and tells which are corrupt.
    pub fn run(&self, workers: &Workers) -> Result<VerifyReport, VerifyError> {
        let data = BackingFile::open(&self.image)?;
        let hash = self.other_device().map(BackingFile::open).transpose()?;
        let mut arguments = DiskArguments {
            root_hash: Some(self.root_hash),
            fs_type: self.fs_type,
            params: self.params.clone(),
        };
        if let Some(fec) = &self.fec {
            arguments.root_hash = None;
            let fec = fec.open(BackingFile::open)?;
            let arguments = (&arguments, &self.root_hash);
            let disk = UnjudgedDisk::find(data, hash, arguments, fec)?;
            let (findings, verdict) = FecVerdict::find(&disk, workers)?;
            if findings.is_clean() {
                return Ok(self.report(&disk.judge()?, findings, Some(verdict)));
            }
            return Ok(self.report(disk.claimed(), findings, Some(verdict)));
        }
        let disk = Disk::check(data, hash, &arguments)?;
        let params = disk.params();
        let tree_end = disk.hash_area().end(&TreeLayout::new(params));
        let parts = TreeParts {
            params,
            root_hash: &self.root_hash,
            data: &FileSource::of(disk.data_file(), params.data_bytes()),
            hashes: &FileSource::of(disk.hash_file(), tree_end),
            area: disk.hash_area(),
        };
        let findings = verify_tree(&parts, workers)?;
        Ok(self.report(&disk, findings, None))
    }

    fn report(&self, disk: &Disk, findings: Findings, fec: Option<FecVerdict>) -> VerifyReport {
        let filesystem = VerifiedFilesystem::new(disk, &findings);
        // What a corrupt disk holds cannot be compared with anything.
        let manifest = if findings.is_clean() {
            ManifestReport::find(disk, &self.root_hash, &filesystem)
        } else {
            None
        };
        let params = disk.params();
        VerifyReport {
            image: self.image.clone(),
            root_hash: self.root_hash,
            binding: disk.binding(),
            params: params.clone(),
            hash_area: disk.hash_area(),
            damages: Damages::locate(&findings, &filesystem, params.data_block_size()),
            findings,
            fec,
            manifest,
        }
    }

    fn other_device(&self) -> Option<&Path> {
        let path = self.hash_device.as_deref()?;
        (!storage::is_same(path, &self.image)).then_some(path)
    }
}
