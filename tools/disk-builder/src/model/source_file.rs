//! Opening a file of a model.

use std::{
    fs::{File, Metadata, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model_disk::{Escaped, ExitCode, FileError, HasExitCode};

/// An open file of a model.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

/// Which file it is, and what changes when someone writes into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    id: (u64, u64),
    pub(super) size: u64,
    mtime: (i64, i64),
}

/// Why a file of a model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else has taken its place.
    #[error("{} is no longer a regular file", Escaped::path(.0))]
    NotAFile(PathBuf),
    /// It was written to, or another file has taken its place.
    #[error("{} changed while the model was read: try again when nothing writes to it", Escaped::path(.0))]
    Changed(PathBuf),
}

impl HasExitCode for ReadError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::NotAFile(_) | Self::Changed(_) => ExitCode::Failure,
        }
    }
}

impl SourceFile {
    /// Opens what a path leads to. Links are followed.
    pub(super) fn open(path: PathBuf) -> Result<Self, ReadError> {
        // Were it a named pipe by now, opening it would wait for a writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&path)
            .map_err(FileError::new("open", &path))?;
        let metadata = file.metadata().map_err(FileError::new("open", &path))?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile(path));
        }
        let stamp = Stamp::of(&metadata);
        Ok(Self { file, path, stamp })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            id: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether this is the file that the metadata is of, changed or not.
    pub(super) fn is_of(&self, metadata: &Metadata) -> bool {
        self.id == Self::of(metadata).id
    }
}
