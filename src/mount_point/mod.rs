//! The directory that a disk is mounted on: found without following a link, made where it is
//! missing, checked, and held while a disk is mounted there.
//!
//! A workload that opens the path later is to get this mount and nothing else. So nobody but root
//! and whoever mounts may be able to put another directory in the place of any component.

mod check;
mod resolve;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use model_disk::{Escaped, ExitCode, FileError, HasExitCode, Interrupted};

use crate::{
    lock::{RunLock, Tried, holder_name},
    pause::{Deadline, Pause},
};
use check::{Checker, MadeDirectories};
pub(crate) use resolve::{ResolvedPath, mount_id};

/// How often a directory that another run has in hand is tried.
const POLL: Duration = Duration::from_millis(20);

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MountPointError {
    /// It would be somewhere else than its name says.
    #[error("{} has `..` in it: name the directory without", Escaped::path(.0))]
    Above(PathBuf),
    /// Whoever owns the link could let it lead elsewhere.
    #[error("{} is a symbolic link: name the directory that it leads to", Escaped::path(.0))]
    Link(PathBuf),
    /// Its owner could put another in its place.
    #[error(
        "{} belongs to user {owner}, who could put something else in the place of the disk: choose \
         a directory that nobody but root can change",
        Escaped::path(path)
    )]
    Owner {
        /// The component of the path.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Others could put another in its place.
    #[error(
        "{} can be changed by others than its owner (mode {mode:04o}), who could put something \
         else in the place of the disk: set it to 0755, or choose another directory",
        Escaped::path(path)
    )]
    Writable {
        /// The component of the path.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Whoever runs the server could show something else.
    #[error(
        "{} is on {fs_type}, whose other side could show something else in the place of the disk: \
         choose a directory on a filesystem of this machine, or say --allow-remote-mount-point",
        Escaped::path(path)
    )]
    Remote {
        /// The directory.
        path: PathBuf,
        /// The filesystem that it is on.
        fs_type: &'static str,
    },
    /// What is there would be covered, and could be taken for the disk when that is gone.
    #[error("{} is not empty: name an empty directory, or one that is not there", Escaped::path(.0))]
    NotEmpty(PathBuf),
    /// Another run mounts onto it, and takes its time.
    #[error(
        "{}: {} is mounting onto it: timed out after {seconds} s while waiting for that to end \
         (--wait sets the time)",
        Escaped::path(path),
        holder_name(*holder)
    )]
    Busy {
        /// The directory.
        path: PathBuf,
        /// Which process.
        holder: Option<u32>,
        /// For how long it was waited for.
        seconds: u64,
    },
    /// The wait was ended from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl HasExitCode for MountPointError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Above(_) => ExitCode::Usage,
            Self::Link(_)
            | Self::Owner { .. }
            | Self::Writable { .. }
            | Self::Remote { .. }
            | Self::NotEmpty(_)
            | Self::Busy { .. } => ExitCode::InTheWay,
            Self::Interrupted(_) => ExitCode::Failure,
            Self::File(error) => error.exit_code(),
        }
    }
}

/// A directory to mount on, which no other run has in hand. What was made for it is removed again,
/// unless it is kept.
pub(crate) struct MountPoint {
    resolved: ResolvedPath,
    directory: OwnedFd,
    made: MadeDirectories,
    _lock: RunLock,
}

impl MountPoint {
    /// Finds or makes the directory, checks it, and waits until nobody else has it in hand.
    /// `allow_remote` lets it be on a filesystem of another machine.
    pub(crate) fn prepare(
        path: &Path,
        allow_remote: bool,
        deadline: &Deadline,
        pause: Pause<'_>,
    ) -> Result<Self, MountPointError> {
        let mut made = MadeDirectories::default();
        loop {
            let mut checker = Checker::new(&mut made, allow_remote);
            let resolved = ResolvedPath::walk(path, &mut checker)?;
            let holder = match RunLock::try_take(&resolved.identity().lock_name())? {
                Tried::Held(lock) => {
                    // The last one who had it in hand may have removed it, or mounted there.
                    if let Some(directory) = resolved.open()? {
                        if !resolved.identity().is_mount_root {
                            check::is_empty(&directory, resolved.path())?;
                        }
                        return Ok(Self {
                            resolved,
                            directory,
                            made,
                            _lock: lock,
                        });
                    }
                    None
                }
                Tried::Other(holder) => holder,
            };
            if deadline.has_passed() {
                return Err(MountPointError::Busy {
                    path: resolved.path().to_owned(),
                    holder,
                    seconds: deadline.wait().as_secs(),
                });
            }
            pause(POLL)?;
        }
    }

    /// Where it is, from the root on.
    pub(crate) fn path(&self) -> &Path {
        self.resolved.path()
    }

    /// What was found there.
    pub(crate) fn resolved(&self) -> &ResolvedPath {
        &self.resolved
    }

    /// Lets it stay.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.made.keep();
        self.resolved.path().to_owned()
    }
}

impl AsFd for MountPoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
