//! `unmount`: takes back what `mount` made.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, umount2};

use super::{
    device_mapper::{DeviceMapper, MappingError},
    log,
    status::{StatusError, find},
};
use crate::exit::ExitCode;

/// Why a disk stays mounted, or something of it behind.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// There is no such mount, or it cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The mount is in use.
    #[error("{0}: in use: a process has a file open there, or its working directory")]
    Busy(PathBuf),
    /// A system call failed.
    #[error("{path}: cannot unmount: {source}")]
    Io {
        /// The mount point.
        path: PathBuf,
        /// With its errno.
        source: io::Error,
    },
    /// It is unmounted, but its mapping cannot be removed.
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

impl UnmountError {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            // Somebody else's mount is not touched: it is in the way.
            Self::Status(StatusError::NotVerity { .. }) => ExitCode::InTheWay,
            Self::Status(error) => error.exit_code(),
            Self::Busy(_) => ExitCode::InTheWay,
            Self::Io { source, .. } => ExitCode::of_io(source),
            Self::Mapping(error) => error.exit_code(),
        }
    }
}

/// Unmounts a disk. Its mapping and its loop device go as well, unless another mount uses them.
pub fn unmount(mount_point: &Path) -> Result<(), UnmountError> {
    let device_mapper = DeviceMapper::open().map_err(StatusError::Mapping)?;
    let (mount, found) = find(&device_mapper, mount_point)?;
    umount2(&mount.mount_point, MntFlags::UMOUNT_NOFOLLOW).map_err(|errno| match errno {
        nix::Error::EBUSY => UnmountError::Busy(mount.mount_point.clone()),
        errno => UnmountError::Io {
            path: mount.mount_point.clone(),
            source: errno.into(),
        },
    })?;
    // The kernel removes it on its own, but a moment later.
    let gone = device_mapper.remove_unused(&found.name)?;
    let shared = if gone {
        ""
    } else {
        "; its mapping is in use by another mount"
    };
    log::info(format_args!(
        "{} is unmounted{shared}",
        mount.mount_point.display()
    ));
    Ok(())
}
