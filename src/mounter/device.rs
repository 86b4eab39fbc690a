//! The data device and the hash device, before anything is known of them.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    loop_device::{LoopDevice, LoopError},
    node::block_device_number,
    pause::{Deadline, Interrupted, Pause},
};
use crate::{claims::ReadAt, exit::ExitCode, sys, verity::DeviceNumber};

/// How often an absent device is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A block device or an image file, open for reading. Whatever its path names later, the
/// descriptor and the device number stay those of what was opened.
#[derive(Debug)]
pub(crate) struct Device {
    path: PathBuf,
    file: File,
    /// None for a regular file.
    number: Option<DeviceNumber>,
    size: u64,
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It is not there, or did not appear in time.
    #[error("{path}: no such device or file{}", in_time(*seconds))]
    Absent {
        /// What was looked for.
        path: PathBuf,
        /// For how long; None where it was not waited for.
        seconds: Option<u64>,
    },
    /// There is a device, and nothing in it, or nothing appeared in time.
    #[error("{path}: a block device of size 0: it has no medium{}", in_time(*seconds))]
    Empty {
        /// The device.
        path: PathBuf,
        /// For how long it was waited for; None where it was not.
        seconds: Option<u64>,
    },
    /// A system call failed.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What it was done to.
        path: PathBuf,
        /// What was done.
        action: &'static str,
        /// With its errno.
        source: io::Error,
    },
    /// The wait was ended from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A directory, a pipe, …
    #[error("{0}: neither a block device nor a regular file")]
    WrongKind(PathBuf),
}

impl DeviceError {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Absent { .. } | Self::Empty { .. } => ExitCode::NotFound,
            Self::Io { source, .. } => ExitCode::of_io(source),
            Self::WrongKind(_) | Self::Interrupted(_) => ExitCode::Failure,
        }
    }

    /// The same where it was waited for, if it is one that time can mend.
    fn after(self, wait: Duration) -> Self {
        let seconds = Some(wait.as_secs());
        match self {
            Self::Absent { path, .. } => Self::Absent { path, seconds },
            Self::Empty { path, .. } => Self::Empty { path, seconds },
            other => other,
        }
    }
}

/// How long something was waited for, and what can be done.
fn in_time(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| {
        format!(" after {seconds} s; is the volume attached? (--wait sets the time)")
    })
}

impl Device {
    /// Opens a device, waiting for it to appear.
    pub(crate) fn find(
        path: &Path,
        deadline: &Deadline,
        pause: Pause<'_>,
    ) -> Result<Self, DeviceError> {
        loop {
            match Self::open(path) {
                Err(DeviceError::Absent { .. } | DeviceError::Empty { .. })
                    if !deadline.has_passed() =>
                {
                    pause(POLL)?;
                }
                opened => return opened.map_err(|error| error.after(deadline.wait())),
            }
        }
    }

    /// Opens a device that is there now.
    pub(crate) fn open(path: &Path) -> Result<Self, DeviceError> {
        let io = |action| {
            move |source| DeviceError::Io {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let absent = || DeviceError::Absent {
            path: path.to_owned(),
            seconds: None,
        };
        let empty = || DeviceError::Empty {
            path: path.to_owned(),
            seconds: None,
        };
        // Opening a FIFO or a terminal could block, and could do things to it.
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
            metadata => metadata.map_err(io("open it"))?,
        };
        if !metadata.is_file() && block_device_number(&metadata).is_none() {
            return Err(DeviceError::WrongKind(path.to_owned()));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENXIO) => absent(),
                Some(libc::ENOMEDIUM) => empty(),
                _ => io("open it")(error),
            })?;
        // What counts is what was opened, not what the path named before.
        let metadata = file.metadata().map_err(io("read its metadata"))?;
        let number = block_device_number(&metadata);
        let size = match number {
            Some(_) => sys::block::size(&file).map_err(io("read its size"))?,
            None if metadata.is_file() => metadata.len(),
            None => return Err(DeviceError::WrongKind(path.to_owned())),
        };
        if number.is_some() && size == 0 {
            return Err(empty());
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            number,
            size,
        })
    }

    /// The path by which it was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The smallest unit that it can be read in, in bytes; 512 for a file.
    pub(crate) fn logical_block_size(&self) -> Result<u32, DeviceError> {
        match self.number {
            Some(_) => {
                sys::block::logical_block_size(&self.file).map_err(|source| DeviceError::Io {
                    path: self.path.clone(),
                    action: "read its block size",
                    source,
                })
            }
            None => Ok(512),
        }
    }

    /// Whether the kernel's device of this number shows just what this is.
    pub(crate) fn is_shown_by(&self, number: DeviceNumber) -> Result<bool, DeviceError> {
        match self.number {
            Some(own) => Ok(own == number),
            None => {
                let metadata = self.file.metadata().map_err(|source| DeviceError::Io {
                    path: self.path.clone(),
                    action: "read its metadata",
                    source,
                })?;
                Ok(LoopDevice::backing(number).is_some_and(|backing| {
                    backing.whole_and_read_only
                        && (backing.device, backing.inode) == (metadata.dev(), metadata.ino())
                }))
            }
        }
    }

    /// The block device with its content: itself, or a read-only loop device for a file.
    pub(crate) fn attach(&self) -> Result<BlockDevice, LoopError> {
        match self.number {
            Some(number) => Ok(BlockDevice {
                number,
                _loop_device: None,
            }),
            None => {
                let loop_device = LoopDevice::attach(&self.file, &self.path)?;
                Ok(BlockDevice {
                    number: loop_device.number(),
                    _loop_device: Some(loop_device),
                })
            }
        }
    }
}

impl ReadAt for Device {
    type Error = DeviceError;

    /// Its size when it was opened.
    fn bytes(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), DeviceError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|source| DeviceError::Io {
                path: self.path.clone(),
                action: "read it",
                source,
            })
    }
}

/// A block device that is there as long as this is.
#[derive(Debug)]
pub(crate) struct BlockDevice {
    number: DeviceNumber,
    _loop_device: Option<LoopDevice>,
}

impl BlockDevice {
    /// Its number.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &Path) -> Result<Device, DeviceError> {
        Device::find(path, &Deadline::after(Duration::ZERO), &|_| {
            Err(Interrupted)
        })
    }

    #[test]
    fn a_file_is_found_with_its_size() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [7; 1000]).unwrap();
        let device = find(file.path()).unwrap();
        assert_eq!((device.bytes(), device.number), (1000, None));
        let mut byte = [0];
        device.read_exact_at(&mut byte, 999).unwrap();
        assert_eq!(byte, [7]);
    }

    #[test]
    fn what_is_not_there_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late");
        let error = find(&path).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NotFound);
        assert!(error.to_string().contains("after 0 s"), "{error}");

        let deadline = Deadline::after(Duration::from_secs(600));
        let appears = |_: Duration| {
            fs::write(&path, b"here").unwrap();
            Ok(())
        };
        Device::find(&path, &deadline, &appears).unwrap();
        fs::remove_file(&path).unwrap();
        let error = Device::find(&path, &deadline, &|_| Err(Interrupted)).unwrap_err();
        assert!(matches!(error, DeviceError::Interrupted(_)), "{error}");
    }

    #[test]
    fn neither_device_nor_file() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [folder.path(), &fifo, Path::new("/dev/null")] {
            let error = find(path).unwrap_err();
            assert!(matches!(error, DeviceError::WrongKind(_)), "{error}");
        }
    }
}
