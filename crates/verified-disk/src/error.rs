//! What is wrong with a disk, and where.

use std::{io, path::PathBuf};

use model_disk::{DiskError, Escaped, ExitCode, FileError, HasExitCode};

/// Why a disk is not read from at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifiedDiskError {
    /// The arguments have no root hash, and so nothing to verify by.
    #[error("nothing can be verified without a root hash")]
    NoRootHash,
    /// It is refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its first bytes, which bind its geometry, cannot be read.
    #[error(transparent)]
    Header(#[from] VerifiedReadError),
}

impl HasExitCode for VerifiedDiskError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoRootHash => ExitCode::Usage,
            Self::Disk(error) => error.exit_code(),
            Self::Header(error) => error.exit_code(),
        }
    }
}

/// Why some bytes of a disk are not given.
#[derive(Debug, thiserror::Error)]
pub enum VerifiedReadError {
    /// A data block has another digest than the tree says.
    #[error(
        "data block {block} is corrupt (byte {offset} of {})",
        Escaped::path(path)
    )]
    DataBlock {
        /// What it was read from.
        path: PathBuf,
        /// Its number.
        block: u64,
        /// Where it starts, in bytes.
        offset: u64,
    },
    /// A hash block has another digest than the block above it says, or than the root hash.
    #[error(
        "hash block {block} of level {level} is corrupt (byte {offset} of {})",
        Escaped::path(path)
    )]
    HashBlock {
        /// What it was read from.
        path: PathBuf,
        /// Its level: 0 holds the digests of the data blocks.
        level: usize,
        /// Its number in the level.
        block: u64,
        /// Where it starts, in bytes.
        offset: u64,
    },
    /// It could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such place in the data.
    #[error("byte {end} was asked for, and the root hash covers {bytes} bytes")]
    Beyond {
        /// The end of what was asked for.
        end: u64,
        /// How many bytes there are.
        bytes: u64,
    },
}

impl HasExitCode for VerifiedReadError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::DataBlock { .. } | Self::HashBlock { .. } => ExitCode::Integrity,
            // It was long enough when it was judged.
            Self::File(error) if error.source.kind() == io::ErrorKind::UnexpectedEof => {
                ExitCode::Integrity
            }
            Self::File(error) => error.exit_code(),
            Self::Beyond { .. } => ExitCode::Failure,
        }
    }
}
