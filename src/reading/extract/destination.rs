//! The directory that a disk is extracted to.
//!
//! As long as not all of the disk is in it, a file says so, with the root hash. It is locked while
//! somebody works there. What is not whole yet is in a directory of its own, under numbers.

use std::{
    ffi::OsStr,
    fs::{File, TryLockError},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use dm_verity::RootHash;
use model_disk::FileError;
use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, fchmod, fsync, mkdirat, openat, renameat, symlinkat, syncfs,
        unlinkat,
    },
    io::Errno,
};

use super::{
    super::tree::{DIRECTORY_MODE, FILE_MODE, OwnTree},
    ExtractError,
};

/// The file that says that not all of the disk is there.
const MARK: &[u8] = b".disk-mounter-extract";

/// The directory with what is not whole.
const PARTS: &[u8] = b".disk-mounter-extract-parts";

/// Names that nothing on a disk may have at its top.
pub(super) const RESERVED: [&[u8]; 2] = [MARK, PARTS];

/// What a directory was when it was opened.
pub(super) enum FoundDirectory {
    /// Empty, or as good as that.
    New(Destination),
    /// An earlier run for this disk has not come to its end.
    Continued(Destination),
    /// There is something in it, and no mark.
    Unmarked(OwnTree),
}

/// A directory that is marked as not whole, and nobody else's.
pub(super) struct Destination {
    tree: OwnTree,
    /// Locked.
    _mark: File,
    parts: OwnedFd,
    next_part: AtomicU64,
}

/// A file, or a link, that is not in its place yet. It goes when it is dropped.
pub(super) struct PartFile<'a> {
    destination: &'a Destination,
    /// None when it is in its place.
    name: Option<String>,
}

impl Destination {
    /// Opens a directory, which is made if it is missing, and marks it, unless there is something in it
    /// that no run for this disk has left.
    pub(super) fn open(path: &Path, root_hash: &RootHash) -> Result<FoundDirectory, ExtractError> {
        match mkdirat(CWD, path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(FileError::new("make", path)(errno).into()),
        }
        let tree = OwnTree::open(path)?;
        let (mut marked, mut others) = (false, false);
        for name in tree.names(b"")? {
            let name = name?;
            marked |= name == MARK;
            others |= !RESERVED.contains(&&*name);
        }
        if others && !marked {
            return Ok(FoundDirectory::Unmarked(tree));
        }
        let mut mark = lock_mark(&tree)?;
        let hash_text = format!("{root_hash}\n");
        let failed = |error: io::Error| tree.failed("write", MARK)(error);
        if others {
            let mut found = String::new();
            // One that is no text is another.
            let read = (&mark).take(1024).read_to_string(&mut found);
            if read.is_err() || found != hash_text {
                return Err(ExtractError::OtherDisk(path.to_owned()));
            }
        } else {
            // Whatever disk it was for, nothing of it is here.
            mark.set_len(0).map_err(failed)?;
            mark.write_all(hash_text.as_bytes()).map_err(failed)?;
            // Before anything else is there, whenever the power is cut.
            mark.sync_all().map_err(failed)?;
            fsync(tree.root()).map_err(tree.failed("sync", b""))?;
        }
        let destination = Self {
            parts: empty_parts(&tree)?,
            tree,
            _mark: mark,
            next_part: AtomicU64::new(0),
        };
        Ok(if others {
            FoundDirectory::Continued(destination)
        } else {
            FoundDirectory::New(destination)
        })
    }

    /// The directory.
    pub(super) fn tree(&self) -> &OwnTree {
        &self.tree
    }

    /// Starts a file.
    pub(super) fn create(&self) -> Result<(PartFile<'_>, File), FileError> {
        let name = self.next_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        // Nobody else gets to it here.
        let mode = Mode::from_raw_mode(FILE_MODE);
        let file = openat(&self.parts, name.as_str(), flags, mode);
        let file = file.map_err(self.tree.failed("write in", PARTS))?;
        let part = PartFile {
            destination: self,
            name: Some(name),
        };
        // Whatever this process does not let others do with its files.
        fchmod(&file, mode).map_err(self.tree.failed("set permissions in", PARTS))?;
        Ok((part, file.into()))
    }

    /// Makes a link.
    pub(super) fn link(&self, target: &[u8]) -> Result<PartFile<'_>, FileError> {
        let name = self.next_name();
        symlinkat(OsStr::from_bytes(target), &self.parts, name.as_str())
            .map_err(self.tree.failed("write in", PARTS))?;
        Ok(PartFile {
            destination: self,
            name: Some(name),
        })
    }

    fn next_name(&self) -> String {
        self.next_part.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// All of the disk is here, and on the storage when this has ended: takes the mark away.
    pub(super) fn finish(self) -> Result<(), FileError> {
        let root = self.tree.root();
        syncfs(root).map_err(self.tree.failed("sync", b""))?;
        unlinkat(root, OsStr::from_bytes(PARTS), AtFlags::REMOVEDIR)
            .map_err(self.tree.failed("remove", PARTS))?;
        unlinkat(root, OsStr::from_bytes(MARK), AtFlags::empty())
            .map_err(self.tree.failed("remove", MARK))?;
        fsync(root).map_err(self.tree.failed("sync", b""))
    }
}

impl PartFile<'_> {
    /// Opens a file once more, to be written past the page cache. None where the filesystem has no such
    /// way.
    pub(super) fn open_direct(&self) -> Option<File> {
        let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = self.name.as_deref()?;
        let opened = openat(&self.destination.parts, name, flags, Mode::empty());
        opened.ok().map(File::from)
    }

    /// Puts it where it belongs. What is there is replaced, if it is no directory.
    pub(super) fn put(mut self, path: &[u8]) -> Result<(), FileError> {
        let tree = &self.destination.tree;
        let failed = tree.failed("write", path);
        let (directory, name) = match tree.parent(path) {
            Ok(parent) => parent,
            Err(errno) => return Err(failed(errno)),
        };
        if let Some(part) = &self.name {
            let parts = self.destination.parts.as_fd();
            renameat(parts, part.as_str(), directory, OsStr::from_bytes(name)).map_err(failed)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for PartFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What stays is removed by the next run.
            let _ = unlinkat(&self.destination.parts, name.as_str(), AtFlags::empty());
        }
    }
}

/// Opens the mark, which is made if it is missing, and locks it.
fn lock_mark(tree: &OwnTree) -> Result<File, ExtractError> {
    let name = OsStr::from_bytes(MARK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mark = openat(tree.root(), name, flags, Mode::from_raw_mode(0o600));
    let mark = File::from(mark.map_err(tree.failed("open", MARK))?);
    match mark.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ExtractError::Busy(tree.path().to_owned()));
        }
        Err(TryLockError::Error(error)) => return Err(tree.failed("lock", MARK)(error).into()),
    }
    // Another run may have come to its end just before.
    let opened = mark.metadata().map_err(tree.failed("look at", MARK))?;
    match tree.look(MARK)? {
        Some(found) if (found.st_dev, found.st_ino) == (opened.dev(), opened.ino()) => Ok(mark),
        _ => Err(ExtractError::Busy(tree.path().to_owned())),
    }
}

/// The directory for what is not whole, without what runs that were killed have left in it.
fn empty_parts(tree: &OwnTree) -> Result<OwnedFd, FileError> {
    let name = OsStr::from_bytes(PARTS);
    match mkdirat(tree.root(), name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(tree.failed("make", PARTS)(errno)),
    }
    let parts = tree.open_directory(PARTS)?;
    for name in tree.names(PARTS)? {
        unlinkat(&parts, OsStr::from_bytes(&name?), AtFlags::empty())
            .map_err(tree.failed("remove what is in", PARTS))?;
    }
    Ok(parts)
}
