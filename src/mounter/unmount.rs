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
    watch::telling,
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
    let (mount_point, gone) = take(mount_point, MntFlags::empty())?;
    let shared = if gone {
        ""
    } else {
        "; its mapping is in use by another mount"
    };
    log::info(format_args!(
        "{} is unmounted{shared}",
        mount_point.display()
    ));
    Ok(())
}

/// Takes a disk that is in use out of sight. It stays for those who use it, and goes with the
/// last of them.
pub(crate) fn detach(mount_point: &Path) -> Result<(), UnmountError> {
    let (mount_point, gone) = take(mount_point, MntFlags::MNT_DETACH)?;
    let used = if gone {
        ""
    } else {
        "; those who use it still can, and it goes with the last"
    };
    log::warn(format_args!(
        "{} was in use and is detached{used}",
        mount_point.display()
    ));
    Ok(())
}

/// Unmounts; where the disk was mounted, and whether its mapping is gone.
fn take(mount_point: &Path, flags: MntFlags) -> Result<(PathBuf, bool), UnmountError> {
    let device_mapper = DeviceMapper::open().map_err(StatusError::Mapping)?;
    let (mount, found) = find(&device_mapper, mount_point)?;
    let path = mount.mount_point;
    let waits = format!(
        "{}: a device does not answer; the kernel unmounts when the reads that were begun have ended",
        path.display()
    );
    match telling(&waits, || umount2(&path, flags | MntFlags::UMOUNT_NOFOLLOW)) {
        Ok(()) => {}
        Err(nix::Error::EBUSY) => return Err(UnmountError::Busy(path)),
        // Somebody else was faster.
        Err(nix::Error::EINVAL) => return Err(StatusError::NotMounted(path).into()),
        Err(errno) => {
            return Err(UnmountError::Io {
                path,
                source: errno.into(),
            });
        }
    }
    // The kernel would remove it on its own, but a moment later.
    let gone = device_mapper.remove_unused(&found.name)?;
    Ok((path, gone))
}
