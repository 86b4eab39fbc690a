//! The lock of a directory, so that runs put outputs into it one after the other.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use model_disk::{FileError, Interrupted};

use super::directory;
use crate::engine::Workers;

/// How often the lock is tried.
const POLL: Duration = Duration::from_millis(20);

/// A directory whose lock (`flock`) is to be taken.
pub(crate) struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// In the directory of an output.
    pub(crate) fn at(output: &Path) -> Result<Self, FileError> {
        let path = directory(output).to_owned();
        let file = File::open(&path).map_err(FileError::new("write beside", output))?;
        Ok(Self { file, path })
    }

    /// Waits until nobody else has the lock, which is held until the file is closed. `tell` gets
    /// the directory once, where that takes time.
    pub(crate) fn take(
        self,
        workers: &Workers,
        tell: impl FnOnce(PathBuf),
    ) -> Result<File, Interrupted> {
        let mut tell = Some(tell);
        // Where nothing can be locked, there is nothing better.
        while let Err(TryLockError::WouldBlock) = self.file.try_lock() {
            if let Some(tell) = tell.take() {
                tell(self.path.clone());
            }
            workers.check_interrupted()?;
            thread::sleep(POLL);
        }
        Ok(self.file)
    }
}
