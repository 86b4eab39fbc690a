//! Why a disk is not mounted.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Mounted;
use crate::{
    BlockSizeUnsupported, DeviceError, LoopError, MappingError, MinFreeError, MountPointError,
    StatusError, watchdog::Stuck,
};
use dm_verity::BlockSize;
use model_disk::{
    DiskError, Escaped, ExitCode, FileError, HasExitCode, Interrupted, PartitionError,
    erofs::ErofsFeature, filesystem::FsType,
};

/// Why a disk is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Its partitions do not tell where data and tree are.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The disk is refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// This kernel cannot read blocks of these sizes.
    #[error(transparent)]
    BlockSize(#[from] BlockSizeUnsupported),
    /// An image file cannot be shown as a block device.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// Device-mapper refuses, or says that the disk is corrupt.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The directory cannot be used.
    #[error(transparent)]
    MountPoint(#[from] MountPointError),
    /// The reserve of memory cannot be raised.
    #[error(transparent)]
    MinFree(#[from] MinFreeError),
    /// What is mounted there cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Something else is mounted there.
    #[error(
        "{}: {what} is mounted there already; unmount it first, or choose another directory",
        Escaped::path(mount_point)
    )]
    InTheWay {
        /// The directory.
        mount_point: PathBuf,
        /// What is there.
        what: String,
    },
    /// Something came over the mount at once.
    #[error(
        "{}: another mount, or another directory, took the place of the disk while it was mounted",
        Escaped::path(.0)
    )]
    NotShown(PathBuf),
    /// The disk is mounted already, and has turned corrupt since.
    #[error("the disk is corrupt: dm-verity says so of {}", .0.name)]
    FoundCorrupt(Box<Mounted>),
    /// The kernel lacks the filesystem.
    #[error("this kernel has no {0} filesystem: load its module, or use a kernel with it")]
    NoFilesystem(FsType),
    /// The kernel refuses the filesystem.
    #[error(
        "the {fs_type} filesystem cannot be mounted{}",
        in_parentheses(messages)
    )]
    Filesystem {
        /// Its type.
        fs_type: FsType,
        /// With its errno.
        source: io::Error,
        /// What the filesystem driver says.
        messages: String,
    },
    /// The kernel refuses an EROFS, and that uses what some kernels cannot read.
    #[error(
        "the erofs filesystem cannot be mounted: this kernel may lack what it uses: {}",
        listed(features)
    )]
    ErofsFeatures {
        /// What it uses.
        features: Vec<ErofsFeature>,
        /// With its errno.
        source: io::Error,
    },
    /// An XFS with sectors smaller than the data blocks.
    #[error(
        "the xfs filesystem cannot be mounted: its sectors are smaller than the data blocks of \
         {0} bytes, which are the sectors of a dm-verity device; mkfs.xfs -s size={0} makes it fit"
    )]
    XfsSectors(BlockSize),
    /// A filesystem with blocks smaller than the data blocks.
    #[error(
        "the {fs_type} filesystem cannot be mounted: its blocks of {size} bytes are smaller than the \
         data blocks of {data_block_size} bytes, which are the sectors of a dm-verity device; \
         mkfs.{fs_type} -b {data_block_size} makes it fit"
    )]
    SmallBlocks {
        /// Its type.
        fs_type: FsType,
        /// The size of its blocks.
        size: u64,
        /// That of the data blocks.
        data_block_size: BlockSize,
    },
    /// A device does not answer.
    #[error(
        "{} does not answer: timed out after {seconds} s while {step} (--wait sets the time)",
        Escaped::path(device)
    )]
    NoAnswer {
        /// The data device.
        device: PathBuf,
        /// What was begun.
        step: &'static str,
        /// How long ago.
        seconds: u64,
    },
    /// The program was asked to end before anything was mounted.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// There is no thread to mount it.
    #[error(
        "cannot start a thread (is there a limit: pids.max of the control group, RLIMIT_NPROC?)"
    )]
    NoThread(#[source] io::Error),
    /// What got mounted is not what was asked for.
    #[error("the mount is not what it should be: {0}")]
    Unexpected(String),
    /// What got mounted cannot be looked at.
    #[error("cannot look at the mount that was made")]
    NotLookedAt(#[source] io::Error),
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl HasExitCode for MountError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Device(error) => error.exit_code(),
            Self::Partition(error) => error.exit_code(),
            Self::Disk(error) => error.exit_code(),
            Self::BlockSize(error) => error.exit_code(),
            Self::Loop(error) => error.exit_code(),
            Self::Mapping(error) => error.exit_code(),
            Self::MountPoint(error) => error.exit_code(),
            Self::MinFree(error) => error.exit_code(),
            Self::Status(error) => error.exit_code(),
            Self::InTheWay { .. } | Self::NotShown(_) => ExitCode::InTheWay,
            Self::NoFilesystem(_)
            | Self::ErofsFeatures { .. }
            | Self::XfsSectors(_)
            | Self::SmallBlocks { .. }
            | Self::NoThread(_) => ExitCode::Unsupported,
            Self::Unexpected(_) | Self::NotLookedAt(_) | Self::FoundCorrupt(_) => {
                ExitCode::Integrity
            }
            Self::NoAnswer { .. } => ExitCode::NotFound,
            Self::Interrupted(_) => ExitCode::Failure,
            Self::Filesystem { source, .. } => source.exit_code(),
            Self::File(error) => error.exit_code(),
        }
    }
}

impl MountError {
    /// Why a device has given no result in so much time.
    pub(crate) fn of_stuck(stuck: Stuck, device: &Path, patience: Duration) -> Self {
        match stuck {
            Stuck::NoThread(error) => Self::NoThread(error),
            Stuck::Interrupted => Interrupted.into(),
            Stuck::NoAnswer(step) => Self::NoAnswer {
                device: device.to_owned(),
                step,
                seconds: patience.as_secs(),
            },
        }
    }

    /// Whether the disk is refused, or not there: nothing else was looked at.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        matches!(
            self,
            Self::Device(_) | Self::Partition(_) | Self::Disk(_) | Self::BlockSize(_)
        )
    }

    /// Whether the program was asked to end before anything was mounted.
    pub(crate) fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Self::Interrupted(_)
                | Self::Device(DeviceError::Interrupted(_))
                | Self::MountPoint(MountPointError::Interrupted(_))
                | Self::MinFree(MinFreeError::Interrupted(_))
        )
    }
}

/// What a filesystem driver says, if it says something.
fn in_parentheses(messages: &str) -> String {
    if messages.is_empty() {
        return String::new();
    }
    format!(" ({messages})")
}

fn listed(features: &[ErofsFeature]) -> String {
    let features: Vec<_> = features.iter().map(ErofsFeature::to_string).collect();
    features.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_known_wherever_it_was_asked_for() {
        for error in [
            MountError::from(Interrupted),
            DeviceError::from(Interrupted).into(),
            MountPointError::from(Interrupted).into(),
            MinFreeError::from(Interrupted).into(),
        ] {
            assert!(error.is_interrupted(), "{error:?}");
        }
        assert!(!MountError::Unexpected("else".to_owned()).is_interrupted());
    }
}
