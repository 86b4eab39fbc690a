//! Which storage a path is on in the end: other names of it would let one output overwrite an
//! input.

use std::{
    fs::{self, Metadata},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// More than any stack of devices has.
const MAX_DEPTH: usize = 16;

/// A file, or a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// Device and inode number.
    File(u64, u64),
    /// Major and minor number.
    Device(u64, u64),
}

/// Whether two paths lead to one file or block device, also by different names.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let one = Storage::at(one);
    one.is_some() && one == Storage::at(other)
}

impl Storage {
    fn at(path: &Path) -> Option<Self> {
        Some(Self::of(&path.metadata().ok()?))
    }

    /// Of what has been found or opened.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        if metadata.file_type().is_block_device() {
            let number = metadata.rdev();
            Self::Device(libc::major(number).into(), libc::minor(number).into())
        } else {
            Self::File(metadata.dev(), metadata.ino())
        }
    }

    /// Whether one of the two is on the other, or the same: a loop device of the file, the disk of the
    /// partition, a mapping over the device.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.stack().contains(&other) || other.stack().contains(&self)
    }

    /// It, and all that it is on, as far as the kernel tells.
    fn stack(self) -> Vec<Self> {
        let mut stack = vec![self];
        let mut next = 0;
        while let Some(storage) = stack.get(next).filter(|_| next < MAX_DEPTH) {
            let below = storage.below();
            stack.extend(below);
            next += 1;
        }
        stack
    }

    /// What a device is directly on, see sysfs(5).
    fn below(self) -> Vec<Self> {
        let Self::Device(major, minor) = self else {
            return Vec::new();
        };
        // A link into the tree of devices, where the disk is above its partitions.
        let Ok(folder) = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")) else {
            return Vec::new();
        };
        let mut below = Vec::new();
        if let Ok(file) = fs::read_to_string(folder.join("loop/backing_file")) {
            below.extend(Self::at(Path::new(file.trim_end_matches('\n'))));
        }
        if folder.join("partition").exists() {
            below.extend(folder.parent().and_then(Self::named_in));
        }
        let slaves = fs::read_dir(folder.join("slaves")).into_iter().flatten();
        let slaves = slaves.flatten().map(|slave| slave.path());
        below.extend(slaves.filter_map(|slave: PathBuf| Self::named_in(&slave)));
        below
    }

    /// The device of a folder in sysfs.
    fn named_in(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join("dev")).ok()?;
        let (major, minor) = text.trim_end().split_once(':')?;
        Some(Self::Device(major.parse().ok()?, minor.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_of_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let [one, link, hard, other] =
            ["one", "link", "hard", "other"].map(|name| folder.path().join(name));
        fs::write(&one, "").unwrap();
        fs::write(&other, "").unwrap();
        symlink(&one, &link).unwrap();
        fs::hard_link(&one, &hard).unwrap();
        let overlaps = |one: &Path, other: &Path| {
            let [one, other] = [one, other].map(|path| Storage::at(path).unwrap());
            one.overlaps(other)
        };
        for name in [&one, &link, &hard] {
            assert!(is_same(&one, name) && overlaps(&one, name));
        }
        assert!(!is_same(&one, &other) && !overlaps(&one, &other));
        let missing = folder.path().join("missing");
        assert!(!is_same(&missing, &missing));
    }
}
