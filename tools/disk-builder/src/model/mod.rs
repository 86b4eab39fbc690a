//! A model: the files that go onto a disk.
//!
//! What a disk holds, and so its root hash, is a function of the files' relative
//! paths and bytes alone. [`FileList`] is that function's input as far as it is
//! known before anything is read; [`Model`] is where the bytes are.

mod exclude;
mod limits;
mod note;
mod origin;
mod scan;
mod source_file;

use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
};

pub use exclude::{ExcludeError, Excludes};
pub use note::{Note, Outside};
pub use scan::ScanError;
pub use source_file::{ReadError, SourceFile};

use model_disk::{FileError, FileList};
use source_file::Stamp;

/// A model directory and what it holds.
#[derive(Clone, Debug)]
pub struct Model {
    directory: PathBuf,
    files: FileList,
    /// Of each file, what it was when the directory was looked through.
    stamps: Vec<Stamp>,
    notes: Vec<Note>,
}

impl Model {
    /// Looks through a directory. Symbolic links are followed, to files and to
    /// directories alike; directories without a file are left out, and so is
    /// what `excludes` says. Every file is opened once, so that one that cannot
    /// be read is found now and not hours into a build.
    pub fn scan(directory: &Path, excludes: &Excludes) -> Result<Self, ScanError> {
        let scanned = scan::scan(directory, excludes)?;
        Ok(Self {
            directory: directory.to_owned(),
            files: scanned.files,
            stamps: scanned.stamps,
            notes: scanned.notes,
        })
    }

    /// The files, in the order of the disk.
    pub fn files(&self) -> &FileList {
        &self.files
    }

    /// What its user may not have meant, to be told before a disk is made.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Opens the file with this place in the list, which must still be what it was.
    #[expect(
        clippy::indexing_slicing,
        reason = "a file's place in the list that the model was made with"
    )]
    pub fn open(&self, index: usize) -> Result<SourceFile, ReadError> {
        let file = SourceFile::open(self.path(index))?;
        if file.stamp() == self.stamps[index] {
            Ok(file)
        } else {
            Err(ReadError::Changed(self.path(index)))
        }
    }

    /// To be asked when all has been read: whether each file is still what it was, by its size
    /// and its time of modification.
    pub fn check_unchanged(&self) -> Result<(), ReadError> {
        for (index, stamp) in self.stamps.iter().enumerate() {
            let path = self.path(index);
            match fs::metadata(&path) {
                Ok(metadata) if Stamp::of(&metadata) == *stamp => {}
                Ok(_) => return Err(ReadError::Changed(path)),
                Err(error) => return Err(FileError::new("read", &path)(error).into()),
            }
        }
        Ok(())
    }

    /// Where in the model this file is, if it is one of the model's.
    pub fn find(&self, metadata: &Metadata) -> Option<PathBuf> {
        let found = self.stamps.iter().position(|stamp| stamp.is_of(metadata))?;
        Some(self.path(found))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a file's place in the list that the model was made with"
    )]
    fn path(&self, index: usize) -> PathBuf {
        self.files[index].path.below(&self.directory)
    }
}
