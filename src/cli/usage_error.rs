//! What is wrong with a command line whose options can each be read.

use std::path::PathBuf;

use model_disk::{ArgumentsError, Escaped, ExitCode, HasExitCode, PathError, filesystem::FsType};

/// Options that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MounterUsageError {
    /// They make no parameters of a tree.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// What should be a path on a disk is none.
    #[error("{} is no path on a disk", Escaped::path(path))]
    DiskPath {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        source: PathError,
    },
    /// A part of files that have nothing to do with each other.
    #[error("--offset and --bytes are for one PATH")]
    PartOfMany,
    /// What serves the disk ends with the sidecar.
    #[error(
        "--leave-mounted cannot be used with --fuse: what serves the disk ends with the sidecar"
    )]
    FuseLeaveMounted,
    /// A filesystem that only a kernel can read.
    #[error("--fuse is for disks with EROFS, and not with {0}")]
    FuseFilesystem(FsType),
    /// More than the kernel can set.
    #[error("--read-ahead {0}: the limit is 2 GiB")]
    ReadAhead(u64),
}

impl HasExitCode for MounterUsageError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}
