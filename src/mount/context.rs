//! Mounting by file descriptors: fsopen(2), fsconfig(2), fsmount(2) and move_mount(2), in Linux
//! since 5.2.
//!
//! Unlike mount(2), they give a mount that can be looked at before anybody sees it, and the
//! filesystem's own words for what went wrong.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

/// A filesystem that is being set up.
pub(crate) struct FsContext(File);

impl FsContext {
    /// Starts with a filesystem type; ENODEV where the kernel has none of this name.
    pub(crate) fn open(fs_type: &str) -> io::Result<Self> {
        Ok(Self(fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?.into()))
    }

    /// Sets an option that has a value.
    pub(crate) fn set_string(&self, key: &str, value: &OsStr) -> io::Result<()> {
        Ok(fsconfig_set_string(&self.0, key, value)?)
    }

    /// Sets an option that has none.
    pub(crate) fn set_flag(&self, key: &str) -> io::Result<()> {
        Ok(fsconfig_set_flag(&self.0, key)?)
    }

    /// Reads the filesystem's superblock and mounts it where nobody sees it: read-only, without
    /// device nodes, setuid files and programs.
    pub(crate) fn mount(&self) -> io::Result<DetachedMount> {
        fsconfig_create(&self.0)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        Ok(DetachedMount(mount))
    }

    /// What the filesystem had to say about the last failure; empty where it said nothing.
    pub(crate) fn messages(&self) -> String {
        let mut messages: Vec<String> = Vec::new();
        let mut message = [0; 1024];
        // Each read gives one message; ENODATA is the end.
        while let Ok(length @ 1..) = (&self.0).read(&mut message) {
            let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
            messages.push(text.trim_end().to_owned());
        }
        messages.join("; ")
    }
}

/// A mount that is in no directory yet. It goes away when it is dropped.
pub(crate) struct DetachedMount(OwnedFd);

impl DetachedMount {
    /// Makes it appear at a directory, whatever that is called by now.
    pub(crate) fn attach(&self, directory: impl AsFd) -> io::Result<()> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(&self.0, "", directory, "", flags)?)
    }

    /// Takes it away from where it was attached.
    pub(crate) fn detach(self) -> io::Result<()> {
        // The descriptor is the mount's root: the kernel follows it, and no path.
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(unmount(path, UnmountFlags::DETACH)?)
    }
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
