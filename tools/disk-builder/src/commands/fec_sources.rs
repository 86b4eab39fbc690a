//! A disk with an FEC area, as the engine reads it.

use model_disk::{BackingFile, ReadAt, UnjudgedDisk};

use crate::engine::{CoveredDisk, FileSource, Source, TreeParts};

/// What is read of a disk. It may be written to meanwhile, by who corrects it.
pub(super) struct FecSources<'a> {
    disk: &'a UnjudgedDisk,
    data: FileSource<'a>,
    hashes: FileSource<'a>,
    parity: FileSource<'a>,
}

impl<'a> FecSources<'a> {
    pub(super) fn of(disk: &'a UnjudgedDisk) -> Self {
        let claimed = disk.claimed();
        let source = |file: &'a BackingFile, end| FileSource::of_length(file, end, file.bytes());
        let (hash_file, parity_file) = (claimed.hash_file(), disk.fec().file(claimed.hash_file()));
        Self {
            disk,
            data: source(claimed.data_file(), claimed.params().data_bytes()),
            hashes: source(hash_file, hash_file.bytes()),
            parity: source(parity_file, parity_file.bytes()),
        }
    }

    /// The disk.
    pub(super) fn disk(&self) -> CoveredDisk<'_> {
        self.with_hashes(&self.hashes)
    }

    /// The disk with its tree from elsewhere.
    pub(super) fn with_hashes<'s>(&'s self, hashes: &'s dyn Source) -> CoveredDisk<'s> {
        let claimed = self.disk.claimed();
        CoveredDisk {
            tree: TreeParts {
                params: claimed.params(),
                root_hash: self.disk.root_hash(),
                data: &self.data,
                hashes,
                area: claimed.hash_area(),
            },
            layout: *self.disk.fec().layout(),
            area: self.disk.fec().area(),
            parity: &self.parity,
        }
    }

    /// What has the tree.
    pub(super) fn hashes(&self) -> &FileSource<'a> {
        &self.hashes
    }
}
