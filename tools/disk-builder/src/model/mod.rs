//! A model: the files that go onto a disk.
//!
//! What a disk holds, and so its root hash, is a function of the files' relative
//! paths and bytes alone. [`FileList`] is that function's input as far as it is
//! known before anything is read; [`Model`] is where the bytes are.

mod exclude;
mod file_list;
mod path;
mod scan;
mod source_file;

use std::path::{Path, PathBuf};

pub use exclude::{DEFAULT_EXCLUDES, ExcludeError, Excludes};
pub use file_list::{FileList, FileListError, ModelFile};
pub use path::{PathError, RelativePath};
pub use scan::ScanError;
pub use source_file::{ReadError, SourceFile};

/// A model directory and what it holds.
#[derive(Clone, Debug)]
pub struct Model {
    directory: PathBuf,
    files: FileList,
}

impl Model {
    /// Looks through a directory. Symbolic links are followed, to files and to
    /// directories alike; directories without a file are left out, and so is
    /// what `excludes` says. Every file is opened once, so that one that cannot
    /// be read is found now and not hours into a build.
    pub fn scan(directory: &Path, excludes: &Excludes) -> Result<Self, ScanError> {
        Ok(Self {
            directory: directory.to_owned(),
            files: scan::scan(directory, excludes)?,
        })
    }

    /// The files, in the order of the disk.
    pub fn files(&self) -> &FileList {
        &self.files
    }

    /// Opens a file of the list to read it.
    pub fn open(&self, file: &ModelFile) -> Result<SourceFile, ReadError> {
        SourceFile::open(file.path.below(&self.directory), file.size)
    }
}
