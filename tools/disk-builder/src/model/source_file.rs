//! Opening a file of a model.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use model_disk::{Escaped, ExitCode, FileError, FileStamp, HasExitCode};

use super::opened::{hold, read_held};

/// An open file of a model.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    stamp: FileStamp,
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
    /// It was written to, or something else has taken its place.
    #[error("{} changed while the model was read: try again when nothing writes to it", Escaped::path(.0))]
    Changed(PathBuf),
    /// As in `/proc`: what stands in it would be missing on the disk.
    #[error(
        "{} has more to read than the {bytes} bytes of its size: put a copy in its place",
        Escaped::path(path)
    )]
    NoSize {
        /// The file.
        path: PathBuf,
        /// How long it says it is.
        bytes: u64,
    },
}

impl HasExitCode for ReadError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::NotAFile(_) | Self::Changed(_) | Self::NoSize { .. } => ExitCode::Failure,
        }
    }
}

impl SourceFile {
    /// Opens what a path from an open directory leads to. Links are followed. `path` is the whole
    /// of it, for messages.
    pub(super) fn open(
        directory: &File,
        relative: impl AsRef<Path>,
        path: PathBuf,
    ) -> Result<Self, ReadError> {
        // What is there now may be a pipe, on which opening waits, or a device.
        let held = hold(directory, relative).map_err(FileError::new("open", &path))?;
        let metadata = held.metadata().map_err(FileError::new("open", &path))?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile(path));
        }
        let file = read_held(&held).map_err(FileError::new("open", &path))?;
        let stamp = FileStamp::of(&metadata);
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

    pub(super) fn stamp(&self) -> FileStamp {
        self.stamp
    }
}

/// The error where there is more to read in a file than its size says. `path` is for messages.
pub(super) fn refuse_no_size(file: &File, bytes: u64, path: &Path) -> Result<(), ReadError> {
    let mut byte = [0];
    match file.read_at(&mut byte, bytes) {
        Ok(0) => Ok(()),
        Ok(_) => Err(ReadError::NoSize {
            path: path.to_owned(),
            bytes,
        }),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            refuse_no_size(file, bytes, path)
        }
        Err(error) => Err(FileError::new("read", path)(error).into()),
    }
}
