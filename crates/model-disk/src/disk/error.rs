//! Why a disk is refused.

use std::path::PathBuf;

use dm_verity::{HashAlgorithm, HashAreaError, RootHash, SuperblockError};

use crate::{
    BindingError, Contradiction, Escaped, ExitCode, FecError, FileError, HasExitCode,
    filesystem::{FsType, NoFilesystem},
};

/// Why a disk is refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The place of the superblock cannot be found out.
    #[error(
        "{} has no {fs_type} filesystem, which would tell where the superblock is (--hash-offset \
         names the place, --fs-type another filesystem)",
        Escaped::path(path)
    )]
    NoFilesystem {
        /// The data device.
        path: PathBuf,
        /// What was looked for.
        fs_type: FsType,
        /// Why it is none.
        source: NoFilesystem,
    },
    /// There is no tree after the filesystem.
    #[error(
        "{} has no dm-verity superblock at byte {offset}, after its {fs_type} filesystem \
         (--hash-offset names another place)",
        Escaped::path(path)
    )]
    NoHashArea {
        /// The data device.
        path: PathBuf,
        /// The filesystem.
        fs_type: FsType,
        /// Where the superblock would be.
        offset: u64,
    },
    /// What stands at the place of the superblock is not acceptable.
    #[error(
        "the superblock at byte {offset} of {} is not accepted",
        Escaped::path(path)
    )]
    Superblock {
        /// The hash device.
        path: PathBuf,
        /// The place of the superblock.
        offset: u64,
        /// What is wrong.
        source: SuperblockError,
    },
    /// The superblock says something else than the arguments.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// No tree can be where the superblock is.
    #[error("no hash tree can be on {}", Escaped::path(path))]
    HashArea {
        /// The hash device.
        path: PathBuf,
        /// What is wrong.
        source: HashAreaError,
    },
    /// A device ends before what should be on it.
    #[error(
        "{} is cut short: {what} would end at byte {end}, and it has {bytes} bytes",
        Escaped::path(path)
    )]
    CutShort {
        /// The device.
        path: PathBuf,
        /// The data, the superblock or the hash tree.
        what: &'static str,
        /// Where that would end.
        end: u64,
        /// How long the device is.
        bytes: u64,
    },
    /// The hash area lies within the data.
    #[error(
        "the hash area at byte {offset} of {} lies within the data, which ends at byte {data_end}",
        Escaped::path(path)
    )]
    Overlap {
        /// The device.
        path: PathBuf,
        /// Where the hash area starts.
        offset: u64,
        /// Where the data ends.
        data_end: u64,
    },
    /// No FEC area can be where the arguments say.
    #[error(transparent)]
    Fec(#[from] FecError),
    /// The filesystem is one that no hash tree can cover, or none that can be.
    #[error("the filesystem on {} is refused", Escaped::path(path))]
    Filesystem {
        /// The data device.
        path: PathBuf,
        /// What is wrong with it.
        source: NoFilesystem,
    },
    /// Nothing makes sure that the root hash covers all of the disk.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The root hash is not one of the disk's algorithm.
    #[error("the disk is hashed with {disk}, the root hash is one of {root_hash}")]
    Algorithm {
        /// The disk's algorithm.
        disk: HashAlgorithm,
        /// That of the root hash.
        root_hash: HashAlgorithm,
    },
    /// The root block is not the one of the root hash.
    #[error("the root hash does not match: expected {expected}, the disk has {found}")]
    RootHash {
        /// The root hash of the arguments.
        expected: RootHash,
        /// The digest of the disk's root block.
        found: RootHash,
    },
}

impl HasExitCode for DiskError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Fec(error) => error.exit_code(),
            // The place after a filesystem is always aligned: this one was named.
            Self::HashArea {
                source: HashAreaError::Misaligned { .. },
                ..
            } => ExitCode::Usage,
            _ => ExitCode::Integrity,
        }
    }
}
