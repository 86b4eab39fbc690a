//! Files that appear whole or not at all.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use tempfile::NamedTempFile;

use model_disk::FileError;

/// What the name of a temporary file has after that of the file to be.
const MARK: &str = ".disk-builder-";

/// How many random characters follow.
const RANDOM: usize = 6;

/// How much of the file's own name is in that of its temporary file, in bytes: all together may
/// have 255.
const MAX_NAME: usize = 200;

/// A file that is written beside its place, as `.NAME.disk-builder-XXXXXX`. Dropped before it is
/// put there, it is removed.
///
/// It is locked (`flock`) as long as somebody writes it. One that is not was left behind by a run
/// that was killed, and the next run for the same name removes it.
#[derive(Debug)]
pub struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
    replace: bool,
    /// Where its name is going to be; its right to be read is found out before all the work.
    directory: File,
}

impl NewFile {
    /// A file to be at `path`, which may `replace` another.
    pub fn create(path: &Path, replace: bool) -> Result<Self, FileError> {
        let directory = directory(path);
        let opened = File::open(directory).map_err(FileError::new("write beside", path))?;
        remove_leftovers(path);
        loop {
            let file = tempfile::Builder::new()
                .prefix(&prefix(path))
                .rand_bytes(RANDOM)
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(directory)
                .map_err(FileError::new("write beside", path))?;
            // Where nothing can be locked, nobody can take it for a leftover either.
            let _ = file.as_file().lock();
            let metadata = file.as_file().metadata();
            // Before it was locked it looked like one.
            if metadata
                .map_err(FileError::new("write beside", path))?
                .nlink()
                > 0
            {
                return Ok(Self {
                    file,
                    path: path.to_owned(),
                    replace,
                    directory: opened,
                });
            }
        }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Where it is going to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it there; what is in it is on the disk before its name is.
    pub fn put(self) -> Result<(), FileError> {
        let synced = self.file().sync_all();
        synced.map_err(FileError::new("sync", &self.path))?;
        let put = if self.replace {
            self.file.persist(&self.path)
        } else {
            self.file.persist_noclobber(&self.path)
        };
        put.map_err(|error| FileError::new("create", &self.path)(error.error))?;
        let synced = self.directory.sync_all();
        synced.map_err(FileError::new("sync", directory(&self.path)))
    }
}

/// Removes what runs for this path left that were killed. What cannot be removed stays: it is
/// another user's, or in use.
fn remove_leftovers(path: &Path) {
    let prefix = prefix(path);
    for entry in fs::read_dir(directory(path))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        if random.is_none_or(|random| random.len() != RANDOM) {
            continue;
        }
        let leftover = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(entry.path());
        // Locked until it is gone: a run that has just made it would take it for its own otherwise.
        if let Ok(leftover) = leftover
            && leftover.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(name.get(..MAX_NAME).unwrap_or(name)));
    prefix.push(MARK);
    prefix
}

/// The directory that a path's last name is in.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, thread};

    use model_disk::{ExitCode, HasExitCode};
    use tempfile::TempDir;

    use super::*;

    fn names(directory: &TempDir) -> Vec<OsString> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn appears_when_it_is_put_there() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("n".repeat(255));
        let new = NewFile::create(&path, false).unwrap();
        new.file().write_all(b"whole").unwrap();
        assert!(!path.exists());
        new.put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(&directory).len(), 1);

        // One that came in the meantime is not overwritten, unless it may be.
        let error = NewFile::create(&path, false).unwrap().put().unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::InTheWay);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        NewFile::create(&path, true).unwrap().put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(names(&directory).len(), 1);
    }

    #[test]
    fn only_its_own_leftovers_go_and_only_when_nobody_writes_them() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("image");
        let kept = [
            ".image.disk-builder-1234567",
            ".image.disk-builder-12345",
            ".images.disk-builder-123456",
            "image.disk-builder-123456",
        ];
        for name in kept.iter().chain(&[".image.disk-builder-123456"]) {
            fs::write(directory.path().join(name), b"").unwrap();
        }
        let written = NewFile::create(&path, false).unwrap();
        let also = NewFile::create(&path, false).unwrap();
        assert_eq!(names(&directory).len(), kept.len() + 2);
        drop((written, also));
        let mut kept = kept.map(OsString::from).to_vec();
        kept.sort();
        assert_eq!(names(&directory), kept);
    }

    /// None takes another's file for a leftover.
    #[test]
    fn many_at_a_time() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("image");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        NewFile::create(&path, true).unwrap().put().unwrap();
                    }
                });
            }
        });
        assert_eq!(names(&directory), ["image"]);
    }
}
