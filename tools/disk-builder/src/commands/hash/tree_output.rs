//! Where a tree is written so that nothing looks finished that is not.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use dm_verity::SUPERBLOCK_SIZE;
use model_disk::{BackingFile, BackingKind, FileError, ReadAt};

use super::TreePlan;
use crate::output::{NewFile, OutputPlace};

/// What is in the superblock's place of a tree that is being appended to a file, followed by how
/// long the file was before, as a `u64`: a run that is killed leaves it, and what it appended
/// would be taken for data otherwise.
const UNFINISHED: &[u8; 24] = b"disk-builder unfinished\0";

/// Where a tree goes. Dropped before it is finished, it takes back what it did.
pub(crate) enum TreeOutput<'a> {
    InPlace(InPlace<'a>),
    NewFile(NewFile),
}

/// A file or block device that has more on it than the tree.
pub(crate) struct InPlace<'a> {
    file: &'a BackingFile,
    plan: &'a TreePlan,
    finished: bool,
}

impl<'a> TreeOutput<'a> {
    /// Makes space in what holds more than the tree. No old superblock can make the new tree look finished.
    pub(crate) fn in_place(file: &'a BackingFile, plan: &'a TreePlan) -> Result<Self, FileError> {
        let target = InPlace {
            file,
            plan,
            finished: false,
        };
        let (open, path) = (file.file(), file.path());
        if plan.area.offset() < file.bytes() {
            write_slot(open, plan, None)
                .and_then(|()| open.sync_data())
                .map_err(FileError::new("write to", path))?;
        } else if plan.area.block_offset(0) > plan.area.offset() {
            write_slot(open, plan, Some(&unfinished(file.bytes())))
                .and_then(|()| open.sync_data())
                .map_err(FileError::new("write to", path))?;
        }
        if file.kind() == BackingKind::File {
            open.set_len(length_after(file, plan))
                .map_err(FileError::new("extend", path))?;
        }
        Ok(Self::InPlace(target))
    }

    /// A file to be at `place`, which may `replace` another.
    pub(crate) fn new_file(
        place: &OutputPlace,
        replace: bool,
        plan: &TreePlan,
    ) -> Result<Self, FileError> {
        Self::in_file(NewFile::create(place, replace)?, plan)
    }

    /// The same, with what an earlier run left in it: whatever is not written again may be anything.
    pub(crate) fn resumed_file(
        place: &OutputPlace,
        replace: bool,
        plan: &TreePlan,
    ) -> Result<Self, FileError> {
        Self::in_file(NewFile::resume(place, replace)?, plan)
    }

    fn in_file(new: NewFile, plan: &TreePlan) -> Result<Self, FileError> {
        let sized = new.file().set_len(plan.end());
        sized.map_err(FileError::new("write", new.path()))?;
        Ok(Self::NewFile(new))
    }

    pub(crate) fn file(&self) -> &File {
        match self {
            Self::InPlace(target) => target.file.file(),
            Self::NewFile(target) => target.file(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::InPlace(target) => target.file.path(),
            Self::NewFile(target) => target.path(),
        }
    }

    /// The tree is on the disk when this returns.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        let synced = self.file().sync_data();
        synced.map_err(FileError::new("sync", self.path()))
    }

    /// Writes the superblock, last of all, and keeps what has been written.
    pub(crate) fn finish(
        self,
        plan: &TreePlan,
        superblock: Option<&[u8; SUPERBLOCK_SIZE]>,
    ) -> Result<(), FileError> {
        write_slot(self.file(), plan, superblock)
            .and_then(|()| self.file().sync_all())
            .map_err(FileError::new("write the superblock to", self.path()))?;
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
        let file = self.file.file();
        if self.finished {
            return;
        }
        if self.plan.area.offset() < self.file.bytes() {
            let _ = write_slot(file, self.plan, None);
        }
        if self.file.kind() == BackingKind::File {
            let _ = file.set_len(self.file.bytes());
        }
    }
}

fn unfinished(bytes: u64) -> [u8; SUPERBLOCK_SIZE] {
    let mut slot = [0; SUPERBLOCK_SIZE];
    let mark = UNFINISHED.iter().copied().chain(bytes.to_le_bytes());
    slot.iter_mut().zip(mark).for_each(|(to, from)| *to = from);
    slot
}

/// How long a file was before a run began to append a tree at `offset`, and was killed.
pub(super) fn length_before(file: &BackingFile, offset: u64) -> Result<Option<u64>, FileError> {
    let mut slot = [0; SUPERBLOCK_SIZE];
    if file.bytes() < offset.saturating_add(SUPERBLOCK_SIZE as u64) {
        return Ok(None);
    }
    file.read_exact_at(&mut slot, offset)?;
    let length = slot.strip_prefix(UNFINISHED).and_then(<[u8]>::first_chunk);
    let length = length.map(|length| u64::from_le_bytes(*length));
    Ok(length.filter(|length| *length <= offset && slot == unfinished(*length)))
}

/// How long a file is with the tree in it, and parity, if that goes there too.
pub(super) fn length_after(file: &BackingFile, plan: &TreePlan) -> u64 {
    file.bytes().max(plan.end())
}

/// Fills the place of the superblock, up to the tree.
fn write_slot(
    file: &File,
    plan: &TreePlan,
    superblock: Option<&[u8; SUPERBLOCK_SIZE]>,
) -> io::Result<()> {
    let start = plan.area.offset();
    let mut slot = vec![0; (plan.area.block_offset(0) - start) as usize];
    if let Some(superblock) = superblock {
        slot.iter_mut()
            .zip(superblock)
            .for_each(|(to, from)| *to = *from);
    }
    file.write_all_at(&slot, start)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use model_disk::{ExitCode, HasExitCode};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        commands::hash::{Capacity, TreeRequest},
        output::open_to_write,
    };

    const SUPERBLOCK: [u8; SUPERBLOCK_SIZE] = [0x5b; SUPERBLOCK_SIZE];

    fn directory_with(bytes: &[u8]) -> (TempDir, PathBuf) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("data");
        fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    fn place(path: &Path) -> OutputPlace {
        OutputPlace::of(path).unwrap()
    }

    fn plan(data_blocks: u64, hash_offset: Option<u64>, bytes: u64) -> TreePlan {
        let request = TreeRequest {
            data_blocks: Some(data_blocks),
            hash_offset,
            ..TreeRequest::default()
        };
        let kind = BackingKind::File;
        TreePlan::new(&request, Capacity { kind, bytes }, None).unwrap()
    }

    #[test]
    fn what_was_appended_is_taken_back() {
        let (_directory, path) = directory_with(&[1; 40960]);
        let file = open_to_write(&path).unwrap();
        let plan = plan(10, None, 40960);
        let target = TreeOutput::in_place(&file, &plan).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 49152);
        target.file().write_all_at(&[2; 4096], 45056).unwrap();
        drop(target);
        assert!(fs::read(&path).unwrap() == [1; 40960]);
    }

    /// An old superblock over a tree that is half new would look finished.
    #[test]
    fn an_old_superblock_goes_before_the_new_tree_comes() {
        let (_directory, path) = directory_with(&[1; 49152]);
        let file = open_to_write(&path).unwrap();
        let plan = plan(10, Some(40960), 49152);
        let target = TreeOutput::in_place(&file, &plan).unwrap();
        let now = fs::read(&path).unwrap();
        assert!(now[..40960] == [1; 40960] && now[45056..] == [1; 4096]);
        assert!(now[40960..45056] == [0; 4096]);
        drop(target);
        assert!(fs::read(&path).unwrap() == now);
    }

    #[test]
    fn the_superblock_comes_last_and_fills_its_block() {
        let (_directory, path) = directory_with(&[1; 49152]);
        let file = open_to_write(&path).unwrap();
        let plan = plan(10, Some(40960), 49152);
        let target = TreeOutput::in_place(&file, &plan).unwrap();
        target.finish(&plan, Some(&SUPERBLOCK)).unwrap();
        let now = fs::read(&path).unwrap();
        assert!(now[40960..41472] == SUPERBLOCK);
        assert!(now[41472..45056] == [0; 3584] && now[45056..] == [1; 4096]);
    }

    #[test]
    fn a_new_file_appears_when_it_is_finished() {
        let (directory, path) = directory_with(&[]);
        let hashes = directory.path().join("hashes");
        let plan = plan(10, Some(40960), 40960);
        let names = || fs::read_dir(directory.path()).unwrap().count();
        drop(TreeOutput::new_file(&place(&hashes), false, &plan).unwrap());
        assert_eq!(names(), 1);

        let target = TreeOutput::new_file(&place(&hashes), false, &plan).unwrap();
        assert!(!hashes.exists());
        target.finish(&plan, Some(&SUPERBLOCK)).unwrap();
        assert_eq!(fs::metadata(&hashes).unwrap().len(), 49152);
        assert_eq!(names(), 2);

        // A file that came in the meantime is not overwritten.
        let target = TreeOutput::new_file(&place(&path), false, &plan).unwrap();
        let error = target.finish(&plan, None).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::InTheWay);
        assert_eq!((fs::read(&path).unwrap().len(), names()), (0, 2));
    }
}
