//! Where parity is written.

use std::{fs::File, path::Path};

use model_disk::{BackingFile, FileError};

use super::{FecPlan, TreePlan};
use crate::{
    engine::{CoveredPart, FileSource},
    output::{NewFile, Output},
};

/// Where an FEC area goes that is not with the tree.
pub(super) enum FecOutput<'a> {
    /// Onto a block device.
    Device(&'a BackingFile),
    /// Into a file of its own.
    NewFile(NewFile),
}

impl<'a> FecOutput<'a> {
    /// A device as it is, or a file with room for parity.
    pub(super) fn start(output: &'a Output, fec: &FecPlan) -> Result<Self, FileError> {
        match output {
            Output::Device(device) => Ok(Self::Device(device)),
            Output::File { place, replace } => {
                let new = NewFile::create(place, *replace)?;
                let sized = new.file().set_len(fec.area.end());
                sized.map_err(FileError::new("write", new.path()))?;
                Ok(Self::NewFile(new))
            }
        }
    }

    /// The open file, and its path for messages.
    pub(super) fn place(&self) -> (&File, &Path) {
        match self {
            Self::Device(device) => (device.file(), device.path()),
            Self::NewFile(new) => (new.file(), new.path()),
        }
    }

    /// Parity is on the disk when this returns.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        let (file, path) = self.place();
        file.sync_all().map_err(FileError::new("sync", path))
    }

    /// A file gets its name.
    pub(super) fn finish(self) -> Result<(), FileError> {
        match self {
            Self::Device(_) => Ok(()),
            Self::NewFile(new) => new.put(),
        }
    }
}

/// The tree of `plan`, and whatever else of its file or device is covered, where it has been written.
pub(crate) fn covered_tree<'a>(
    plan: &TreePlan,
    fec: &FecPlan,
    (file, path): (&'a File, &'a Path),
) -> CoveredPart<'a> {
    let blocks = fec.layout.data_blocks()..fec.layout.covered_blocks();
    let offset = plan.area.block_offset(0);
    let end = offset + (blocks.end - blocks.start) * fec.layout.block_size().bytes();
    CoveredPart {
        blocks,
        source: Box::new(FileSource::new(file, path, end, Some(end))),
        offset,
    }
}
