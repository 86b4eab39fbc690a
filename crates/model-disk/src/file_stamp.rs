//! What tells whether a file is still what it was.

use std::{
    fs::Metadata,
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};

use rustix::fs::{AtFlags, statat};

/// Which file it is, how long it is, and when it was written to and changed last.
///
/// The time of modification can be set back by whoever may write to the file; that of the change
/// (`ctime`) is the kernel's own, and setting the other one changes it. Neither moves while a
/// mapping that is already dirty is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// In nanoseconds; whatever passes 2^64 of them is left out.
    modified: i64,
    /// The same of the change.
    changed: i64,
}

impl FileStamp {
    /// That of a file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// That of what a path from an open directory leads to. Links are followed.
    pub fn at(directory: impl AsFd, path: &Path) -> io::Result<Self> {
        let found = statat(directory, path, AtFlags::empty())?;
        Ok(Self {
            device: found.st_dev,
            inode: found.st_ino,
            bytes: found.st_size.cast_unsigned(),
            modified: nanoseconds(found.st_mtime, found.st_mtime_nsec.cast_signed()),
            changed: nanoseconds(found.st_ctime, found.st_ctime_nsec.cast_signed()),
        })
    }

    /// How long the file is, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When it was changed last, in nanoseconds since 1970.
    pub fn changed(&self) -> i64 {
        self.changed
    }

    /// Whether this is of the file that the other one is of, changed or not.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, time::SystemTime};

    use super::*;

    #[test]
    fn a_time_that_was_put_back() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let stamp = || FileStamp::of(&fs::metadata(file.path()).unwrap());
        let before = stamp();
        assert_eq!(before, stamp());
        let by_path = FileStamp::at(rustix::fs::CWD, file.path());
        assert_eq!(before, by_path.unwrap());
        // It may take until the kernel's clock for files moves on.
        let modified = file.as_file().metadata().unwrap().modified().unwrap();
        let after = loop {
            file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
            file.as_file().set_modified(modified).unwrap();
            let after = stamp();
            if after != before {
                break after;
            }
        };
        assert_eq!(after.modified, before.modified);
        assert!(after.changed() > before.changed() && after.is_same_file(&before));
        file.write_all(b"x").unwrap();
        assert_eq!(
            FileStamp::of(&file.as_file().metadata().unwrap()).bytes(),
            1
        );
        let other = tempfile::tempfile().unwrap();
        assert!(!before.is_same_file(&FileStamp::of(&other.metadata().unwrap())));
    }
}
