//! Where an output goes: a name in a directory that is open.
//!
//! All that is done to the name is done from the directory's descriptor, so whatever the path leads to
//! later, it is still this place. No link is followed at the name itself. Those before it, in the
//! path of the directory, are followed by the kernel, which does not follow one that a stranger put
//! into a directory like `/tmp` (`protected_symlinks`).

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{FileTypeExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use model_disk::FileError;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, openat, readlinkat, unlinkat},
    io::Errno,
    process::geteuid,
};

use super::OutputError;

/// A name in a directory.
#[derive(Clone, Debug)]
pub struct OutputPlace {
    directory: Arc<OwnedFd>,
    name: OsString,
    path: PathBuf,
}

impl OutputPlace {
    /// The place that a path names. There may be nothing yet.
    pub fn of(path: &Path) -> Result<Self, OutputError> {
        let Some((directory, name)) = split(path) else {
            return Err(OutputError::Directory(path.to_owned()));
        };
        let directory =
            open_directory(CWD, directory).map_err(FileError::new("write beside", path))?;
        Ok(Self {
            directory: Arc::new(directory),
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Another name in the same directory.
    pub(crate) fn beside(&self, name: OsString) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            path: self.path.with_file_name(&name),
            name,
        }
    }

    /// The path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// What is there: a link itself, and not what it leads to.
    pub(crate) fn look(&self) -> Result<Option<Metadata>, FileError> {
        match self.try_open(OFlags::PATH, Mode::empty()) {
            Ok(there) => there.metadata().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
        .map_err(FileError::new("open", &self.path))
    }

    /// Opens what is there, but no link. A pipe is not waited for.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<File> {
        self.try_open(flags | OFlags::NONBLOCK, Mode::empty())
    }

    /// Makes a file, which only this user can open, where there is nothing.
    pub(crate) fn create(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.try_open(flags, Mode::RUSR | Mode::WUSR)
    }

    fn try_open(&self, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.directory, &self.name, flags, mode)?.into())
    }

    /// Whether an open file is the one that is there.
    pub(crate) fn is_there(&self, file: &File) -> bool {
        let there = self.look().ok().flatten();
        there.is_some_and(|there| file.metadata().is_ok_and(|file| is_same(&file, &there)))
    }

    /// Removes what is there, if anything is.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        match unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed.map_err(FileError::new("replace", &self.path)),
        }
    }

    /// Gives what is here another name in the same directory, in the place of what is there. Without
    /// `replace` nothing may be there.
    pub(crate) fn rename(&self, to: &Self, replace: bool) -> Result<(), FileError> {
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        let (from_directory, to_directory) = (&self.directory, &to.directory);
        let renamed =
            rustix::fs::renameat_with(from_directory, &self.name, to_directory, &to.name, flags);
        match renamed {
            // The filesystem, such as NFS, knows only the plain call, which a second name does for.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !replace => {
                let flags = AtFlags::empty();
                rustix::fs::linkat(from_directory, &self.name, to_directory, &to.name, flags)
                    .and_then(|()| unlinkat(from_directory, &self.name, AtFlags::empty()))
            }
            renamed => renamed,
        }
        .map_err(FileError::new("create", &to.path))
    }

    /// The directory, for messages.
    pub(crate) fn directory_path(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The directory, to be listed and synced.
    pub(crate) fn open_directory(&self) -> Result<File, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.directory, ".", flags, Mode::empty())
            .map(File::from)
            .map_err(FileError::new("write beside", &self.path))
    }

    /// Whether it is the same name in the same directory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let directory = |place: &Self| metadata(&place.directory).ok();
        self.name == other.name
            && directory(self)
                .zip(directory(other))
                .is_some_and(|(one, other)| is_same(&one, &other))
    }

    /// Whether it is this directory, or somewhere below it.
    pub(crate) fn is_in(&self, top: &Metadata) -> bool {
        if matches!(self.look(), Ok(Some(there)) if is_same(&there, top)) {
            return true;
        }
        let mut directory = Arc::clone(&self.directory);
        // Where that cannot be told, there is nothing to refuse.
        while let Ok(at) = metadata(&directory) {
            if is_same(&at, top) {
                return true;
            }
            let Ok(parent) = open_directory(&*directory, OsStr::new("..")) else {
                return false;
            };
            if metadata(&parent).is_ok_and(|parent| is_same(&parent, &at)) {
                return false;
            }
            directory = Arc::new(parent);
        }
        false
    }

    /// Where the link that is here leads to, if nobody else can have made it, or can change it: it
    /// and its directory are this user's or root's, as in `/dev/disk/by-id`.
    pub(crate) fn behind_own_link(&self, link: &Metadata) -> Option<Self> {
        let directory = metadata(&self.directory).ok()?;
        if !is_trusted(link) || !is_trusted(&directory) || directory.mode() & 0o022 != 0 {
            return None;
        }
        let target = readlinkat(&self.directory, &self.name, Vec::new()).ok()?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        let (directory, name) = split(&target)?;
        Some(Self {
            directory: Arc::new(open_directory(&*self.directory, directory).ok()?),
            name: name.to_owned(),
            path: self.path.clone(),
        })
    }
}

/// Whether a file that is found is one that a run of this user made: nobody else can plant one that
/// looks so.
pub(crate) fn is_own(found: &Metadata) -> bool {
    found.is_file() && found.uid() == geteuid().as_raw() && found.nlink() == 1
}

/// Whether two are one file, directory or device.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let is_device = |of: &Metadata| of.file_type().is_block_device();
    (one.dev(), one.ino()) == (other.dev(), other.ino())
        && is_device(one) == is_device(other)
        && (!is_device(one) || one.rdev() == other.rdev())
}

fn is_trusted(found: &Metadata) -> bool {
    [0, geteuid().as_raw()].contains(&found.uid())
}

fn metadata(directory: &OwnedFd) -> io::Result<Metadata> {
    File::from(directory.try_clone()?).metadata()
}

/// Opens a directory, to go on from it.
fn open_directory(from: impl AsFd, path: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(from, path, flags, Mode::empty())
}

/// A path's directory and its last name; none, where that is no name.
fn split(path: &Path) -> Option<(&OsStr, &OsStr)> {
    let bytes = path.as_os_str().as_bytes();
    let (directory, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => bytes.split_at_checked(slash + 1)?,
        None => (&b"."[..], bytes),
    };
    let is_name = !name.is_empty() && name != b"." && name != b"..";
    is_name.then(|| (OsStr::from_bytes(directory), OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn place(path: &Path) -> OutputPlace {
        OutputPlace::of(path).unwrap()
    }

    #[test]
    fn a_link_is_ones_own_where_nobody_else_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("by-id")).unwrap();
        fs::write(path("device"), "").unwrap();
        symlink("../device", path("by-id/link")).unwrap();
        let link = place(&path("by-id/link"));
        let behind = || link.behind_own_link(&link.look().unwrap().unwrap());
        let found = behind().unwrap();
        assert!(found.is_same(&place(&path("device"))));
        // It is told by the name that the user knows.
        assert_eq!(found.path(), path("by-id/link"));
        for mode in [0o777, 0o1777, 0o720, 0o702] {
            fs::set_permissions(path("by-id"), Permissions::from_mode(mode)).unwrap();
            assert!(behind().is_none(), "{mode:o}");
        }
    }

    #[test]
    fn a_place_is_below_the_directories_that_it_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("top/a/b")).unwrap();
        fs::create_dir(path("other")).unwrap();
        symlink("../top/a", path("other/link")).unwrap();
        let top = path("top").metadata().unwrap();
        for inside in ["top", "top/new", "top/a/b/new", "other/link/new"] {
            assert!(place(&path(inside)).is_in(&top), "{inside}");
        }
        for outside in ["new", "other/new", "other/link", "top/../new"] {
            assert!(!place(&path(outside)).is_in(&top), "{outside}");
        }
    }
}
