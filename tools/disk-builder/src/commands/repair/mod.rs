//! `repair`: corrects in place, by the FEC area, what is corrupt on a disk.

mod in_place;
mod report;

use std::path::{Path, PathBuf};

use dm_verity::RootHash;
use model_disk::{
    BackingFile, BackingFileError, DiskArguments, DiskError, ExitCode, FecArguments, FileError,
    HasExitCode, ParamsSource, UnjudgedDisk, filesystem::FsType,
};

pub use report::RepairReport;

use super::{
    fec_sources::FecSources,
    verify::{Damages, VerifiedFilesystem},
};
use crate::{
    engine::{CorrectError, Findings, Workers, correct, find_wrong_parity, write_parity},
    output::{OutputError, open_to_write, storage},
};
use in_place::InPlaceRepair;

/// What `repair` is to do.
#[derive(Clone, Debug)]
pub struct Repair {
    /// The data, and the tree and the FEC area unless they are elsewhere.
    pub image: PathBuf,
    /// What the disk is to be.
    pub root_hash: RootHash,
    /// Where the tree is, if not with the data.
    pub hash_device: Option<PathBuf>,
    /// The filesystem on the disk.
    pub fs_type: FsType,
    /// Where the parameters of the tree come from.
    pub params: ParamsSource,
    /// Where the FEC area is.
    pub fec: FecArguments,
}

/// Why a disk could not be repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It cannot be opened for writing.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// It is refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It could not be checked or written, or is another one.
    #[error(transparent)]
    Correct(#[from] CorrectError),
}

impl From<BackingFileError> for RepairError {
    fn from(error: BackingFileError) -> Self {
        Self::Output(error.into())
    }
}

impl HasExitCode for RepairError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Output(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::Correct(error) => error.exit_code(),
        }
    }
}

impl Repair {
    /// An image with its superblock, tree and FEC area after the filesystem, as
    /// [`Build`](crate::commands::build::Build) makes it.
    pub fn new(image: impl Into<PathBuf>, root_hash: RootHash) -> Self {
        Self {
            image: image.into(),
            root_hash,
            hash_device: None,
            fs_type: FsType::default(),
            params: ParamsSource::default(),
            fec: FecArguments::default(),
        }
    }

    /// Corrects what can be corrected, and tells what, and what is left. Each block is written only
    /// where it was wrong, and only with the bytes that the root hash covers.
    pub fn run(&self, workers: &Workers) -> Result<RepairReport, RepairError> {
        let disk = self.open()?;
        let claimed = disk.claimed();
        let sources = FecSources::of(&disk);
        let covered = sources.disk();
        let sink = InPlaceRepair {
            data: claimed.data_file(),
            hashes: claimed.hash_file(),
            parity: disk.fec().file(claimed.hash_file()),
        };
        let outcome = correct(&covered, &sink, workers)?;
        let parity = find_wrong_parity(&covered, &outcome.left, workers)?;
        let rewrite = parity.is_of_this_disk() && !parity.wrong.is_empty();
        if rewrite {
            write_parity(&covered, &parity.wrong, &sink, workers)?;
        }
        let corrected_data = Findings {
            corrupt_data: outcome.corrected_data(&covered),
            ..Findings::default()
        };
        let corrected_hash_blocks = outcome.corrected_hash_blocks(&covered);
        let left = outcome.left;
        let block_size = claimed.params().data_block_size();
        let filesystem = VerifiedFilesystem::new(claimed, &left);
        let corrected = Damages::locate(&corrected_data, &filesystem, block_size);
        let damages = Damages::locate(&left, &filesystem, block_size);
        let report = RepairReport {
            image: self.image.clone(),
            root_hash: self.root_hash,
            params: claimed.params().clone(),
            area: covered.area,
            roots: covered.layout.roots(),
            corrected_hash_blocks,
            corrected,
            findings: left,
            damages,
            parity,
        };
        if report.findings.is_clean() {
            disk.judge()?;
        }
        Ok(report)
    }

    /// Opens all of it for writing, each file and device once.
    fn open(&self) -> Result<UnjudgedDisk, RepairError> {
        let data = open_to_write(&self.image)?;
        let hash_device = self.hash_device.as_deref();
        let hash_device = hash_device.filter(|path| !storage::is_same(path, &self.image));
        let hash = hash_device.map(open_to_write).transpose()?;
        let fec = self.fec.open(|path| {
            let opened = [Some(&data), hash.as_ref()].into_iter().flatten();
            let mut opened = opened.filter(|file| storage::is_same(path, file.path()));
            match opened.next() {
                Some(file) => again(file),
                None => open_to_write(path),
            }
        })?;
        let arguments = DiskArguments {
            root_hash: None,
            fs_type: self.fs_type,
            params: self.params.clone(),
        };
        let arguments = (&arguments, &self.root_hash);
        Ok(UnjudgedDisk::find(data, hash, arguments, fec)?)
    }
}

/// The same open file, which stays locked.
fn again(file: &BackingFile) -> Result<BackingFile, OutputError> {
    let path: &Path = file.path();
    let clone = file.file().try_clone();
    let clone = clone.map_err(FileError::new("open", path))?;
    Ok(BackingFile::from_file(clone, path)?)
}
