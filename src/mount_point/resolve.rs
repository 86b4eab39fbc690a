//! From a path to what is there, without following a link.
//!
//! Whoever can change a link, or the directory that a name is in, decides what the next who uses the
//! path gets. So a path is walked component by component, each by the descriptor of the one before,
//! and what is told of it is the identity of what was met and not its name.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use model_disk::FileError;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, openat, statx},
    io::Errno,
};

use super::MountPointError;

/// What is at a path. Nothing of it is held open but the directory that it is in, so that it can be
/// unmounted by anybody.
#[derive(Debug)]
pub(crate) struct ResolvedPath {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
    identity: DirectoryIdentity,
}

/// A directory as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryIdentity {
    /// The mount that it is on.
    pub(crate) mount_id: u64,
    /// The device of its filesystem: major and minor number.
    pub(super) device: (u32, u32),
    /// Its inode.
    pub(super) inode: u64,
    /// Whether it is the root of its mount: something is mounted there.
    pub(crate) is_mount_root: bool,
    /// Who owns it.
    pub(super) owner: u32,
    /// Its permissions, with the sticky bit.
    pub(super) mode: u32,
}

/// A directory that is met on the way.
pub(super) struct MetDirectory<'a> {
    /// Its path.
    pub(super) path: &'a Path,
    /// The directory itself, or for the last one that it is in and its name there.
    pub(super) directory: BorrowedFd<'a>,
    pub(super) name: &'a OsStr,
    pub(super) identity: DirectoryIdentity,
    pub(super) is_last: bool,
}

/// What is done on the way.
pub(super) trait Visitor {
    /// Looks at a directory.
    fn met(&mut self, directory: &MetDirectory<'_>) -> Result<(), MountPointError>;

    /// Told of a name that is not there; false where that is an error.
    fn missing(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<bool, MountPointError>;
}

/// Looks, and nothing more.
struct Looker;

impl Visitor for Looker {
    fn met(&mut self, _directory: &MetDirectory<'_>) -> Result<(), MountPointError> {
        Ok(())
    }

    fn missing(
        &mut self,
        _parent: BorrowedFd<'_>,
        _name: &OsStr,
        _path: &Path,
    ) -> Result<bool, MountPointError> {
        Ok(false)
    }
}

impl ResolvedPath {
    /// What is there now.
    pub(crate) fn look(path: &Path) -> Result<Self, MountPointError> {
        Self::walk(path, &mut Looker)
    }

    /// The same, with a visitor.
    pub(super) fn walk(path: &Path, visitor: &mut dyn Visitor) -> Result<Self, MountPointError> {
        let (path, names) = absolute(path)?;
        let root = openat(CWD, "/", DIRECTORY, Mode::empty());
        let mut parent = root.map_err(FileError::new("open", Path::new("/")))?;
        let mut here = PathBuf::from("/");
        let Some((last, above)) = names.split_last() else {
            let identity = identity(&parent, OsStr::new(""), &here)?;
            return Ok(Self {
                path,
                parent,
                name: ".".into(),
                identity,
            });
        };
        visit(visitor, &parent, OsStr::new(""), &here, false)?;
        for name in above {
            here.push(name);
            parent = loop {
                match open(&parent, name) {
                    Ok(directory) => break directory,
                    Err(Errno::NOENT) if visitor.missing(parent.as_fd(), name, &here)? => {}
                    Err(errno) => return Err(refused(errno, &here)),
                }
            };
            visit(visitor, &parent, OsStr::new(""), &here, false)?;
        }
        here.push(last);
        let identity = loop {
            match visit(visitor, &parent, last, &here, true) {
                Err(MountPointError::File(error))
                    if error.source.kind() == io::ErrorKind::NotFound
                        && visitor.missing(parent.as_fd(), last, &here)? => {}
                result => break result?,
            }
        };
        Ok(Self {
            path,
            parent,
            name: last.clone(),
            identity,
        })
    }

    /// The path, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there.
    pub(crate) fn identity(&self) -> DirectoryIdentity {
        self.identity
    }

    /// Opens the directory, which must still be the one that was looked at.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>, MountPointError> {
        let directory = match open(&self.parent, &self.name) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused(errno, &self.path)),
        };
        let now = identity(&directory, OsStr::new(""), &self.path)?;
        Ok((now.is_same_as(&self.identity)).then_some(directory))
    }

    /// Opens it so that its entries can be read.
    pub(crate) fn open_readable(&self) -> Result<OwnedFd, MountPointError> {
        let flags = DIRECTORY.difference(OFlags::PATH);
        let opened = openat(&self.parent, &self.name, flags, Mode::empty());
        Ok(opened.map_err(FileError::new("open", &self.path))?)
    }

    /// A path of it that no link or rename further up can change, for system calls that take no
    /// descriptor. Its last component must not be followed if it is a link.
    pub(crate) fn pinned(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        Path::new("/proc/self/fd")
            .join(self.parent.as_raw_fd().to_string())
            .join(&self.name)
    }
}

impl DirectoryIdentity {
    /// What its lock is called, whatever paths lead to it.
    pub(super) fn lock_name(&self) -> String {
        let (major, minor) = self.device;
        format!("{major}:{minor}-{}", self.inode)
    }

    /// Whether both are one directory of one mount.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.mount_id, one.device, one.inode);
        key(self) == key(other)
    }
}

/// Of an open directory or mount.
pub(crate) fn mount_id(fd: impl AsFd) -> io::Result<u64> {
    let found = statx(fd, "", AtFlags::EMPTY_PATH, WANTED)?;
    known(&found)?;
    Ok(found.stx_mnt_id)
}

const DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// A name has no slash in it: no more than this one directory is looked up. (openat2(2) would do, but
/// its flags are where no seccomp filter sees them.)
fn open(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let opened = openat(&parent, name, DIRECTORY, Mode::empty());
    opened.map_err(|errno| match errno {
        // A link is no directory either.
        Errno::NOTDIR if is_link(parent, name) => Errno::LOOP,
        errno => errno,
    })
}

fn is_link(parent: impl AsFd, name: &OsStr) -> bool {
    let found = statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    found.is_ok_and(|found| FileType::from_raw_mode(found.stx_mode.into()) == FileType::Symlink)
}

fn visit(
    visitor: &mut dyn Visitor,
    directory: &OwnedFd,
    name: &OsStr,
    path: &Path,
    is_last: bool,
) -> Result<DirectoryIdentity, MountPointError> {
    let identity = identity(directory, name, path)?;
    visitor.met(&MetDirectory {
        path,
        directory: directory.as_fd(),
        name,
        identity,
        is_last,
    })?;
    Ok(identity)
}

/// That of a name in a directory, or of the directory where the name is empty. An error where it is
/// anything else.
fn identity(
    directory: &OwnedFd,
    name: &OsStr,
    path: &Path,
) -> Result<DirectoryIdentity, MountPointError> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = match statx(directory, name, flags, WANTED) {
        // A FUSE mount that nobody serves any more, or that is for another user alone.
        Err(errno @ (Errno::NOTCONN | Errno::CONNABORTED | Errno::ACCESS)) => {
            return unseen_root(directory, name)
                .ok_or_else(|| FileError::new("look at", path)(errno).into());
        }
        found => found.map_err(FileError::new("look at", path))?,
    };
    match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::Directory => {}
        FileType::Symlink => return Err(refused(Errno::LOOP, path)),
        _ => return Err(refused(Errno::NOTDIR, path)),
    }
    known(&found).map_err(FileError::new("tell the mount of", path))?;
    Ok(DirectoryIdentity {
        mount_id: found.stx_mnt_id,
        device: (found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        is_mount_root: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        owner: found.stx_uid,
        mode: (found.stx_mode & 0o7777).into(),
    })
}

/// The root of a mount whose filesystem says nothing of it: that is not asked. Its owner is nobody, and
/// everybody may change it, as nothing is known.
fn unseen_root(directory: &OwnedFd, name: &OsStr) -> Option<DirectoryIdentity> {
    let flags = AtFlags::EMPTY_PATH
        | AtFlags::SYMLINK_NOFOLLOW
        | AtFlags::NO_AUTOMOUNT
        | AtFlags::STATX_DONT_SYNC;
    let found = statx(directory, name, flags, StatxFlags::empty()).ok()?;
    known(&found).ok()?;
    let is_mount_root = found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    is_mount_root.then_some(DirectoryIdentity {
        mount_id: found.stx_mnt_id,
        device: (found.stx_dev_major, found.stx_dev_minor),
        inode: 0,
        is_mount_root,
        owner: u32::MAX,
        mode: 0o777,
    })
}

/// Linux tells of mounts since 5.8.
fn known(found: &Statx) -> io::Result<()> {
    let told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID)
        && found
            .stx_attributes_mask
            .contains(StatxAttributes::MOUNT_ROOT);
    if told {
        Ok(())
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn refused(errno: Errno, path: &Path) -> MountPointError {
    match errno {
        Errno::LOOP => MountPointError::Link(path.to_owned()),
        errno => FileError::new("mount onto", path)(errno).into(),
    }
}

/// A path from the root on, and its components. A relative one is below the working directory.
fn absolute(path: &Path) -> Result<(PathBuf, Vec<OsString>), MountPointError> {
    let whole = std::path::absolute(path).map_err(FileError::new("resolve", path))?;
    let mut names = Vec::new();
    for component in whole.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => return Err(MountPointError::Above(path.to_owned())),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let clean = Path::new("/").join(PathBuf::from_iter(&names));
    Ok((clean, names))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn paths_from_the_root_on() {
        let working = std::env::current_dir().unwrap();
        for (path, expected) in [
            ("/", PathBuf::from("/")),
            ("/a//b/./c/", "/a/b/c".into()),
            ("a", working.join("a")),
        ] {
            assert_eq!(absolute(Path::new(path)).unwrap().0, expected);
        }
        for path in ["/a/../b", "..", ""] {
            assert!(absolute(Path::new(path)).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_link_is_refused_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("real/mnt")).unwrap();
        symlink("real", top.join("link")).unwrap();
        symlink("mnt", top.join("real/other")).unwrap();
        assert!(ResolvedPath::look(&top.join("real/mnt")).is_ok());
        for path in ["link/mnt", "real/other", "link"] {
            let error = ResolvedPath::look(&top.join(path)).unwrap_err();
            assert!(matches!(error, MountPointError::Link(_)), "{path}: {error}");
        }
        fs::write(top.join("file"), "").unwrap();
        for path in ["file", "file/mnt", "none"] {
            let error = ResolvedPath::look(&top.join(path)).unwrap_err();
            assert!(matches!(error, MountPointError::File(_)), "{path}: {error}");
        }
    }

    #[test]
    fn another_directory_of_the_same_name_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("mnt");
        fs::create_dir(&path).unwrap();
        let resolved = ResolvedPath::look(&path).unwrap();
        assert!(resolved.open().unwrap().is_some());
        fs::rename(&path, path.with_file_name("gone")).unwrap();
        assert!(resolved.open().unwrap().is_none());
        fs::create_dir(&path).unwrap();
        assert!(resolved.open().unwrap().is_none());
    }
}
