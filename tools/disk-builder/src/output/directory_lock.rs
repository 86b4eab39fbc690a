//! Runs that put outputs into one directory do it one after the other.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use model_disk::{BackingFile, BackingKind, FileError, ReadAt};
use crate::{
    engine::{Interrupted, Workers},
    new_file,
};

/// How often the lock is tried.
const POLL: Duration = Duration::from_millis(20);

/// A directory whose lock (`flock`) is to be taken.
pub(super) struct DirectoryLock {
    file: File,
    path: PathBuf,
}

impl DirectoryLock {
    /// In the directory of an output.
    pub(super) fn at(output: &Path) -> Result<Self, FileError> {
        let path = new_file::directory(output).to_owned();
        let file = File::open(&path).map_err(FileError::new("write beside", output))?;
        Ok(Self { file, path })
    }

    /// Waits until nobody else has the lock, which is held until the file is closed. `tell` gets
    /// the directory once, where that takes time.
    pub(super) fn take(
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
