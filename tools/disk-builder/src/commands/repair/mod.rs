//! `repair`: corrects in place, by the FEC area, what is corrupt on a disk.

mod in_place;
mod lost_superblock;
mod report;

use std::path::{Path, PathBuf};

use dm_verity::RootHash;
use model_disk::{
    BackingFile, BackingFileError, DiskArguments, DiskError, ExitCode, FecArguments, FecSource,
    FileError, HasExitCode, ParamsSource, UnjudgedDisk, filesystem::FsType,
};

pub use report::RepairReport;

use super::{
    fec_sources::FecSources,
    verify::{Damages, VerifiedFilesystem},
};
use crate::{
    engine::{
        CorrectError, Findings, VerifyTreeError, Workers, correct, find_wrong_parity, write_parity,
    },
    output::{OutputError, open_to_write, storage},
};
use in_place::InPlaceRepair;
use lost_superblock::LostSuperblock;

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
    /// Its superblock could not be read or written.
    #[error(transparent)]
    Superblock(#[from] FileError),
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
            Self::Superblock(error) => error.exit_code(),
        }
    }
}

impl RepairError {
    /// Whether it can be for a superblock that says something else than it did.
    fn may_be_of_superblock(&self) -> bool {
        matches!(
            self,
            Self::Disk(_) | Self::Correct(CorrectError::Tree(VerifyTreeError::RootHash(_)))
        )
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
        let files = self.open()?;
        let refused = match self.run_with(files.again()?, &self.params, workers) {
            Err(error) if error.may_be_of_superblock() => error,
            result => return result,
        };
        let Some(lost) = LostSuperblock::find(self, &files.data, files.hash.as_ref())? else {
            return Err(refused);
        };
        let Ok(mut report) = self.run_with(files.again()?, &lost.params(), workers) else {
            return Err(refused);
        };
        lost.write(files.hash.as_ref().unwrap_or(&files.data), &self.root_hash)?;
        report.superblock = Some(lost.offset());
        Ok(report)
    }

    fn run_with(
        &self,
        files: FilesToRepair,
        params: &ParamsSource,
        workers: &Workers,
    ) -> Result<RepairReport, RepairError> {
        let arguments = DiskArguments {
            root_hash: None,
            fs_type: self.fs_type,
            params: params.clone(),
        };
        let fec = FecSource {
            file: files.fec,
            arguments: &self.fec,
        };
        let arguments = (&arguments, &self.root_hash);
        let disk = UnjudgedDisk::find(files.data, files.hash, arguments, fec)?;
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
        if parity.is_of_this_disk() && !parity.wrong.is_empty() {
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
        let report = RepairReport {
            image: self.image.clone(),
            root_hash: self.root_hash,
            superblock: None,
            params: claimed.params().clone(),
            area: covered.area,
            roots: covered.layout.roots(),
            corrected_hash_blocks,
            corrected: Damages::locate(&corrected_data, &filesystem, block_size),
            damages: Damages::locate(&left, &filesystem, block_size),
            findings: left,
            parity,
        };
        if report.findings.is_clean() {
            disk.judge()?;
        }
        Ok(report)
    }

    /// Opens all of it for writing, each file and device once.
    fn open(&self) -> Result<FilesToRepair, RepairError> {
        let data = open_to_write(&self.image)?;
        let hash_device = self.hash_device.as_deref();
        let hash_device = hash_device.filter(|path| !storage::is_same(path, &self.image));
        let hash = hash_device.map(open_to_write).transpose()?;
        let open_fec = |path: &PathBuf| {
            let opened = [Some(&data), hash.as_ref()].into_iter().flatten();
            let mut opened = opened.filter(|file| storage::is_same(path, file.path()));
            match opened.next() {
                Some(file) => again(file),
                None => open_to_write(path),
            }
        };
        let fec = self.fec.device.as_ref().map(open_fec).transpose()?;
        Ok(FilesToRepair { data, hash, fec })
    }
}

/// The files of a disk, open for writing, and locked.
struct FilesToRepair {
    data: BackingFile,
    hash: Option<BackingFile>,
    fec: Option<BackingFile>,
}

impl FilesToRepair {
    fn again(&self) -> Result<Self, OutputError> {
        Ok(Self {
            data: again(&self.data)?,
            hash: self.hash.as_ref().map(again).transpose()?,
            fec: self.fec.as_ref().map(again).transpose()?,
        })
    }
}

/// The same open file, which stays locked.
fn again(file: &BackingFile) -> Result<BackingFile, OutputError> {
    let path: &Path = file.path();
    let clone = file.file().try_clone();
    let clone = clone.map_err(FileError::new("open", path))?;
    Ok(BackingFile::from_file(clone, path)?)
}
