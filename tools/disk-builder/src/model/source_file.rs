//! Reading a file of a model.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// An open file of a model, which must stay as it was when the plan was made.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

/// What changes when someone writes into a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: (i64, i64),
}

/// Why a file of a model cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A system call failed.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Something else has taken its place.
    #[error("{} is no longer a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It was written to.
    #[error("{} changed while the model was read: try again when nothing writes to it", .0.display())]
    Changed(PathBuf),
}

impl SourceFile {
    /// Opens a file whose size is known from before. Links are followed.
    pub(super) fn open(path: PathBuf, size: u64) -> Result<Self, ReadError> {
        let io_error = |source| ReadError::Io {
            path: path.clone(),
            source,
        };
        // Were it a named pipe by now, opening it would wait for a writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&path)
            .map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile(path));
        }
        let stamp = Stamp::of(&metadata);
        if stamp.size != size {
            return Err(ReadError::Changed(path));
        }
        Ok(Self { file, path, stamp })
    }

    /// The file, to look for holes or to give advice. To read, use
    /// [`read_exact_at`](Self::read_exact_at).
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills a buffer from a byte offset. A file that has become too short has
    /// changed.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => ReadError::Changed(self.path.clone()),
                _ => self.io_error(source),
            })
    }

    /// To be asked after the last byte was read: whether the file is still the
    /// one that was opened, by its size and time of modification.
    pub fn check_unchanged(&self) -> Result<(), ReadError> {
        let metadata = self.file.metadata().map_err(|error| self.io_error(error))?;
        if Stamp::of(&metadata) == self.stamp {
            Ok(())
        } else {
            Err(ReadError::Changed(self.path.clone()))
        }
    }

    fn io_error(&self, source: io::Error) -> ReadError {
        ReadError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
