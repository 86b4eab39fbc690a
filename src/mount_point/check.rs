//! What each component of a path to a mount point must be, and how missing ones are made.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use model_disk::{Escaped, FileError};
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, fstatfs, mkdirat, openat, unlinkat},
    io::Errno,
    process::geteuid,
};

use super::{
    MountPointError,
    resolve::{MetDirectory, Visitor},
};
use crate::log;

/// Filesystems whose files another machine has, or another process makes up: their magic numbers,
/// as in statfs(2), and their names.
const REMOTE: [(u64, &str); 9] = [
    (0x6573_5546, "FUSE or virtiofs"),
    (0x0102_1997, "9p"),
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
];

/// The name of a filesystem of this magic number, if another side answers for it.
fn remote(magic: u64) -> Option<&'static str> {
    let mut all = REMOTE.iter();
    all.find_map(|(number, name)| (*number == magic).then_some(*name))
}

/// The permissions of a directory that nobody but its owner can change.
const SAFE_MODE: u32 = 0o755;

/// As Kubernetes makes the root of a volume, and a directory in it that a `subPath` names.
const EVERYBODYS: u32 = 0o777;

/// Directories that were made, the outermost first. They go again when this is dropped.
#[derive(Debug, Default)]
pub(super) struct MadeDirectories(Vec<(OwnedFd, OsString)>);

impl MadeDirectories {
    /// Lets them stay.
    pub(super) fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        for (parent, name) in self.0.iter().rev() {
            // One that somebody else uses by now is not empty, and stays.
            let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Checks all components, and makes those that are missing.
pub(super) struct Checker<'a> {
    made: &'a mut MadeDirectories,
    allow_remote: bool,
    /// Whether what was met last is the root of a volume.
    in_volume: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn new(made: &'a mut MadeDirectories, allow_remote: bool) -> Self {
        Self {
            made,
            allow_remote,
            in_volume: false,
        }
    }
}

impl Visitor for Checker<'_> {
    fn met(&mut self, directory: &MetDirectory<'_>) -> Result<(), MountPointError> {
        let identity = directory.identity;
        let in_volume = std::mem::replace(&mut self.in_volume, identity.is_mount_root);
        // What is mounted there already is looked at for itself.
        if directory.is_last && identity.is_mount_root {
            return Ok(());
        }
        let path = || directory.path.to_owned();
        let owner = identity.owner;
        if owner != 0 && owner != geteuid().as_raw() {
            return Err(MountPointError::Owner {
                path: path(),
                owner,
            });
        }
        let mode = identity.mode;
        // In a sticky directory nobody can rename or remove what is another's; but anybody can put
        // something into it.
        let sticky = mode & 0o1000 != 0 && !directory.is_last;
        if mode & 0o022 != 0 && !sticky {
            // In a volume that containers of a Pod share: its root, or a `subPath` to be mounted on.
            let of_a_pod = identity.is_mount_root || in_volume && directory.is_last;
            if !(of_a_pod && mode == EVERYBODYS) {
                return Err(MountPointError::Writable { path: path(), mode });
            }
            make_safe(directory)?;
        }
        if directory.is_last && !self.allow_remote {
            let found = fstatfs(directory.directory)
                .map_err(FileError::new("look at the filesystem of", directory.path))?;
            // Of 32 bits, whatever the type is.
            if let Some(fs_type) = remote(found.f_type as u64 & 0xffff_ffff) {
                return Err(MountPointError::Remote {
                    path: path(),
                    fs_type,
                });
            }
        }
        Ok(())
    }

    fn missing(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<bool, MountPointError> {
        match mkdirat(parent, name, Mode::from_raw_mode(SAFE_MODE)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(true),
            Err(errno) => return Err(FileError::new("make the directory", path)(errno).into()),
        }
        let kept = parent.try_clone_to_owned();
        let kept = kept.map_err(FileError::new("open the parent of", path))?;
        self.made.0.push((kept, name.to_owned()));
        // The umask has a say in what it is made with.
        let made = openat(parent, name, READABLE, Mode::empty())
            .and_then(|made| rustix::fs::fchmod(made, Mode::from_raw_mode(SAFE_MODE)));
        made.map_err(FileError::new("set the mode of", path))?;
        Ok(true)
    }
}

const READABLE: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Takes the right to change a directory of a volume from all but its owner.
fn make_safe(directory: &MetDirectory<'_>) -> Result<(), MountPointError> {
    // A descriptor that was opened for its path alone cannot be changed by itself.
    let path = format!("/proc/self/fd/{}", directory.directory.as_raw_fd());
    let path = Path::new(&path).join(directory.name);
    fs::set_permissions(path, Permissions::from_mode(SAFE_MODE))
        .map_err(FileError::new("set the mode of", directory.path))?;
    log::info(format_args!(
        "{} could be changed by everybody (mode {EVERYBODYS:04o}), and is set to {SAFE_MODE:04o}",
        Escaped::path(directory.path)
    ));
    Ok(())
}

/// An error where there is something in a directory.
pub(super) fn is_empty(directory: impl AsFd, path: &Path) -> Result<(), MountPointError> {
    let opened = openat(directory, ".", READABLE, Mode::empty());
    let opened = opened.map_err(FileError::new("look into", path))?;
    let entries = Dir::new(opened).map_err(FileError::new("look into", path))?;
    for entry in entries {
        let entry = entry.map_err(FileError::new("look into", path))?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Err(MountPointError::NotEmpty(path.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mount_point::ResolvedPath;

    fn check(path: &Path) -> Result<(), MountPointError> {
        let mut made = MadeDirectories::default();
        ResolvedPath::walk(path, &mut Checker::new(&mut made, false)).map(|_| ())
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// In a directory of this user alone, as /tmp is sticky.
    #[test]
    fn what_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let mount_point = top.join("a/mnt");
        fs::create_dir_all(&mount_point).unwrap();
        chmod(&top.join("a"), 0o755);
        chmod(&mount_point, 0o755);
        check(&mount_point).unwrap();
        for (path, mode, fits) in [
            ("a", 0o777, false),
            ("a", 0o775, false),
            ("a", 0o1777, true),
            ("a", 0o700, true),
            ("a/mnt", 0o1777, false),
            ("a/mnt", 0o757, false),
            ("a/mnt", 0o500, true),
        ] {
            chmod(&top.join(path), mode);
            let checked = check(&mount_point);
            chmod(&top.join(path), 0o755);
            match checked {
                Ok(()) => assert!(fits, "{path} {mode:o}"),
                Err(MountPointError::Writable {
                    path: named,
                    mode: told,
                }) => {
                    assert_eq!((named, told, fits), (top.join(path), mode, false));
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    #[test]
    fn filesystems_that_another_side_answers_for() {
        for (magic, name) in [
            (libc::FUSE_SUPER_MAGIC, "FUSE"),
            (libc::NFS_SUPER_MAGIC, "NFS"),
            (libc::SMB_SUPER_MAGIC, "SMB"),
            (libc::AFS_SUPER_MAGIC, "AFS"),
            (libc::CODA_SUPER_MAGIC, "Coda"),
        ] {
            let found = remote(magic as u64 & 0xffff_ffff).unwrap();
            assert!(found.contains(name), "{found}");
        }
        for magic in [
            libc::TMPFS_MAGIC,
            libc::EXT4_SUPER_MAGIC,
            libc::OVERLAYFS_SUPER_MAGIC,
        ] {
            assert_eq!(remote(magic as u64 & 0xffff_ffff), None);
        }
        // What is asked for the number gives it.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let found = fstatfs(fs::File::open(folder.path()).unwrap()).unwrap();
        assert_eq!(found.f_type as u64, libc::TMPFS_MAGIC as u64);
    }

    #[test]
    fn missing_directories_are_made_and_go_again() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let path = top.join("a/b/c");
        check(&path).unwrap();
        assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
        let mut made = MadeDirectories::default();
        ResolvedPath::walk(&path, &mut Checker::new(&mut made, false)).unwrap();
        made.keep();
        for path in ["a", "a/b", "a/b/c"] {
            let mode = fs::metadata(top.join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, SAFE_MODE, "{path}");
        }
    }

    #[test]
    fn only_an_empty_directory_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let open = || fs::File::open(folder.path()).unwrap();
        is_empty(open(), folder.path()).unwrap();
        fs::write(folder.path().join("model"), "").unwrap();
        let error = is_empty(open(), folder.path()).unwrap_err();
        assert!(matches!(error, MountPointError::NotEmpty(_)), "{error}");
    }
}
