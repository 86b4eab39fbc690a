//! A model: the files that go onto a disk.
//!
//! What a disk holds, and so its root hash, is a function of the files' relative
//! paths and bytes alone. [`FileList`] is that function's input as far as it is
//! known before anything is read; [`Model`] is where the bytes are.

mod clock;
mod entry;
mod exclude;
mod first_few;
mod limits;
#[cfg(feature = "hub")]
mod listed;
mod names;
mod note;
mod opened;
mod options;
mod origin;
mod places;
mod scan;
mod scan_error;
mod shard_index;
mod signs;
mod source_file;

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

pub use exclude::{ExcludeError, Excludes};
pub use note::Note;
pub use options::ScanOptions;
pub use origin::ModelOrigin;
pub use scan_error::{OutsideLink, ScanError};
pub use source_file::{ReadError, SourceFile};

#[cfg(feature = "hub")]
pub(crate) use listed::ListedModel;
pub(crate) use signs::Signs;

use model_disk::{FileError, FileList, FileStamp};
use rayon::prelude::*;

/// A model directory and what it holds.
#[derive(Debug)]
pub struct Model {
    directory: PathBuf,
    /// The same, open: what has its path later is not looked at.
    top: File,
    files: FileList,
    /// Of each file, what it was when the directory was looked through.
    stamps: Vec<FileStamp>,
    /// The same of each directory, with its path in the model.
    directories: Vec<(Vec<u8>, FileStamp)>,
    notes: Vec<Note>,
}

impl Model {
    /// Looks through a directory. Symbolic links are followed, to files and to
    /// directories alike, as long as they lead to what is the model's, or is allowed; directories
    /// without a file are left out, and so is what `options` says. Every file is opened once, so
    /// that one that cannot be read is found now and not hours into a build. Uses the threads of
    /// the rayon pool that it is called in.
    pub fn scan(directory: &Path, options: &ScanOptions) -> Result<Self, ScanError> {
        let scanned = scan::scan(directory, options)?;
        let signs = Signs {
            files: &scanned.files,
            lfs_pointers: &scanned.lfs_pointers,
            unused_excludes: &scanned.unused_excludes,
            unused_places: &scanned.unused_places,
            max_index_bytes: u64::MAX,
        };
        let notes = signs.notes(|place| scanned.open(place, directory))?;
        let directories = scanned.directories.iter().map(|(_, stamp)| stamp);
        clock::wait_until_after(scanned.stamps.iter().chain(directories));
        Ok(Self {
            directory: directory.to_owned(),
            top: scanned.top,
            files: scanned.files,
            stamps: scanned.stamps,
            directories: scanned.directories,
            notes,
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
        let relative = OsStr::from_bytes(self.files[index].path.as_bytes());
        let file = SourceFile::open(&self.top, relative, self.path(relative))?;
        if file.stamp() == self.stamps[index] {
            Ok(file)
        } else {
            Err(ReadError::Changed(self.path(relative)))
        }
    }

    /// To be asked when all has been read: whether each file and each directory is still what it
    /// was. Uses the threads of the rayon pool that it is called in.
    pub fn check_unchanged(&self) -> Result<(), ReadError> {
        let files = self.files.par_iter().zip(&self.stamps);
        files.try_for_each(|(file, stamp)| self.compare(file.path.as_bytes(), stamp))?;
        let mut directories = self.directories.iter();
        directories.try_for_each(|(path, stamp)| self.compare(path, stamp))
    }

    fn compare(&self, relative: &[u8], stamp: &FileStamp) -> Result<(), ReadError> {
        let relative = OsStr::from_bytes(if relative.is_empty() { b"." } else { relative });
        match FileStamp::at(&self.top, Path::new(relative)) {
            Ok(now) if now == *stamp => Ok(()),
            Ok(_) => Err(ReadError::Changed(self.path(relative))),
            Err(error) => Err(FileError::new("read", &self.path(relative))(error).into()),
        }
    }

    /// Where in the model this file or directory is, if it is one of the model's.
    pub fn find(&self, metadata: &Metadata) -> Option<PathBuf> {
        let wanted = FileStamp::of(metadata);
        let file = self
            .stamps
            .iter()
            .position(|stamp| stamp.is_same_file(&wanted))
            .and_then(|index| self.files.get(index));
        let directory = || {
            let mut directories = self.directories.iter();
            directories.find(|(_, stamp)| stamp.is_same_file(&wanted))
        };
        let path = match file {
            Some(file) => file.path.as_bytes(),
            None => directory()?.0.as_slice(),
        };
        Some(self.path(OsStr::from_bytes(path)))
    }

    fn path(&self, relative: &OsStr) -> PathBuf {
        self.directory.join(relative)
    }
}
