//! Files that appear whole or not at all.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions, TryLockError},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
};

use model_disk::FileError;
use rustix::fs::{Dir, OFlags};

use super::{OutputPlace, place::is_own};

/// What the name of a temporary file has after that of the file to be.
const MARK: &str = ".disk-builder-";

/// How many random characters follow.
const RANDOM: usize = 6;

/// How much of the file's own name is in that of its temporary file, in bytes: all together may
/// have 255.
const MAX_NAME: usize = 200;

/// Who may do what with a file until it is whole: its user, and nobody else, who could lock it.
const UNFINISHED_MODE: u32 = 0o600;

/// A file that is written beside its place, as `.NAME.disk-builder-` and six random digits. Dropped before it is
/// put there, it is removed, unless it is one of [`NewFile::resume`].
///
/// It is locked (`flock`) as long as somebody writes it. One that is not was left behind by a run
/// that was killed or is to be resumed: the next run of this user for the same name removes it, or goes on
/// with it.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: OutputPlace,
    place: OutputPlace,
    replace: bool,
    /// It stays where it is when it is dropped, for [`NewFile::resume`].
    stays: bool,
    /// Where its name is going to be; its right to be read is found out before all the work.
    directory: File,
}

impl NewFile {
    /// A file to be at a place, which may `replace` another.
    pub fn create(place: &OutputPlace, replace: bool) -> Result<Self, FileError> {
        let directory = place.open_directory()?;
        remove_leftovers(place, &directory);
        loop {
            let mut name = mark(place.name());
            let random = RandomState::new().hash_one(()) & 0xff_ffff;
            name.push(format!("{random:0RANDOM$x}"));
            let temporary = place.beside(name);
            let file = match temporary.create() {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created.map_err(FileError::new("write beside", place.path()))?,
            };
            // Before it was locked it looked like a leftover, to a run that then removes it. Where
            // nothing can be locked, nobody can take it for one either.
            let is_lost = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            if !is_lost && temporary.is_there(&file) {
                return Ok(Self {
                    file,
                    temporary,
                    place: place.clone(),
                    replace,
                    stays: false,
                    directory,
                });
            }
        }
    }

    /// The file that an earlier run of this user for the same place left, or else a new one. What is
    /// in it may be anything. It stays where it is when it is dropped.
    pub fn resume(place: &OutputPlace, replace: bool) -> Result<Self, FileError> {
        let directory = place.open_directory()?;
        // Nobody else can have opened it, to write to it later.
        let is_safe = |file: &File| {
            let metadata = file.metadata();
            metadata.is_ok_and(|metadata| metadata.mode() & 0o777 == UNFINISHED_MODE)
        };
        let left = leftovers(place, &directory, OFlags::RDWR).find(|(_, file)| is_safe(file));
        let mut new = match left {
            Some((temporary, file)) => Self {
                file,
                temporary,
                place: place.clone(),
                replace,
                stays: true,
                directory,
            },
            None => Self::create(place, replace)?,
        };
        new.stays = true;
        Ok(new)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is going to be.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Puts it there; what is in it is on the disk before its name is.
    pub fn put(self) -> Result<(), FileError> {
        self.give_mode()
            .map_err(FileError::new("set the permissions of", self.path()))?;
        let synced = self.file.sync_all();
        synced.map_err(FileError::new("sync", self.path()))?;
        self.temporary.rename(&self.place, self.replace)?;
        let synced = self.directory.sync_all();
        synced.map_err(FileError::new("sync", self.place.directory_path()))
    }

    /// Gives it the permissions that any new file of this process gets.
    fn give_mode(&self) -> io::Result<()> {
        // Or the filesystem has no permissions of its own.
        if self.file.metadata()?.mode() & 0o777 != UNFINISHED_MODE {
            return Ok(());
        }
        let mode = Permissions::from_mode(0o666 & !umask());
        self.file.set_permissions(mode)
    }
}

impl Drop for NewFile {
    /// Once it has been put there, its temporary name is nobody's or another file's.
    fn drop(&mut self) {
        if !self.stays && self.temporary.is_there(&self.file) {
            let _ = self.temporary.remove();
        }
    }
}

/// What this process does not let others do with its files. The system call would have to change it,
/// for all threads.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let umask = umask.and_then(|umask| u32::from_str_radix(umask.trim(), 8).ok());
    // Where it cannot be known.
    umask.unwrap_or(0o077)
}

/// Removes what runs of this user for this place left that were killed. What cannot be removed stays.
fn remove_leftovers(place: &OutputPlace, directory: &File) {
    // Each is locked until it is gone: a run that has just made it would take it for its own otherwise.
    for (leftover, _locked) in leftovers(place, directory, OFlags::RDONLY) {
        let _ = leftover.remove();
    }
}

/// What runs of this user for this place left, and nobody writes, each opened and locked.
fn leftovers(
    place: &OutputPlace,
    directory: &File,
    flags: OFlags,
) -> impl Iterator<Item = (OutputPlace, File)> {
    let mark = mark(place.name());
    let entries = Dir::read_from(directory).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let random = name.as_bytes().strip_prefix(mark.as_bytes())?;
        let leftover = place.beside(name.to_owned());
        let is_ours =
            random.len() == RANDOM && matches!(leftover.look(), Ok(Some(found)) if is_own(&found));
        if !is_ours {
            return None;
        }
        let file = leftover.open(flags).ok()?;
        let is_left = file.metadata().is_ok_and(|opened| is_own(&opened))
            && file.try_lock().is_ok()
            && leftover.is_there(&file);
        is_left.then_some((leftover, file))
    })
}

/// How the names of the files begin that are beside an output of this name while it is made.
pub(super) fn mark(name: &OsStr) -> OsString {
    let name = name.as_bytes();
    let mut mark = OsString::from(".");
    mark.push(OsStr::from_bytes(name.get(..MAX_NAME).unwrap_or(name)));
    mark.push(MARK);
    mark
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink, thread};

    use model_disk::{ExitCode, HasExitCode};
    use tempfile::TempDir;

    use super::*;

    fn names(directory: &TempDir) -> Vec<OsString> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn place(path: &Path) -> OutputPlace {
        OutputPlace::of(path).unwrap()
    }

    #[test]
    fn appears_when_it_is_put_there() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("n".repeat(255));
        let new = NewFile::create(&place(&path), false).unwrap();
        new.file().write_all(b"whole").unwrap();
        assert!(!path.exists());
        new.put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(&directory).len(), 1);

        // One that came in the meantime is not overwritten, unless it may be.
        let error = NewFile::create(&place(&path), false)
            .unwrap()
            .put()
            .unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::InTheWay);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        NewFile::create(&place(&path), true).unwrap().put().unwrap();
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
        let written = NewFile::create(&place(&path), false).unwrap();
        let also = NewFile::create(&place(&path), false).unwrap();
        assert_eq!(names(&directory).len(), kept.len() + 2);
        drop((written, also));
        let mut kept = kept.map(OsString::from).to_vec();
        kept.sort();
        assert_eq!(names(&directory), kept);
    }

    /// Nor what is a link, or has another name as well, as nothing has that a run made.
    #[test]
    fn what_only_looks_like_a_leftover_stays() {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("precious"), b"").unwrap();
        symlink("precious", path(".image.disk-builder-000001")).unwrap();
        fs::hard_link(path("precious"), path(".image.disk-builder-000002")).unwrap();
        fs::create_dir(path(".image.disk-builder-000003")).unwrap();
        drop(NewFile::create(&place(&path("image")), true).unwrap());
        assert_eq!(names(&directory).len(), 4);
    }

    /// Whoever can open it can lock it.
    #[test]
    fn nobody_else_can_open_it_before_it_is_whole() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("image");
        let new = NewFile::create(&place(&path), false).unwrap();
        let mode = |file: &File| file.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(new.file()), 0o600);
        new.put().unwrap();
        let usual = File::create(directory.path().join("usual")).unwrap();
        assert_eq!(mode(&File::open(&path).unwrap()), mode(&usual));
    }

    #[test]
    fn what_was_left_is_gone_on_with() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("image");
        let first = NewFile::resume(&place(&path), false).unwrap();
        first.file().write_all(b"half").unwrap();
        // As long as it is written it is somebody's.
        let other = NewFile::resume(&place(&path), false).unwrap();
        assert_eq!(other.file().metadata().unwrap().len(), 0);
        assert_eq!(names(&directory).len(), 2);
        drop(first);
        fs::remove_file(other.temporary.path()).unwrap();
        drop(other);
        let again = NewFile::resume(&place(&path), false).unwrap();
        assert_eq!(again.file().metadata().unwrap().len(), 4);
        again.put().unwrap();
        assert_eq!(names(&directory), ["image"]);
        assert_eq!(fs::read(&path).unwrap(), b"half");

        // Others may have it open.
        let left = directory.path().join(".image.disk-builder-000000");
        fs::write(&left, "x").unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o666)).unwrap();
        let new = NewFile::resume(&place(&path), true).unwrap();
        assert_eq!(new.file().metadata().unwrap().len(), 0);
        // Nobody goes on with it who does not say so.
        drop(new);
        drop(NewFile::create(&place(&path), true).unwrap());
        assert_eq!(names(&directory), ["image"]);
    }

    /// The directory is the one that it was, whatever its path leads to by now.
    #[test]
    fn it_goes_where_its_directory_went() {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("here")).unwrap();
        fs::create_dir(path("elsewhere")).unwrap();
        let new = NewFile::create(&place(&path("here/image")), true).unwrap();
        fs::rename(path("here"), path("there")).unwrap();
        symlink("elsewhere", path("here")).unwrap();
        new.put().unwrap();
        assert!(path("there/image").exists());
        assert_eq!(fs::read_dir(path("elsewhere")).unwrap().count(), 0);
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
                        NewFile::create(&place(&path), true).unwrap().put().unwrap();
                    }
                });
            }
        });
        assert_eq!(names(&directory), ["image"]);
    }
}
