//! `expect`: whether a path shows a verified disk, asked by anybody.
//!
//! It needs no rights and no device-mapper, so a workload can ask it of what it is about to read. What
//! it goes by can be made by root alone: the mount that the kernel shows at the path, its device, and
//! the UUID of the mapping that the device is.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use dm_verity::RootHash;
use model_disk::{Escaped, ExitCode, FileError, HasExitCode};

use crate::{
    device_mapper::{Mark, root_hash_mark},
    mount_point::{MountPointError, ResolvedPath},
    mountinfo, sysfs,
};

/// Why a path is not what is expected of it.
#[derive(Debug, thiserror::Error)]
pub enum ExpectError {
    /// Nothing is mounted there.
    #[error("{}: not mounted", Escaped::path(.0))]
    NotMounted(PathBuf),
    /// What is mounted there is not verified, or by another program.
    #[error(
        "{}: a filesystem of type {fs_type} is mounted there, and no mapping of disk-mounter is below \
         it",
        Escaped::path(path)
    )]
    NotVerity {
        /// The path.
        path: PathBuf,
        /// What is mounted there.
        fs_type: String,
    },
    /// Whoever serves it can show and say anything.
    #[error(
        "{}: what is mounted there is served by a process (FUSE), and no kernel verifies it: only a mount \
         without --fuse can be expected",
        Escaped::path(.0)
    )]
    Fuse(PathBuf),
    /// Another disk is mounted there.
    #[error(
        "{}: the disk that is mounted there has another root hash (its mapping is marked {found})",
        Escaped::path(path)
    )]
    OtherDisk {
        /// The path.
        path: PathBuf,
        /// What stands for its root hash.
        found: String,
    },
    /// It is not mounted as `mount` mounts it.
    #[error("{}: the disk is mounted there, but {what}", Escaped::path(path))]
    OtherMount {
        /// The path.
        path: PathBuf,
        /// In what it differs.
        what: String,
    },
    /// The path leads nowhere, or by a link.
    #[error(transparent)]
    Path(#[from] MountPointError),
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl HasExitCode for ExpectError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotMounted(_) => ExitCode::NotFound,
            Self::NotVerity { .. }
            | Self::Fuse(_)
            | Self::OtherDisk { .. }
            | Self::OtherMount { .. } => ExitCode::Integrity,
            // What is behind a link may change at any time.
            Self::Path(MountPointError::Link(_)) => ExitCode::Integrity,
            Self::Path(error) => error.exit_code(),
            Self::File(error) => error.exit_code(),
        }
    }
}

/// Checks that a path shows all of a disk with this root hash, read-only, through a mapping of this
/// project. What it says holds as long as nobody with root's rights changes it.
pub fn expect(path: &Path, root_hash: &RootHash) -> Result<(), ExpectError> {
    let resolved = ResolvedPath::look(path)?;
    let path = resolved.path().to_owned();
    let identity = resolved.identity();
    let mount = mountinfo::mount(identity.mount_id)
        .map_err(FileError::new("look for the mount at", &path))?;
    let Some(mount) = mount.filter(|_| identity.is_mount_root) else {
        return Err(ExpectError::NotMounted(path));
    };
    if mount.is_fuse() {
        return Err(ExpectError::Fuse(path));
    }
    let uuid = sysfs::mapping_uuid(mount.device)
        .map_err(FileError::new("read the mapping's UUID of", &path))?;
    let Some(mark) = uuid.as_deref().and_then(Mark::parse) else {
        let fs_type = mount.fs_type;
        return Err(ExpectError::NotVerity { path, fs_type });
    };
    if mark.root_hash != root_hash_mark(root_hash) {
        let found = mark.root_hash.to_owned();
        return Err(ExpectError::OtherDisk { path, found });
    }
    let other = |what: &str| {
        let (path, what) = (path.clone(), what.to_owned());
        Err(ExpectError::OtherMount { path, what })
    };
    if mount.root != Path::new("/") {
        return other("only a part of it");
    }
    let read_only = sysfs::is_read_only(mount.device)
        .map_err(FileError::new("read the flags of the device of", &path))?;
    if !mount.missing_options(&["ro"]).is_empty() || !read_only {
        return other("not read-only");
    }
    Ok(())
}

/// Becomes a command, with its arguments. It returns only if that fails.
pub fn become_command(command: &[OsString]) -> FileError {
    let Some((program, arguments)) = command.split_first() else {
        return FileError::new("run", Path::new(""))(io::ErrorKind::NotFound);
    };
    let failed = Command::new(program).args(arguments).exec();
    FileError::new("run", Path::new(program))(failed)
}
