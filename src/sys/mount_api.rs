//! Mounting by file descriptors: fsopen(2), fsconfig(2), fsmount(2) and move_mount(2), in Linux
//! since 5.2.
//!
//! Unlike mount(2), they give a mount that can be looked at before anybody sees it, and the
//! filesystem's own words for what went wrong.

use std::{
    ffi::CStr,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::Path,
    ptr,
};

use nix::NixPath;

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;

/// `MOUNT_ATTR_*` of `<linux/mount.h>`: read-only, no setuid, no devices, no programs.
const ATTRIBUTES: u32 = 0x1 | 0x2 | 0x4 | 0x8;

/// A filesystem that is being set up.
pub(crate) struct FsContext(std::fs::File);

impl FsContext {
    /// Starts with a filesystem type; ENODEV where the kernel has none of this name.
    pub(crate) fn open(fs_type: &CStr) -> io::Result<Self> {
        // SAFETY: fsopen reads the NUL-terminated name and gives a descriptor or -1.
        let fd = unsafe {
            descriptor(libc::syscall(
                libc::SYS_fsopen,
                fs_type.as_ptr(),
                FSOPEN_CLOEXEC,
            ))
        }?;
        Ok(Self(fd.into()))
    }

    /// Sets an option that has a value.
    pub(crate) fn set_string(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        self.configure(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Sets an option that has none.
    pub(crate) fn set_flag(&self, key: &CStr) -> io::Result<()> {
        self.configure(FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null())
    }

    /// Reads the filesystem's superblock and mounts it where nobody sees it: read-only, without
    /// device nodes, setuid files and programs.
    pub(crate) fn mount(&self) -> io::Result<DetachedMount> {
        self.configure(FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())?;
        // SAFETY: fsmount takes numbers only, and gives a descriptor or -1.
        let fd = unsafe {
            descriptor(libc::syscall(
                libc::SYS_fsmount,
                self.0.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                ATTRIBUTES,
            ))
        }?;
        Ok(DetachedMount(fd))
    }

    /// What the filesystem had to say about the last failure; empty where it said nothing.
    pub(crate) fn messages(&self) -> String {
        let mut messages: Vec<String> = Vec::new();
        let mut message = [0; 1024];
        // Each read gives one message; ENODATA is the end.
        while let Ok(length @ 1..) = (&self.0).read(&mut message) {
            messages.push(
                String::from_utf8_lossy(&message[..length])
                    .trim_end()
                    .to_owned(),
            );
        }
        messages.join("; ")
    }

    fn configure(
        &self,
        command: u32,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> io::Result<()> {
        // SAFETY: key and value are NULL or come from a CStr that the callers hold.
        let result = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                command,
                key,
                value,
                0,
            )
        };
        if result == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// A mount that is in no directory yet. It goes away when it is dropped.
pub(crate) struct DetachedMount(OwnedFd);

impl DetachedMount {
    /// Makes it appear at a directory.
    pub(crate) fn attach(self, mount_point: &Path) -> io::Result<()> {
        let result = mount_point.with_nix_path(|path| {
            // SAFETY: both paths are NUL-terminated and outlive the call.
            unsafe {
                libc::syscall(
                    libc::SYS_move_mount,
                    self.0.as_raw_fd(),
                    c"".as_ptr(),
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    MOVE_MOUNT_F_EMPTY_PATH,
                )
            }
        })?;
        if result == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes what a system call returned as a new descriptor.
///
/// # Safety
///
/// `result` is what a call that gives a new descriptor, or -1 and errno, has
/// just returned.
unsafe fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller vouches for a new descriptor, which nobody else owns; it fits in an int.
    Ok(unsafe { OwnedFd::from_raw_fd(result as libc::c_int) })
}
