//! Files and block devices, opened and measured.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use disk_mounter::{claims::ReadAt, exit::ExitCode};
use nix::fcntl::OFlag;

use crate::engine::FileSource;

/// What a path leads to. Nothing else is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, which can grow.
    File,
    /// A block device.
    BlockDevice,
}

/// An open file or block device.
#[derive(Debug)]
pub struct Medium {
    file: File,
    path: PathBuf,
    kind: Kind,
    bytes: u64,
    modified: (i64, i64),
}

/// Why a path could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// A system call failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory, a pipe, or the like.
    #[error("{} is neither a regular file nor a block device", .0.display())]
    OtherKind(PathBuf),
}

impl MediumError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            // What `try_lock` says of a file that is locked.
            Self::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock => {
                ExitCode::InTheWay
            }
            Self::Io { source, .. } => ExitCode::of_io(source),
            Self::OtherKind(_) => ExitCode::Usage,
        }
    }
}

/// Makes the error of an action on a path.
pub(crate) fn failed_to(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> MediumError {
    let path = path.to_owned();
    move |source| MediumError::Io {
        action,
        path,
        source,
    }
}

impl Kind {
    fn of(path: &Path, metadata: &Metadata) -> Result<Self, MediumError> {
        let kind = metadata.file_type();
        if kind.is_file() {
            Ok(Self::File)
        } else if kind.is_block_device() {
            Ok(Self::BlockDevice)
        } else {
            Err(MediumError::OtherKind(path.to_owned()))
        }
    }

    /// What a path leads to, without opening it: opening a pipe would block.
    pub fn at(path: &Path) -> Result<Self, MediumError> {
        let metadata = path.metadata().map_err(failed_to("open", path))?;
        Self::of(path, &metadata)
    }
}

impl Medium {
    /// Opens for reading.
    pub fn open(path: &Path) -> Result<Self, MediumError> {
        Kind::at(path)?;
        let file = File::open(path).map_err(failed_to("open", path))?;
        Self::measure(file, path)
    }

    /// Opens for reading and writing, alone: a block device that is mounted or otherwise in use
    /// is busy, and so is a file that another run of this program writes to.
    pub fn open_to_write(path: &Path) -> Result<Self, MediumError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let kind = Kind::at(path)?;
        if kind == Kind::BlockDevice {
            options.custom_flags(OFlag::O_EXCL.bits());
        }
        let file = options.open(path).map_err(failed_to("open", path))?;
        // Measured after the lock: until then another run may have changed the length.
        if kind == Kind::File {
            let locked = file.try_lock().map_err(io::Error::from);
            locked.map_err(failed_to("lock", path))?;
        }
        Self::measure(file, path)
    }

    fn measure(mut file: File, path: &Path) -> Result<Self, MediumError> {
        let metadata = file.metadata().map_err(failed_to("open", path))?;
        let kind = Kind::of(path, &metadata)?;
        let bytes = match kind {
            Kind::File => metadata.len(),
            Kind::BlockDevice => file
                .seek(SeekFrom::End(0))
                .map_err(failed_to("find out the size of", path))?,
        };
        Ok(Self {
            file,
            path: path.to_owned(),
            kind,
            bytes,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// By which path it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bytes it had when it was opened.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its first `bytes` bytes, as long as nobody writes to it.
    pub fn source(&self, bytes: u64) -> FileSource<'_> {
        let source = self.source_of_length(bytes, self.bytes);
        match self.kind {
            Kind::File => source.modified_at(self.modified),
            // That of the node, which writing to the device does not change.
            Kind::BlockDevice => source,
        }
    }

    /// The first `bytes` bytes of a file that this program writes to, after what it reads, and has
    /// brought to `file_bytes` bytes.
    pub fn source_of_length(&self, bytes: u64, file_bytes: u64) -> FileSource<'_> {
        let file_bytes = (self.kind == Kind::File).then_some(file_bytes);
        FileSource::new(&self.file, &self.path, bytes, file_bytes)
    }
}

impl ReadAt for Medium {
    type Error = MediumError;

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), MediumError> {
        let read = self.file.read_exact_at(buffer, offset);
        read.map_err(failed_to("read", &self.path))
    }
}
