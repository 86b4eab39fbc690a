//! A FUSE mount of this program that is there: who serves it is asked, and it is unmounted.
//!
//! What a FUSE mount shows is as good as the process that serves it. So it is believed only where the
//! kernel says that root has mounted it, or whoever asks.

use std::path::Path;

use model_disk::{Escaped, FileError};
use rustix::{
    mount::{UnmountFlags, unmount},
    process::geteuid,
};

use super::{
    answer::{Answer, NoAnswer, ask},
    attach::may_mount,
    fusermount::{self, UnmountFailure},
};
use crate::{
    UnmountError, holders,
    mount_point::{MountPointError, ResolvedPath},
    mountinfo::{self, Mount},
};

/// The kernel's name of its type.
const FS_TYPE: &str = "fuse.disk-mounter";

/// A mount of this type that is shown at a path.
pub(crate) struct FuseMount {
    /// The path, and what is at it.
    pub(crate) resolved: ResolvedPath,
    /// What the kernel says of it.
    pub(crate) mount: Mount,
}

impl FuseMount {
    /// The one at a path; None where something else is mounted there, or nothing.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>, MountPointError> {
        let resolved = match ResolvedPath::look(path) {
            Err(MountPointError::File(error))
                if error.source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            resolved => resolved?,
        };
        let identity = resolved.identity();
        if !identity.is_mount_root {
            return Ok(None);
        }
        let mount = mountinfo::mount(identity.mount_id);
        let mount = mount.map_err(FileError::new("look for the mount at", path))?;
        let mount = mount.filter(|mount| mount.fs_type == FS_TYPE);
        Ok(mount.map(|mount| Self { resolved, mount }))
    }

    /// Who has mounted it, as the kernel knows.
    pub(crate) fn user(&self) -> Option<u32> {
        self.mount.super_option("user_id")?.parse().ok()
    }

    /// Whether what it says is to be believed by this process.
    pub(crate) fn is_believed(&self) -> bool {
        let user = self.user();
        user == Some(0) || user == Some(geteuid().as_raw())
    }

    /// What its server says.
    pub(crate) fn ask(&self) -> Result<Answer, NoAnswer> {
        ask(&self.resolved.pinned())
    }

    /// Unmounts it; with `lazily` it is out of sight at once, also where it is in use.
    pub(crate) fn unmount(&self, lazily: bool) -> Result<(), UnmountError> {
        let path = self.resolved.path();
        // What is mounted in it would go with it, and is somebody else's.
        let inner = mountinfo::mounted_on(self.mount.id);
        if let Some(inner) = inner.map_err(FileError::new("look for mounts in", path))? {
            let by = format!("a mount in it, at {}", Escaped::path(&inner.mount_point));
            let path = path.to_owned();
            return Err(UnmountError::Busy { path, by });
        }
        let busy = || UnmountError::Busy {
            path: path.to_owned(),
            by: holders::of_filesystem(self.mount.device),
        };
        if !may_mount() {
            return fusermount::unmount(path, lazily).map_err(|failed| match failed {
                UnmountFailure::Busy => busy(),
                UnmountFailure::Other(error) => UnmountError::Fusermount(Box::new(error)),
            });
        }
        let flags = if lazily {
            UnmountFlags::DETACH
        } else {
            UnmountFlags::empty()
        };
        match unmount(self.resolved.pinned(), flags | UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::BUSY) => Err(busy()),
            Err(errno) => Err(FileError::new("unmount", path)(errno).into()),
        }
    }
}
