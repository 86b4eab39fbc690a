//! A directory of this machine, and what is below it, reached without following any link.
//!
//! Whoever else can write to the directory may put a link where something is made or read: nothing
//! that it leads to is touched.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use model_disk::FileError;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, Mode, OFlags, RawMode, ResolveFlags, Stat, fchmod, mkdirat, openat,
        openat2, statat,
    },
    io::Errno,
};

/// The permissions of every directory.
pub(super) const DIRECTORY_MODE: RawMode = 0o755;

/// The permissions of every file.
pub(super) const FILE_MODE: RawMode = 0o644;

/// A directory, open.
#[derive(Debug)]
pub(super) struct OwnTree {
    path: PathBuf,
    root: OwnedFd,
}

impl OwnTree {
    /// Opens a directory that is there. Links on the way to it are followed, as its user means them.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty()).map_err(FileError::new("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            root,
        })
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Where something in it is, for messages.
    pub(super) fn path_of(&self, path: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(path))
    }

    /// The error of an `action` on something in it, for [`Result::map_err`].
    pub(super) fn failed<E: Into<io::Error>>(
        &self,
        action: &'static str,
        path: &[u8],
    ) -> impl FnOnce(E) -> FileError + use<E> {
        let path = self.path_of(path);
        move |source| FileError {
            action,
            path,
            source: source.into(),
        }
    }

    /// The names in a directory of it, but for `.` and `..`.
    pub(super) fn names(
        &self,
        path: &[u8],
    ) -> Result<impl Iterator<Item = Result<Vec<u8>, FileError>>, FileError> {
        let directory = self.open_directory(path)?;
        let entries = Dir::read_from(directory).map_err(self.failed("list", path))?;
        let shown = self.path_of(path);
        Ok(entries.filter_map(move |entry| match entry {
            Err(errno) => Some(Err(FileError::new("list", &shown)(errno))),
            Ok(entry) => match entry.file_name().to_bytes() {
                b"." | b".." => None,
                name => Some(Ok(name.to_owned())),
            },
        }))
    }

    /// What is at a path, be it a link; none where nothing is.
    pub(super) fn look(&self, path: &[u8]) -> Result<Option<Stat>, FileError> {
        let found = self.parent(path).and_then(|(directory, name)| {
            statat(
                directory,
                OsStr::from_bytes(name),
                AtFlags::SYMLINK_NOFOLLOW,
            )
        });
        match found {
            Ok(found) => Ok(Some(found)),
            // What is above it is not there, or is no directory but a file or a link.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(self.failed("look at", path)(errno)),
        }
    }

    /// Opens a file to be read.
    pub(super) fn open_file(&self, path: &[u8]) -> Result<File, FileError> {
        // Were it a pipe by now, opening it would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = self.open_below(path, flags);
        opened.map(File::from).map_err(self.failed("open", path))
    }

    /// Opens a directory; that of no path is the root.
    pub(super) fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let path_or_dot = if path.is_empty() { b"." } else { path };
        let opened = self.open_below(path_or_dot, flags);
        opened.map_err(self.failed("open", path))
    }

    /// Makes a directory, unless there is one.
    pub(super) fn make_directory(&self, path: &[u8]) -> Result<(), FileError> {
        let made = self.parent(path).and_then(|(directory, name)| {
            let mode = Mode::from_raw_mode(DIRECTORY_MODE);
            mkdirat(directory, OsStr::from_bytes(name), mode)
        });
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed("make", path)(errno)),
        }
        // Whatever this process does not let others do with its files.
        let mode = Mode::from_raw_mode(DIRECTORY_MODE);
        let directory = self.open_directory(path)?;
        fchmod(directory, mode).map_err(self.failed("set the permissions of", path))
    }

    /// The directory that a path is in, open, and the name there.
    pub(super) fn parent<'a>(&self, path: &'a [u8]) -> Result<(OwnedFd, &'a [u8]), Errno> {
        let mut parts = path.rsplitn(2, |byte| *byte == b'/');
        let name = parts.next().unwrap_or_default();
        let above = parts.next().unwrap_or(b".");
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((self.open_below(above, flags)?, name))
    }

    fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        openat2(
            self.root.as_fd(),
            OsStr::from_bytes(path),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
    }
}
