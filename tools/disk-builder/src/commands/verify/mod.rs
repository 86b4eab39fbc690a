//! `verify`: checks every block of a disk.

mod damage;
mod manifest;
mod report;
mod verified_filesystem;

use std::path::{Path, PathBuf};

use dm_verity::{RootHash, TreeLayout};
use model_disk::{
    BackingFile, BackingFileError, Disk, DiskArguments, DiskError, ExitCode, HasExitCode,
    ParamsSource, filesystem::FsType,
};

pub use damage::{Damage, Damages};
pub use manifest::{ManifestMismatch, ManifestReport, ManifestVerdict, NotCompared};
pub use report::VerifyReport;

use crate::{
    engine::{FileSource, SourceError, VerifyTreeError, Workers, verify_tree},
    output::storage,
};
use verified_filesystem::VerifiedFilesystem;

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
}

impl HasExitCode for VerifyError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::Tree(
                VerifyTreeError::Source(SourceError::Read { .. } | SourceError::File(_))
                | VerifyTreeError::Interrupted(_),
            ) => ExitCode::Failure,
            Self::Tree(_) => ExitCode::Integrity,
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
        }
    }

    /// Checks every block, and tells which are corrupt.
    pub fn run(&self, workers: &Workers) -> Result<VerifyReport, VerifyError> {
        let data = BackingFile::open(&self.image)?;
        let hash = self.other_device().map(BackingFile::open).transpose()?;
        let arguments = DiskArguments {
            root_hash: Some(self.root_hash),
            fs_type: self.fs_type,
            params: self.params.clone(),
        };
        let disk = Disk::check(data, hash, &arguments)?;
        let params = disk.params();
        let tree_end = disk.hash_area().end(&TreeLayout::new(params));
        let findings = verify_tree(
            params,
            &self.root_hash,
            &FileSource::of(disk.data_file(), params.data_bytes()),
            &FileSource::of(disk.hash_file(), tree_end),
            &disk.hash_area(),
            workers,
        )?;
        let filesystem = VerifiedFilesystem::new(&disk, &findings);
        // What a corrupt disk holds cannot be compared with anything.
        let manifest = if findings.is_clean() {
            ManifestReport::find(&disk, &self.root_hash, &filesystem)
        } else {
            None
        };
        Ok(VerifyReport {
            image: self.image.clone(),
            root_hash: self.root_hash,
            binding: disk.binding(),
            params: params.clone(),
            hash_area: disk.hash_area(),
            damages: Damages::locate(&findings, &filesystem, params.data_block_size()),
            findings,
            manifest,
        })
    }

    fn other_device(&self) -> Option<&Path> {
        let path = self.hash_device.as_deref()?;
        (!storage::is_same(path, &self.image)).then_some(path)
    }
}
