//! Where a result goes: files that appear whole or not at all, and block devices. Nothing that is
//! there already is overwritten unasked.

mod in_place;
mod lock_holder;
mod new_file;
mod output_lock;
mod place;
mod signatures;
pub(crate) mod storage;

use std::{io, path::PathBuf};

use model_disk::{
    BackingFile, BackingFileError, Escaped, ExitCode, FileError, HasExitCode, ReadAt,
};

pub(crate) use in_place::{look, open_to_write, refuse_overwriting};
use in_place::{open_in_place, resolve};
pub use lock_holder::LockHolder;
pub use new_file::NewFile;
pub(crate) use output_lock::{OutputLock, PATIENCE};
pub use place::OutputPlace;
pub use signatures::Signature;

/// What is at the place of an output.
#[derive(Debug)]
pub enum Output {
    /// A block device, which is written over.
    Device(BackingFile),
    /// A file, or none yet.
    File {
        /// Where it goes.
        place: OutputPlace,
        /// A file that is there may go, or one that comes to be there meanwhile.
        replace: bool,
    },
}

/// Why nothing can be written there.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It cannot be looked at.
    #[error(transparent)]
    BackingFile(#[from] BackingFileError),
    /// It is a device that somebody has for themselves.
    #[error(
        "{} is in use: it is mounted, or a part of another device; end that first",
        Escaped::path(path)
    )]
    InUse {
        /// The device.
        path: PathBuf,
        /// EBUSY.
        source: io::Error,
    },
    /// It names a directory, be it there or not.
    #[error("{} names a directory: name a file in it", Escaped::path(.0))]
    Directory(PathBuf),
    /// It is a symbolic link.
    #[error(
        "{} is a symbolic link, and none is followed to an output: name the file itself",
        Escaped::path(.0)
    )]
    Link(PathBuf),
    /// There is a file already.
    #[error("{} exists: --force replaces it", Escaped::path(.0))]
    Exists(PathBuf),
    /// There is something on it already.
    #[error(
        "{} has {} on it, by its mark at byte {}: --force overwrites it",
        Escaped::path(path),
        found.name,
        found.offset
    )]
    Signature {
        /// The device, or the file.
        path: PathBuf,
        /// What.
        found: Signature,
    },
    /// Somebody else has it locked.
    #[error("{} is locked by {holder}", Escaped::path(path))]
    Locked {
        /// The file.
        path: PathBuf,
        /// Who.
        holder: LockHolder,
    },
    /// Somebody else has put something where the lock of an output is to be.
    #[error(
        "{} locks this output, and belongs to user {owner}: wait for their run, remove it, or choose \
         another directory",
        Escaped::path(path)
    )]
    ForeignLock {
        /// The lock.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
    },
}

impl From<FileError> for OutputError {
    fn from(error: FileError) -> Self {
        Self::BackingFile(error.into())
    }
}

impl HasExitCode for OutputError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::BackingFile(error) => error.exit_code(),
            Self::Directory(_) => ExitCode::Usage,
            Self::InUse { .. }
            | Self::Link(_)
            | Self::Exists(_)
            | Self::Signature { .. }
            | Self::Locked { .. }
            | Self::ForeignLock { .. } => ExitCode::InTheWay,
        }
    }
}

impl Output {
    /// Looks what is there. A device is opened, so that nobody else writes to it. A file that is
    /// not empty is replaced, and a device that has something on it is written over, only by
    /// `force`.
    pub fn find(place: &OutputPlace, force: bool) -> Result<Self, OutputError> {
        let replace = match resolve(place)? {
            None => force,
            // Nothing is lost with an empty file, as `mktemp` makes it.
            Some((_, found)) if found.is_file() => {
                if found.len() != 0 && !force {
                    return Err(OutputError::Exists(place.path().to_owned()));
                }
                true
            }
            Some((at, found)) => {
                let device = open_in_place(&at, &found)?;
                if !force {
                    refuse_overwriting(&device, 0..device.bytes())?;
                }
                return Ok(Self::Device(device));
            }
        };
        let place = place.clone();
        Ok(Self::File { place, replace })
    }
}
