//! Why a disk is not extracted, or not to its end.

use std::path::PathBuf;

use model_disk::{Escaped, ExitCode, FileError, HasExitCode};

use super::super::{Difference, DiskPath, ReadingError};

/// Why a disk is not extracted, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The disk, or something on it, cannot be read.
    #[error(transparent)]
    Reading(#[from] ReadingError),
    /// Something on the disk is never made by this command.
    #[error("{path} is not extracted: {reason}")]
    Refused {
        /// What.
        path: DiskPath,
        /// Why not.
        reason: RefusedEntry,
    },
    /// There is something in the directory that no run for this disk has left.
    #[error(
        "{} is not empty, and not what a run for this disk left: {entry} in it {difference}",
        Escaped::path(path)
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// The first thing in it that was found to be another.
        entry: DiskPath,
        /// In what.
        difference: Difference,
    },
    /// A run for another disk has not come to its end there.
    #[error(
        "{} has what a run for another disk left before its end: take another directory, or remove \
         it",
        Escaped::path(.0)
    )]
    OtherDisk(PathBuf),
    /// Another run is at it.
    #[error("another run is extracting to {}", Escaped::path(.0))]
    Busy(PathBuf),
}

/// Why something on a disk is never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedEntry {
    /// It is no file, directory or link.
    #[error("it is a device, a pipe or a socket")]
    Special,
    /// It would run with somebody else's rights.
    #[error("it is a set-user-ID or set-group-ID file")]
    SetId,
    /// Its target may be elsewhere.
    #[error("it is a symbolic link whose target could lead out of the directory")]
    Link,
    /// The command needs the name.
    #[error("its name is that of what an unfinished run leaves")]
    Name,
    /// A disk can say of zeros, or of one file by many names, that they are more than any storage has.
    #[error("with all that comes before it, it would be more than 128 TiB")]
    TooMuch,
    /// The directory that it is in is not in order, or has it twice.
    #[error("it is not in the order of its directory, and a kernel would not find it")]
    Order,
}

impl HasExitCode for ExtractError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Reading(error) => error.exit_code(),
            Self::Refused { .. } => ExitCode::Unsupported,
            Self::NotEmpty { .. } | Self::OtherDisk(_) | Self::Busy(_) => ExitCode::InTheWay,
        }
    }
}

impl From<FileError> for ExtractError {
    fn from(error: FileError) -> Self {
        Self::Reading(error.into())
    }
}
