//! Filesystems made for a measurement, in files of its own.
//!
//! They are mounted in a mount namespace that nobody else is in, so that nothing is left of them
//! when this program ends, however it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use crate::{child, data};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilesystemKind {
    Tmpfs,
    Xfs,
    Btrfs,
    /// Another directory by way of a program, as a filesystem of the network is by way of a server:
    /// each question that the page cache does not answer goes there and back.
    Fuse,
}

impl FilesystemKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Xfs => "XFS",
            Self::Btrfs => "btrfs",
            Self::Fuse => "FUSE",
        }
    }
}

/// Takes this process, which has one thread yet, into a mount namespace of its own.
pub(crate) fn enter_namespace() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
}

/// A mounted filesystem, which goes when this is dropped.
pub(crate) struct Scratch {
    mount_point: PathBuf,
    /// What its content is in, where that is a file or directory.
    storage: Option<PathBuf>,
    /// The program behind it.
    server: Option<Child>,
}

impl Scratch {
    /// Makes one for so many bytes of data in a directory.
    pub(crate) fn new(kind: FilesystemKind, directory: &Path, bytes: u64) -> Result<Self> {
        let mut scratch = Self {
            mount_point: directory.join(format!("mounted-{}", kind.name())),
            storage: None,
            server: None,
        };
        let storage = directory.join(format!("storage-{}", kind.name()));
        data::remove(&storage)?;
        fs::create_dir_all(&scratch.mount_point)?;
        match kind {
            FilesystemKind::Tmpfs => {
                child::run(
                    Command::new("mount")
                        .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "bench"])
                        .arg(&scratch.mount_point),
                )?;
            }
            FilesystemKind::Xfs | FilesystemKind::Btrfs => {
                scratch.storage = Some(storage.clone());
                fs::File::create(&storage)?.set_len(bytes + (1 << 30))?;
                let mkfs = if kind == FilesystemKind::Xfs {
                    "mkfs.xfs"
                } else {
                    "mkfs.btrfs"
                };
                child::run(Command::new(mkfs).arg("-q").arg(&storage))?;
                // The loop device goes with its mount.
                child::run(
                    Command::new("mount")
                        .args(["-o", "loop"])
                        .args([&storage, &scratch.mount_point]),
                )?;
            }
            FilesystemKind::Fuse => {
                scratch.storage = Some(storage.clone());
                fs::create_dir(&storage)?;
                // As filesystems of the network do, it trusts the page cache while a file has not
                // changed.
                let server = Command::new("setpriv")
                    .args(["--pdeathsig", "KILL", "bindfs", "-f", "-o", "kernel_cache"])
                    .args([&storage, &scratch.mount_point])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .spawn()
                    .context("cannot start setpriv")?;
                scratch.wait_for(server)?;
            }
        }
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    fn wait_for(&mut self, server: Child) -> Result<()> {
        let server = self.server.insert(server);
        let start = Instant::now();
        while !child::succeeds(Command::new("mountpoint").arg("-q").arg(&self.mount_point)) {
            if let Some(status) = server.try_wait()? {
                bail!("bindfs ended: {status}");
            }
            if start.elapsed() > Duration::from_secs(10) {
                bail!("bindfs does not mount anything");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Scratch {
    /// What does not go now goes with the mount namespace.
    fn drop(&mut self) {
        let _ = umount2(&self.mount_point, MntFlags::MNT_DETACH);
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = fs::remove_dir(&self.mount_point);
        if let Some(storage) = &self.storage {
            let _ = data::remove(storage);
        }
    }
}
