//! Where blocks come from.

use std::path::Path;

use model_disk::{Disk, DiskFec, FileError, ReadAt as _};

/// What holds the data and the tree of a disk. It may give other bytes each time: nothing of it is
/// believed.
pub trait BlockStorage {
    /// Fills `buffer` with the data from byte `offset` on.
    fn read_data(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError>;

    /// Fills `buffer` from byte `offset` on of what holds the tree.
    fn read_hashes(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError>;

    /// Fills `buffer` from byte `offset` on of what holds the FEC area, where there is one: what holds
    /// the tree, if nothing else is said.
    fn read_fec(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.read_hashes(buffer, offset)
    }

    /// What holds the data, for messages.
    fn data_path(&self) -> &Path;

    /// What holds the tree, for messages.
    fn hash_path(&self) -> &Path;
}

impl BlockStorage for Disk {
    fn read_data(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.data_file().read_exact_at(buffer, offset)
    }

    fn read_hashes(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.hash_file().read_exact_at(buffer, offset)
    }

    fn read_fec(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        let file = self.fec().and_then(DiskFec::separate_file);
        file.unwrap_or(self.hash_file())
            .read_exact_at(buffer, offset)
    }

    fn data_path(&self) -> &Path {
        self.data_file().path()
    }

    fn hash_path(&self) -> &Path {
        self.hash_file().path()
    }
}
