//! The directory to mount on.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    mountinfo,
    pause::{Deadline, Pause},
};
use model_disk::{Escaped, ExitCode, FileError, HasExitCode, Interrupted};

/// How often a directory that another run has in hand is tried.
const POLL: Duration = Duration::from_millis(20);

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MountPointError {
    /// Another run mounts onto it, and takes its time.
    #[error(
        "{}: another disk-mounter is mounting onto it: timed out after {seconds} s while waiting \
         for that to end (--wait sets the time)",
        Escaped::path(path)
    )]
    Busy {
        /// The directory.
        path: PathBuf,
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
            Self::Busy { .. } => ExitCode::InTheWay,
            Self::Interrupted(_) => ExitCode::Failure,
            Self::File(error) => error.exit_code(),
        }
    }
}

/// A directory to mount on, which no other run has in hand. If it was made, it is removed again
/// unless it is kept.
pub(crate) struct MountPoint {
    path: PathBuf,
    /// Those that were made, the outermost first.
    made: Vec<PathBuf>,
    /// Two runs at a time would both find nothing mounted.
    _lock: Option<File>,
}

impl MountPoint {
    /// Finds or makes the directory, and waits for its lock.
    pub(crate) fn prepare(
        path: &Path,
        deadline: &Deadline,
        pause: Pause<'_>,
    ) -> Result<Self, MountPointError> {
        let path = mountinfo::canonical(path).map_err(FileError::new("resolve", path))?;
        let mut mount_point = Self {
            path,
            made: Vec::new(),
            _lock: None,
        };
        loop {
            mount_point.make()?;
            if mount_point.try_lock()? {
                return Ok(mount_point);
            }
            if deadline.has_passed() {
                let path = mount_point.path.clone();
                let seconds = deadline.wait().as_secs();
                return Err(MountPointError::Busy { path, seconds });
            }
            pause(POLL)?;
        }
    }

    /// Makes the directories that are missing.
    fn make(&mut self) -> Result<(), MountPointError> {
        let ancestors = self.path.ancestors();
        let missing: Vec<_> = ancestors
            .take_while(|path| !path.exists())
            .map(Path::to_owned)
            .collect();
        for directory in missing.into_iter().rev() {
            match fs::create_dir(&directory) {
                Ok(()) => self.made.push(directory),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(FileError::new("make the directory", &directory)(error).into());
                }
            }
        }
        Ok(())
    }

    /// False where another run has it, or has just removed it.
    fn try_lock(&mut self) -> Result<bool, MountPointError> {
        let directory = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(directory)
            .open(&self.path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(FileError::new("mount onto", &self.path)(error).into()),
        };
        match file.try_lock() {
            Ok(()) if is_named(&file, &self.path) => {
                self._lock = Some(file);
                Ok(true)
            }
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => {
                Err(FileError::new("lock", &self.path)(error).into())
            }
        }
    }

    /// Where it is, without links in the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it stay.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.made.clear();
        std::mem::take(&mut self.path)
    }
}

/// Whether a path still names what was opened by it: the last one who had the directory in hand
/// may have removed it, and the next one made it again, or something may be mounted on it.
fn is_named(file: &File, path: &Path) -> bool {
    let Ok((file, path)) = file
        .metadata()
        .and_then(|file| Ok((file, fs::symlink_metadata(path)?)))
    else {
        return false;
    };
    (file.dev(), file.ino()) == (path.dev(), path.ino())
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        for directory in self.made.iter().rev() {
            // One that somebody else uses by now is not empty, and stays.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_made_anew_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mnt");
        fs::create_dir(&path).unwrap();
        let locked = File::open(&path).unwrap();
        assert!(is_named(&locked, &path));
        fs::remove_dir(&path).unwrap();
        assert!(!is_named(&locked, &path), "it is gone");
        fs::create_dir(&path).unwrap();
        assert!(!is_named(&locked, &path), "it is another");
    }
}
