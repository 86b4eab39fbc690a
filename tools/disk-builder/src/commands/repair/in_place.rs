//! Corrected blocks written where they belong.

use std::os::unix::fs::FileExt;

use model_disk::{BackingFile, FileError};

use crate::engine::{CoveredPlace, RepairSink};

/// The files of a disk that is repaired, open for writing.
pub(super) struct InPlaceRepair<'a> {
    pub(super) data: &'a BackingFile,
    pub(super) hashes: &'a BackingFile,
    pub(super) parity: &'a BackingFile,
}

impl RepairSink for InPlaceRepair<'_> {
    fn keeps_data(&self) -> bool {
        true
    }

    fn put(&self, place: CoveredPlace, block: &[u8]) -> Result<(), FileError> {
        match place {
            CoveredPlace::Data(offset) => write(self.data, block, offset),
            CoveredPlace::Hashes(offset) => write(self.hashes, block, offset),
        }
    }

    fn put_parity(&self, offset: u64, parity: &[u8]) -> Result<(), FileError> {
        write(self.parity, parity, offset)
    }

    fn sync(&self) -> Result<(), FileError> {
        for file in [self.data, self.hashes, self.parity] {
            let synced = file.file().sync_data();
            synced.map_err(FileError::new("sync", file.path()))?;
        }
        Ok(())
    }
}

fn write(file: &BackingFile, bytes: &[u8], offset: u64) -> Result<(), FileError> {
    let written = file.file().write_all_at(bytes, offset);
    written.map_err(FileError::new("write to", file.path()))
}
