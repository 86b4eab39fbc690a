//! Opening a file of a model.

use std::{
    fs::{File, Metadata},
    path::{Path, PathBuf},
};

use model_disk::{Escaped, ExitCode, FileError, FileStamp, HasExitCode};

use super::opened::{hold, open_without_links, read_held};

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
        let relative = relative.as_ref();
        // A link may lead to anything by now, and a device must not even be opened.
        let opened =
            open_without_links(directory, relative).map_err(FileError::new("open", &path))?;
        let file = match opened {
            Some(file) => file,
            None => {
                let held = hold(directory, relative).map_err(FileError::new("open", &path))?;
                refuse_other_kinds(&held, &path)?;
                read_held(&held).map_err(FileError::new("open", &path))?
            }
        };
        let stamp = FileStamp::of(&refuse_other_kinds(&file, &path)?);
        Ok(Self { file, path, stamp })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The same, for somebody else.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn stamp(&self) -> FileStamp {
        self.stamp
    }
}

/// What an open file is. An error where it is none.
fn refuse_other_kinds(file: &File, path: &Path) -> Result<Metadata, ReadError> {
    let metadata = file.metadata().map_err(FileError::new("open", path))?;
    if metadata.is_file() {
        Ok(metadata)
    } else {
        Err(ReadError::NotAFile(path.to_owned()))
    }
}
