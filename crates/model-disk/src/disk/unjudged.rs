//! A disk before its judgement, for who corrects it.

use dm_verity::RootHash;

use super::{Disk, DiskError};
use crate::{BackingFile, Binding, DiskArguments, DiskFec, FecSource, superblocks::header};

/// A disk that may be corrupt in any place, for who corrects it: its parts fit onto their devices, and
/// its parameters are bound as far as that can be told before anything has been verified.
#[derive(Debug)]
pub struct UnjudgedDisk {
    disk: Disk,
    fec: DiskFec,
    root_hash: RootHash,
}

impl UnjudgedDisk {
    /// Looks where its parts are, as [`Disk::check_with_fec`] does. Of the data and the tree any block
    /// may be corrupt, the root block and the filesystem's first among them.
    pub fn find(
        data: BackingFile,
        hash: Option<BackingFile>,
        (arguments, root_hash): (&DiskArguments, &RootHash),
        fec: FecSource<'_>,
    ) -> Result<Self, DiskError> {
        // Where it cannot be read, the arguments must say where the tree is.
        let header = header(&data).unwrap_or_default();
        let mut disk = Disk::find(data, hash, arguments, &header)?;
        let fec = disk.find_fec(fec)?;
        disk.check_algorithm(root_hash)?;
        let bind_corrected = || disk.bind(&disk.corrected_header(&fec)?).ok();
        // Neither the salt nor the arguments need a filesystem.
        let bind_without = || Binding::find(&disk.params, disk.data_blocks, None).ok();
        disk.binding = disk.bind(&header).or_else(|error| {
            let bound = bind_corrected().or_else(bind_without);
            bound.ok_or(error)
        })?;
        Ok(Self {
            disk,
            fec,
            root_hash: *root_hash,
        })
    }

    /// Judges it, as it is now.
    pub fn judge(self) -> Result<Disk, DiskError> {
        let mut disk = self.disk;
        disk.binding = disk.bind(&header(&disk.data)?)?;
        disk.check_root_block(&self.root_hash)?;
        Ok(disk)
    }

    /// The disk that it claims to be.
    pub fn claimed(&self) -> &Disk {
        &self.disk
    }

    /// What it is to be.
    pub fn root_hash(&self) -> &RootHash {
        &self.root_hash
    }

    /// Its FEC area.
    pub fn fec(&self) -> &DiskFec {
        &self.fec
    }
}
