//! The file or block device that a disk is in.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use dm_verity::DeviceNumber;
use rustix::fs::OFlags;

use crate::{ExitCode, FileError, FileStamp, HasExitCode, Partition, ReadAt};

/// A regular file or a block device, or a partition of one, open. Whatever its path names later, the
/// descriptor and the device number stay those of what was opened.
#[derive(Debug)]
pub struct BackingFile {
    file: File,
    path: PathBuf,
    kind: BackingKind,
    /// Where it starts in what was opened; 0 for all of that.
    start: u64,
    bytes: u64,
    stamp: FileStamp,
}

/// What a [`BackingFile`] can be. Nothing else is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackingKind {
    /// A regular file, which can grow.
    File,
    /// The block device of this number.
    BlockDevice(DeviceNumber),
}

/// Why there is no [`BackingFile`].
#[derive(Debug, thiserror::Error)]
pub enum BackingFileError {
    /// A system call failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A directory, a pipe, or the like.
    #[error("{} is neither a regular file nor a block device", crate::Escaped::path(.0))]
    OtherKind(PathBuf),
    /// A drive without a disk, or a loop device without a file.
    #[error("{} is a block device of size 0: it has no medium", crate::Escaped::path(.0))]
    NoMedium(PathBuf),
}

impl HasExitCode for BackingFileError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::OtherKind(_) => ExitCode::Usage,
            Self::NoMedium(_) => ExitCode::NotFound,
        }
    }
}

impl BackingKind {
    /// What a path leads to, without opening it: opening a pipe would block, and opening a
    /// terminal could do things to it.
    pub fn at(path: &Path) -> Result<Self, BackingFileError> {
        let metadata = path.metadata().map_err(FileError::new("open", path))?;
        Self::of(path, &metadata)
    }

    fn of(path: &Path, metadata: &Metadata) -> Result<Self, BackingFileError> {
        let file_type = metadata.file_type();
        if file_type.is_file() {
            Ok(Self::File)
        } else if file_type.is_block_device() {
            Ok(Self::BlockDevice(device_number(metadata.rdev())))
        } else {
            Err(BackingFileError::OtherKind(path.to_owned()))
        }
    }
}

impl BackingFile {
    /// Opens for reading.
    pub fn open(path: &Path) -> Result<Self, BackingFileError> {
        BackingKind::at(path)?;
        // Were it a pipe by now, opening it would wait for a writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(FileError::new("open", path))?;
        Self::from_file(file, path)
    }

    /// What is open already, by this path. What counts is what was opened, not what the path named
    /// before.
    pub fn from_file(mut file: File, path: &Path) -> Result<Self, BackingFileError> {
        let metadata = file.metadata().map_err(FileError::new("open", path))?;
        let kind = BackingKind::of(path, &metadata)?;
        let bytes = match kind {
            BackingKind::File => metadata.len(),
            BackingKind::BlockDevice(_) => file
                .seek(SeekFrom::End(0))
                .map_err(FileError::new("find out the size of", path))?,
        };
        if kind != BackingKind::File && bytes == 0 {
            return Err(BackingFileError::NoMedium(path.to_owned()));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            kind,
            start: 0,
            bytes,
            stamp: FileStamp::of(&metadata),
        })
    }

    /// A partition of it, by another descriptor of the same open file. That it lies within the file is
    /// for [`PartitionTable`](crate::PartitionTable) to see to.
    pub fn part(&self, partition: Partition) -> Result<Self, FileError> {
        let file = self.file.try_clone();
        let mut path = self.path.clone().into_os_string();
        path.push(format!(" (partition {})", partition.number));
        Ok(Self {
            file: file.map_err(FileError::new("open once more", &self.path))?,
            path: path.into(),
            kind: self.kind,
            start: self.start.saturating_add(partition.start),
            bytes: partition.bytes,
            stamp: self.stamp,
        })
    }

    /// Where it starts in the open file and how many bytes it has, if it is a partition of that.
    pub fn place(&self) -> Option<(u64, u64)> {
        (self.start > 0).then_some((self.start, self.bytes))
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path by which it was opened, and which partition it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> BackingKind {
        self.kind
    }

    /// What it was when it was opened. Of a block device it is that of its node, which writing to
    /// the device does not change.
    pub fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// The smallest unit that it can be read in, in bytes; 512 for a file.
    pub fn logical_block_size(&self) -> Result<u32, FileError> {
        match self.kind {
            BackingKind::File => Ok(512),
            BackingKind::BlockDevice(_) => rustix::fs::ioctl_blksszget(&self.file)
                .map_err(FileError::new("read the block size of", &self.path)),
        }
    }
}

impl ReadAt for BackingFile {
    type Error = FileError;

    /// Its size when it was opened, or that of the partition.
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        let place = self.start.saturating_add(offset);
        let read = self.file.read_exact_at(buffer, place);
        read.map_err(FileError::new("read", &self.path))
    }
}

/// Takes a `dev_t` apart, as file metadata has it.
pub fn device_number(device: u64) -> DeviceNumber {
    DeviceNumber {
        major: rustix::fs::major(device),
        minor: rustix::fs::minor(device),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_with_its_size() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [7; 1000]).unwrap();
        let opened = BackingFile::open(file.path()).unwrap();
        assert_eq!((opened.bytes(), opened.kind()), (1000, BackingKind::File));
        assert_eq!(opened.logical_block_size().unwrap(), 512);
        let mut byte = [0];
        opened.read_exact_at(&mut byte, 999).unwrap();
        assert_eq!(byte, [7]);
    }

    #[test]
    fn a_partition_is_read_from_its_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [[1; 512], [2; 512], [3; 512]].concat()).unwrap();
        let opened = BackingFile::open(file.path()).unwrap();
        assert_eq!(opened.place(), None);
        let partition = Partition {
            number: 4,
            type_guid: uuid::Uuid::nil(),
            start: 512,
            bytes: 512,
        };
        let part = opened.part(partition).unwrap();
        // Whatever the path names by now.
        fs::remove_file(file.path()).unwrap();
        assert_eq!((part.bytes(), part.place()), (512, Some((512, 512))));
        let mut all = [0; 512];
        part.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(all, [2; 512]);
        assert!(part.path().to_string_lossy().ends_with(" (partition 4)"));
    }

    #[test]
    fn neither_device_nor_file() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        for path in [folder.path(), &fifo, Path::new("/dev/null")] {
            let error = BackingFile::open(path).unwrap_err();
            assert!(matches!(error, BackingFileError::OtherKind(_)), "{error}");
            assert_eq!(error.exit_code(), ExitCode::Usage);
        }
    }
}
