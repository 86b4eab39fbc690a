//! Reading a disk without mounting it, as any user: what the kernel's dm-verity does for a mount is
//! done in this process.

mod cat;
mod check;
mod compare;
mod error;
mod extract;
mod jobs;
mod list;
mod parts;
mod path;
mod selection;
mod tree;

use std::path::{Path, PathBuf};

use dm_verity::RootHash;
use model_disk::{
    BackingFile, Disk, DiskArguments, Escaped, FecArguments, FecSource, ParamsSource,
    PartitionChoice,
    erofs::{ErofsNode, ErofsView},
    filesystem::FsType,
};
use verified_disk::{VerifiedDisk, VerifiedDiskError};

use crate::log;

pub use cat::cat;
pub use check::{CheckReport, check_directory};
pub use compare::Difference;
pub use error::{FilesystemError, ReadingError};
pub use extract::{ExtractError, ExtractRequest, Extracted, RefusedEntry, extract};
pub use list::{ListFormat, list};
pub use path::DiskPath;

/// A disk that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// What the disk must be.
    pub root_hash: RootHash,
    /// The block device or image file.
    pub device: PathBuf,
    /// What holds the tree, if that is another.
    pub hash_device: Option<PathBuf>,
    /// The partitions with data and tree, if the device is to be taken apart by its partition table;
    /// there is no hash device then.
    pub partitions: Option<PartitionChoice>,
    /// Where the parameters of the tree come from.
    pub params: ParamsSource,
    /// Where the FEC area is, if corrupt blocks are to be corrected by it.
    pub fec: Option<FecArguments>,
}

/// The files of a disk, which are verified as they are read.
#[derive(Debug)]
pub struct VerifiedFiles {
    root_hash: RootHash,
    device: PathBuf,
    view: ErofsView<VerifiedDisk>,
}

impl ReadRequest {
    /// Opens the disk. Everything but the superblocks is read when it is asked for.
    pub fn open(&self) -> Result<VerifiedFiles, ReadingError> {
        self.open_by(|path| Ok(BackingFile::open(path)?))
    }

    /// The same, with devices that are opened by `open`.
    pub(crate) fn open_by<E: From<ReadingError>>(
        &self,
        open: impl Fn(&Path) -> Result<BackingFile, E>,
    ) -> Result<VerifiedFiles, E> {
        let device = open(&self.device)?;
        let hash = self.hash_device.as_deref();
        let hash = hash.map(&open).transpose()?;
        let fec = self.fec.as_ref().map(|fec| fec.open(&open)).transpose()?;
        Ok(self.judge(device, hash, fec)?)
    }

    fn judge(
        &self,
        device: BackingFile,
        hash: Option<BackingFile>,
        fec: Option<FecSource<'_>>,
    ) -> Result<VerifiedFiles, ReadingError> {
        let (data, hash) = match self.partitions {
            Some(choice) => {
                let (data, hash) = choice.open(&device)?;
                (data, Some(hash))
            }
            None => (device, hash),
        };
        let arguments = DiskArguments {
            root_hash: Some(self.root_hash),
            // What mounts other filesystems is the kernel.
            fs_type: FsType::Erofs,
            params: self.params.clone(),
        };
        let disk = Disk::check_with_fec(data, hash, &arguments, fec);
        let disk = disk.map_err(VerifiedDiskError::from)?;
        let (disk, _) = VerifiedDisk::of(disk, self.root_hash)?;
        let device = self.device.clone();
        match ErofsView::open(disk) {
            Ok(view) => Ok(VerifiedFiles {
                root_hash: self.root_hash,
                device,
                view,
            }),
            Err(source) => Err(ReadingError::Filesystem { device, source }),
        }
    }
}

impl VerifiedFiles {
    /// What the disk was opened by, as it is shown.
    pub(crate) fn shown_device(&self) -> String {
        Escaped::path(&self.device).to_string()
    }

    /// How many blocks were corrected; None where none are.
    pub fn corrected(&self) -> Option<u64> {
        self.view.image().corrected()
    }

    /// Says how many blocks were corrected, if any were.
    pub fn warn_of_corrections(&self) {
        if let Some(count @ 1..) = self.corrected() {
            log::warn(format_args!(
                "{}: blocks corrected (FEC): {count}",
                self.shown_device()
            ));
        }
    }

    /// What all of it is verified by.
    pub(crate) fn root_hash(&self) -> &RootHash {
        &self.root_hash
    }

    /// Its filesystem.
    pub(crate) fn view(&self) -> &ErofsView<VerifiedDisk> {
        &self.view
    }

    /// What a path leads to.
    fn find(&self, path: &DiskPath) -> Result<ErofsNode, ReadingError> {
        let found = self.view.find(path.names());
        let found = found.map_err(|error| self.failed(error))?;
        found.ok_or_else(|| ReadingError::NotFound {
            path: path.clone(),
            device: self.device.clone(),
        })
    }

    /// The error of a read of this file.
    fn file_failed(&self, path: &[u8], source: FilesystemError) -> ReadingError {
        ReadingError::File {
            path: DiskPath::of(path),
            device: self.device.clone(),
            source,
        }
    }

    /// The error of a read that no file of the disk is to be named for.
    fn failed(&self, source: FilesystemError) -> ReadingError {
        ReadingError::Filesystem {
            device: self.device.clone(),
            source,
        }
    }
}
