//! Where a tree is written so that nothing looks finished that is not.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use disk_mounter::verity::SUPERBLOCK_SIZE;
use tempfile::NamedTempFile;

use super::Plan;
use crate::medium::{Kind, Medium, MediumError, failed_to};

/// Where a tree goes. Dropped before it is finished, it takes back what it did.
pub(super) enum Target<'a> {
    InPlace(InPlace<'a>),
    NewFile(NewFile),
}

/// A file or block device that has more on it than the tree.
pub(super) struct InPlace<'a> {
    medium: &'a Medium,
    plan: &'a Plan,
    finished: bool,
}

/// A file of its own, written beside its place.
pub(super) struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
    replace: bool,
}

impl<'a> Target<'a> {
    /// Makes room on a medium. No old superblock can make the new tree look finished.
    pub(super) fn in_place(medium: &'a Medium, plan: &'a Plan) -> Result<Self, MediumError> {
        let target = InPlace {
            medium,
            plan,
            finished: false,
        };
        let (file, path) = (medium.file(), medium.path());
        if plan.area.offset() < medium.bytes() {
            write_slot(file, plan, None)
                .and_then(|()| file.sync_data())
                .map_err(failed_to("write to", path))?;
        }
        if medium.kind() == Kind::File {
            file.set_len(length_after(medium, plan))
                .map_err(failed_to("extend", path))?;
        }
        Ok(Self::InPlace(target))
    }

    /// A file to be at `path`, which may `replace` another.
    pub(super) fn new_file(path: &Path, replace: bool, plan: &Plan) -> Result<Self, MediumError> {
        let file = tempfile::Builder::new()
            .prefix(".disk-builder-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory(path))
            .map_err(failed_to("write beside", path))?;
        file.as_file()
            .set_len(plan.area.end(&plan.layout))
            .map_err(failed_to("write", path))?;
        Ok(Self::NewFile(NewFile {
            file,
            path: path.to_owned(),
            replace,
        }))
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::InPlace(target) => target.medium.file(),
            Self::NewFile(target) => target.file.as_file(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::InPlace(target) => target.medium.path(),
            Self::NewFile(target) => &target.path,
        }
    }

    /// The tree is on the disk when this returns.
    pub(super) fn sync(&self) -> Result<(), MediumError> {
        let synced = self.file().sync_data();
        synced.map_err(failed_to("sync", self.path()))
    }

    /// Writes the superblock, last of all, and keeps what has been written.
    pub(super) fn finish(
        self,
        plan: &Plan,
        superblock: Option<&[u8; SUPERBLOCK_SIZE]>,
    ) -> Result<(), MediumError> {
        write_slot(self.file(), plan, superblock)
            .and_then(|()| self.file().sync_all())
            .map_err(failed_to("write the superblock to", self.path()))?;
        match self {
            Self::InPlace(mut target) => {
                target.finished = true;
                Ok(())
            }
            Self::NewFile(target) => target.put(),
        }
    }
}

impl Drop for InPlace<'_> {
    /// Errors are left out: whatever led here is what the user must know, and a tree without its
    /// superblock does not look finished.
    fn drop(&mut self) {
        let file = self.medium.file();
        if self.finished {
            return;
        }
        if self.plan.area.offset() < self.medium.bytes() {
            let _ = write_slot(file, self.plan, None);
        }
        if self.medium.kind() == Kind::File {
            let _ = file.set_len(self.medium.bytes());
        }
    }
}

impl NewFile {
    fn put(self) -> Result<(), MediumError> {
        let put = if self.replace {
            self.file.persist(&self.path)
        } else {
            self.file.persist_noclobber(&self.path)
        };
        put.map_err(|error| failed_to("create", &self.path)(error.error))?;
        let directory = directory(&self.path);
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed_to("sync", directory))
    }
}

/// How long a file is with the tree in it.
pub(super) fn length_after(medium: &Medium, plan: &Plan) -> u64 {
    medium.bytes().max(plan.area.end(&plan.layout))
}

/// Fills the place of the superblock, up to the tree.
fn write_slot(
    file: &File,
    plan: &Plan,
    superblock: Option<&[u8; SUPERBLOCK_SIZE]>,
) -> io::Result<()> {
    let start = plan.area.offset();
    let mut slot = vec![0; (plan.area.block_offset(0) - start) as usize];
    if let Some(superblock) = superblock {
        slot[..SUPERBLOCK_SIZE].copy_from_slice(superblock);
    }
    file.write_all_at(&slot, start)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
