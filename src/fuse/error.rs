//! Why a disk is not mounted by FUSE, or not served to the end.

use std::{io, path::PathBuf};

use model_disk::{Escaped, ExitCode, FileError, HasExitCode, Interrupted};

use crate::{
    DeviceError, MountError, MountPointError, ReadingError, UnmountError, sidecar::ConfineError,
};

/// Why a disk is not mounted by FUSE, or not served to the end.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// The disk is refused, or cannot be read.
    #[error(transparent)]
    Reading(#[from] ReadingError),
    /// As with any mount.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What was mounted cannot be unmounted.
    #[error(transparent)]
    Unmount(#[from] UnmountError),
    /// The kernel has no FUSE, or this container not its device.
    #[error(
        "there is no FUSE here: load the kernel's module fuse, and give a container the device /dev/fuse"
    )]
    NoFuse(#[source] io::Error),
    /// The kernel refuses the mount.
    #[error("the kernel does not mount by FUSE{}", in_parentheses(messages))]
    Refused {
        /// With its errno.
        source: io::Error,
        /// What it says besides.
        messages: String,
    },
    /// There is nobody to mount it for this user.
    #[error(
        "without the capability CAP_SYS_ADMIN a disk is mounted by the program fusermount3, which is \
         not here: install the package fuse3"
    )]
    NoFusermount(#[source] io::Error),
    /// Whoever mounts it for this user does not.
    #[error("fusermount3 has failed: {0}")]
    Fusermount(String),
    /// The kernel and this program do not understand each other.
    #[error("the kernel's FUSE cannot be talked to")]
    Session(#[source] io::Error),
    /// The disk is mounted already, and has turned corrupt since.
    #[error(
        "the disk that is mounted at {} is corrupt: {what}",
        Escaped::path(mount_point)
    )]
    FoundCorrupt {
        /// The directory.
        mount_point: PathBuf,
        /// What its server says.
        what: String,
    },
    /// The disk turned corrupt.
    #[error("{device} is corrupt: {what}")]
    Corrupt {
        /// The data device, as it is shown.
        device: String,
        /// The block and the files.
        what: String,
    },
    /// Somebody else has unmounted the disk.
    #[error("{}: not mounted any more; somebody else has unmounted it", Escaped::path(.0))]
    Gone(PathBuf),
    /// It would keep rights that it does not need.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// A process or a thread cannot be started, or cannot wait.
    #[error("cannot {action}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// With its errno.
        source: io::Error,
    },
}

impl FuseError {
    /// Makes the error of a failed action, for [`Result::map_err`].
    pub(super) fn process<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Process {
            action,
            source: source.into(),
        }
    }

    /// Whether the program was asked to end before anything was mounted.
    pub(super) fn is_interrupted(&self) -> bool {
        matches!(self, Self::Mount(error) if error.is_interrupted())
    }
}

impl From<DeviceError> for FuseError {
    fn from(error: DeviceError) -> Self {
        MountError::from(error).into()
    }
}

impl From<MountPointError> for FuseError {
    fn from(error: MountPointError) -> Self {
        MountError::from(error).into()
    }
}

impl From<Interrupted> for FuseError {
    fn from(error: Interrupted) -> Self {
        MountError::from(error).into()
    }
}

impl From<FileError> for FuseError {
    fn from(error: FileError) -> Self {
        MountError::from(error).into()
    }
}

impl HasExitCode for FuseError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Reading(error) => error.exit_code(),
            Self::Mount(error) => error.exit_code(),
            Self::Unmount(error) => error.exit_code(),
            Self::NoFuse(_)
            | Self::Refused { .. }
            | Self::NoFusermount(_)
            | Self::Fusermount(_)
            | Self::Session(_) => ExitCode::Unsupported,
            Self::FoundCorrupt { .. } | Self::Corrupt { .. } => ExitCode::Integrity,
            Self::Gone(_) => ExitCode::NotFound,
            Self::Confine(error) => error.exit_code(),
            Self::Process { source, .. } => source.exit_code(),
        }
    }
}

/// What the kernel says, if it says something.
fn in_parentheses(messages: &str) -> String {
    if messages.is_empty() {
        return String::new();
    }
    format!(" ({messages})")
}
