//! Why a mapping cannot be made, or asked, and the errno in the errors of `devicemapper`.

use std::io;

use devicemapper::DmError;

use super::MappingName;
use dm_verity::NotATable;
use model_disk::{ExitCode, HasExitCode};

/// Why a mapping cannot be made, or asked.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The kernel has no device-mapper.
    #[error(
        "this kernel has no device-mapper: load the module `dm-mod`, or use a kernel with CONFIG_BLK_DEV_DM"
    )]
    NoDeviceMapper,
    /// The kernel has no verity target.
    #[error(
        "this kernel's device-mapper has no verity target: load the module `dm-verity`, or use a kernel with CONFIG_DM_VERITY"
    )]
    NoVerityTarget,
    /// The target is too old for an option.
    #[error("this kernel's verity target ({}.{}) does not know {option}: Linux {linux} and later do", has.0, has.1)]
    TooOld {
        /// The optional argument of the table.
        option: &'static str,
        /// The version of the target.
        has: (u32, u32),
        /// The first version of Linux with it.
        linux: &'static str,
    },
    /// The target cannot correct anything.
    #[error(
        "this kernel's verity target takes the table without forward error correction alone: use a \
         kernel with CONFIG_DM_VERITY_FEC, or leave --fec out"
    )]
    NoFec,
    /// The target is so old that what it maps need not stay verified.
    #[error(
        "this kernel's verity target ({}.{}) is too old: {}.{} is needed (Linux 6.0), as another \
         target, which verifies nothing, can take the place of an older one (CVE-2022-2503); use a \
         newer kernel",
        has.0, has.1, needs.0, needs.1
    )]
    TargetTooOld {
        /// The version of the target.
        has: (u32, u32),
        /// The oldest version that is accepted.
        needs: (u32, u32),
    },
    /// A udev that would have to answer through a semaphore that it cannot see.
    #[error(
        "/run/udev is visible, but this container has its own IPC namespace: udev could never answer. Do not mount /run/udev into the container"
    )]
    ForeignUdev,
    /// A mapping of this name has another table.
    #[error("the name {name} is taken by a mapping with another table: {table}")]
    NameTaken {
        /// The name.
        name: MappingName,
        /// Its table, as the kernel shows it.
        table: String,
    },
    /// The kernel shows another table than was loaded.
    #[error("the kernel has another table for {name} than it was given: {table}")]
    OtherTable {
        /// The name.
        name: MappingName,
        /// Its table, as the kernel shows it.
        table: String,
    },
    /// A mapping of another name has the UUID that this one would get.
    #[error(
        "the mapping {by} has the UUID of {name}: it was that one and got another name, or it is \
         somebody else's; `dmsetup rename {by} {name}`, or remove it"
    )]
    UuidTaken {
        /// The name that was to be made.
        name: MappingName,
        /// The mapping that is in the way.
        by: MappingName,
    },
    /// A device of the table is in use by something else, most likely mounted.
    #[error("the data or hash device is in use by {by}")]
    DeviceInUse {
        /// By what.
        by: String,
        /// With its errno.
        source: io::Error,
    },
    /// A block did not fit to the root hash.
    #[error("the disk is corrupt: dm-verity says so of {0}")]
    Corrupt(MappingName),
    /// A table of a form that is not known.
    #[error(transparent)]
    Table(#[from] NotATable),
    /// A system call failed.
    #[error("device-mapper cannot {action}")]
    Io {
        /// What was done.
        action: String,
        /// With its errno.
        source: io::Error,
    },
}

impl HasExitCode for MappingError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoDeviceMapper
            | Self::NoVerityTarget
            | Self::TooOld { .. }
            | Self::NoFec
            | Self::TargetTooOld { .. }
            | Self::ForeignUdev => ExitCode::Unsupported,
            Self::NameTaken { .. } | Self::UuidTaken { .. } | Self::DeviceInUse { .. } => {
                ExitCode::InTheWay
            }
            Self::OtherTable { .. } | Self::Corrupt(_) => ExitCode::Integrity,
            Self::Table(_) => ExitCode::Failure,
            Self::Io { source, .. } => source.exit_code(),
        }
    }
}

impl MappingError {
    /// Makes the error of a failed action, for [`Result::map_err`].
    pub(super) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// The errno in the crate's error.
pub(super) fn errno(error: &DmError) -> Option<i32> {
    match error {
        DmError::Core(devicemapper::errors::Error::Ioctl(_, _, _, errno)) => Some(**errno as i32),
        _ => None,
    }
}

/// Makes the error of a failed action.
pub(super) fn failed(action: impl Into<String>) -> impl FnOnce(DmError) -> MappingError {
    let action = action.into();
    move |error| {
        let source = match errno(&error) {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(error.to_string()),
        };
        MappingError::Io { action, source }
    }
}
