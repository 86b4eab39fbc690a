//! Why something of a disk cannot be read.

use std::{io, path::PathBuf};

use model_disk::{
    BackingFileError, Escaped, ExitCode, FileError, HasExitCode, PartitionError, erofs::ErofsError,
};
use verified_disk::{VerifiedDiskError, VerifiedReadError};

use super::DiskPath;

/// Why the filesystem of a disk, or something in it, cannot be read: it is corrupt, or not as it
/// should be.
pub type FilesystemError = ErofsError<VerifiedReadError>;

/// Why a disk, or something on it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] BackingFileError),
    /// Its partitions do not tell where data and tree are.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// It is refused.
    #[error(transparent)]
    Disk(#[from] VerifiedDiskError),
    /// Its filesystem cannot be read.
    #[error("the filesystem on {} cannot be read", Escaped::path(device))]
    Filesystem {
        /// The disk.
        device: PathBuf,
        /// Why.
        source: FilesystemError,
    },
    /// There is no such path on it.
    #[error("{path} is not on {}", Escaped::path(device))]
    NotFound {
        /// The path.
        path: DiskPath,
        /// The disk.
        device: PathBuf,
    },
    /// What is there has no bytes to be printed.
    #[error("{path} is {kind} on {}, and no regular file", Escaped::path(device))]
    NoFile {
        /// The path.
        path: DiskPath,
        /// What it is.
        kind: &'static str,
        /// The disk.
        device: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {path} on {}", Escaped::path(device))]
    File {
        /// The path.
        path: DiskPath,
        /// The disk.
        device: PathBuf,
        /// Why.
        source: FilesystemError,
    },
    /// Something of this machine's own files cannot be read or written.
    #[error(transparent)]
    Own(#[from] FileError),
    /// There is no thread to read with.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
    /// Nothing can be printed.
    #[error("cannot write to the standard output")]
    Output(#[source] io::Error),
}

impl HasExitCode for ReadingError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Device(error) => error.exit_code(),
            Self::Partition(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::Filesystem { source, .. } | Self::File { source, .. } => source.exit_code(),
            Self::NotFound { .. } => ExitCode::NotFound,
            Self::NoFile { .. } => ExitCode::Usage,
            Self::Own(error) => error.exit_code(),
            Self::Threads(_) | Self::Output(_) => ExitCode::Failure,
        }
    }
}
