//! How a disk comes to its mount point: by the kernel's own calls where this process may make them, and
//! by the program fusermount3 otherwise.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use model_disk::FileError;
use rustix::{
    fs::{AtFlags, StatxFlags, statx},
    process::{getegid, geteuid},
    thread::{CapabilitySet, capabilities},
};

use super::{FuseError, fusermount};
use crate::{
    mount::{DetachedMount, FsContext},
    mount_point::MountPoint,
};

/// What the kernel names the source, and the type after `fuse.`
pub(super) const NAME: &str = "disk-mounter";

/// How far the kernel reads ahead, in KiB: as much as it asks for at a time.
const READ_AHEAD_KIB: u32 = 1024;

/// A mount that is there, and goes when this is dropped.
pub(super) struct AttachedMount {
    place: PathBuf,
    /// By whose calls it was made; None when it is to stay.
    made: Option<MadeBy>,
}

enum MadeBy {
    Kernel(DetachedMount),
    Fusermount,
}

/// Whether this process may mount and unmount by itself.
pub(super) fn may_mount() -> bool {
    let own = capabilities(None);
    own.is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Who mounts: the user and the group.
pub(super) fn owner() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// Mounts onto a directory. What comes back is the kernel's end of the mount, of which nothing has been
/// read yet: whoever looks at the directory waits until somebody does.
pub(super) fn attach(mount_point: &MountPoint) -> Result<(OwnedFd, AttachedMount), FuseError> {
    let place = mount_point.path().to_owned();
    let (device, made) = if may_mount() {
        let (device, mount) = mount_detached()?;
        let attached = mount.attach(mount_point);
        attached.map_err(FileError::new("mount onto", &place))?;
        (device, MadeBy::Kernel(mount))
    } else {
        (fusermount::mount(&place)?, MadeBy::Fusermount)
    };
    let made = Some(made);
    Ok((device, AttachedMount { place, made }))
}

impl AttachedMount {
    /// Where it is.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Lets the kernel read further ahead than the 128 KiB that it does for FUSE, once it has been talked
    /// to. Where that cannot be had, as in a container with a sysfs that is read-only, reads are slower,
    /// and that is all.
    pub(super) fn widen_read_ahead(&self) {
        let Some(MadeBy::Kernel(mount)) = &self.made else {
            return;
        };
        // Nobody answers yet for the root's attributes, which are not asked for.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Ok(found) = statx(mount, "", flags, StatxFlags::empty()) else {
            return;
        };
        let (major, minor) = (found.stx_dev_major, found.stx_dev_minor);
        let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
        let _ = fs::write(path, READ_AHEAD_KIB.to_string());
    }

    /// Lets it stay.
    pub(super) fn keep(mut self) {
        self.made = None;
    }
}

impl Drop for AttachedMount {
    fn drop(&mut self) {
        // The error that has led here is told; this one would say no more.
        let _ = match self.made.take() {
            None => return,
            Some(MadeBy::Kernel(mount)) => mount.detach().map_err(drop),
            Some(MadeBy::Fusermount) => fusermount::unmount(&self.place, true).map_err(drop),
        };
    }
}

/// Mounts where nobody sees it yet: for everybody to read, as the permissions on the disk say.
fn mount_detached() -> Result<(OwnedFd, DetachedMount), FuseError> {
    let mut options = File::options();
    let device = options.read(true).write(true).open("/dev/fuse");
    let device = device.map_err(FuseError::NoFuse)?;
    let context = FsContext::open("fuse").map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => FuseError::NoFuse(source),
        _ => refused(source, String::new()),
    })?;
    let (user, group) = owner();
    let set = |key: &str, value: String| context.set_string(key, OsStr::new(&value));
    let mount = || {
        set("source", NAME.to_owned())?;
        set("subtype", NAME.to_owned())?;
        context.set_flag("ro")?;
        set("fd", device.as_raw_fd().to_string())?;
        set("rootmode", format!("{:o}", libc::S_IFDIR))?;
        set("user_id", user.to_string())?;
        set("group_id", group.to_string())?;
        context.set_flag("default_permissions")?;
        context.set_flag("allow_other")?;
        context.mount()
    };
    let mount = mount().map_err(|source| refused(source, context.messages()))?;
    Ok((device.into(), mount))
}

fn refused(source: io::Error, messages: String) -> FuseError {
    FuseError::Refused { source, messages }
}
