//! The lock of an output, so that runs put a disk and its manifest there one after the other.
//!
//! What is locked (`flock`) is a file beside the output, `.NAME.disk-builder-lock`, that only this
//! user can open. A lock on the directory, or on anything else that others may read, could be taken
//! and kept by them. It goes with the last run that has it; one that a killed run left is taken over
//! by the next.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use model_disk::FileError;
use rustix::fs::OFlags;

use super::{
    LockHolder, OutputError, OutputPlace,
    new_file::mark,
    place::{is_own, is_same},
};

/// How often the lock is tried.
const POLL: Duration = Duration::from_millis(20);

/// How long it is waited for. Whoever has it has only names to change and little to sync.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The lock's name after that of the output.
const MARK_OF_LOCK: &str = "lock";

/// A lock that may be taken, and goes when it is dropped.
#[derive(Debug)]
pub(crate) struct OutputLock {
    file: File,
    place: OutputPlace,
}

impl OutputLock {
    /// The lock of an output, not taken yet.
    pub(crate) fn of(output: &OutputPlace) -> Result<Self, OutputError> {
        let mut name = mark(output.name());
        name.push(MARK_OF_LOCK);
        let place = output.beside(name);
        let file = open(&place)?;
        Ok(Self { file, place })
    }

    /// The file that is locked.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Takes the lock, which is held until this is dropped. While somebody else has it, `wait` is
    /// called time and again, and ends that by an error; so does `patience`.
    pub(crate) fn take<E: From<OutputError>>(
        &mut self,
        patience: Duration,
        mut wait: impl FnMut(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = Instant::now() + patience;
        loop {
            match self.file.try_lock() {
                Ok(()) if self.place.is_there(&self.file) => return Ok(()),
                // Whoever had it before has removed it.
                Ok(()) => self.file = open(&self.place)?,
                // Where nothing can be locked, there is nothing better.
                Err(TryLockError::Error(_)) => return Ok(()),
                Err(TryLockError::WouldBlock) => {
                    wait(self.path())?;
                    if Instant::now() > end {
                        return Err(self.locked()?.into());
                    }
                    thread::sleep(POLL);
                }
            }
        }
    }

    fn locked(&self) -> Result<OutputError, OutputError> {
        let path = self.path().to_owned();
        let metadata = self.file.metadata();
        let holder = LockHolder::of(&metadata.map_err(FileError::new("open", &path))?);
        Ok(OutputError::Locked { path, holder })
    }
}

impl Drop for OutputLock {
    /// Removes it before it is unlocked, so that nobody takes one that goes. Where somebody else has
    /// it, it is theirs to remove.
    fn drop(&mut self) {
        let is_others = matches!(self.file.try_lock(), Err(TryLockError::WouldBlock));
        if !is_others && self.place.is_there(&self.file) {
            let _ = self.place.remove();
        }
    }
}

/// Makes the file, or opens it where another run of this user has made it.
fn open(place: &OutputPlace) -> Result<File, OutputError> {
    loop {
        let opened = match place.create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let Some(found) = place.look()? else {
                    // It has just gone.
                    continue;
                };
                if !is_own(&found) {
                    return Err(OutputError::ForeignLock {
                        path: place.path().to_owned(),
                        owner: found.uid(),
                    });
                }
                match place.open(OFlags::RDWR) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Ok(file) if !file.metadata().is_ok_and(|file| is_same(&file, &found)) => {
                        continue;
                    }
                    opened => opened,
                }
            }
            opened => opened,
        };
        return Ok(opened.map_err(FileError::new("write beside", place.path()))?);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    fn wait(_: &Path) -> Result<(), OutputError> {
        Ok(())
    }

    fn lock(output: &OutputPlace) -> OutputLock {
        OutputLock::of(output).unwrap()
    }

    fn names(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path()).unwrap().count()
    }

    #[test]
    fn who_waits_does_so_with_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputPlace::of(&folder.path().join("disk")).unwrap();
        let (mut one, mut other) = (lock(&output), lock(&output));
        one.take(PATIENCE, wait).unwrap();
        let error = other.take(Duration::ZERO, wait).unwrap_err();
        let said = error.to_string();
        let expected = format!("is locked by process {} (", std::process::id());
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("/.disk.disk-builder-lock "), "{said}");
        // Or when it is told to.
        let stop = |_: &Path| Err(OutputError::Directory("stopped".into()));
        let error = other.take(PATIENCE, stop).unwrap_err();
        assert!(matches!(error, OutputError::Directory(_)), "{error}");
        drop(one);
        // That one has removed its file.
        other.take(Duration::ZERO, wait).unwrap();
        drop(other);
        assert_eq!(names(&folder), 0);
    }

    #[test]
    fn what_a_killed_run_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputPlace::of(&folder.path().join("disk")).unwrap();
        fs::write(folder.path().join(".disk.disk-builder-lock"), "").unwrap();
        lock(&output).take(Duration::ZERO, wait).unwrap();
        assert_eq!(names(&folder), 0);
        // One that was never taken goes as well.
        drop(lock(&output));
        assert_eq!(names(&folder), 0);
    }

    /// Two that come and go never have it both.
    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputPlace::of(&folder.path().join("disk")).unwrap();
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut lock = lock(&output);
                        lock.take(PATIENCE, wait).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(names(&folder), 0);
    }
}
