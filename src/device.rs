//! The data device and the hash device: found, and shown to the kernel as block devices.

use std::{io, path::Path, path::PathBuf, time::Duration};

use dm_verity::{BlockSize, DeviceNumber};
use model_disk::{
    BackingFile, BackingFileError, BackingKind, Escaped, ExitCode, FileError, HasExitCode,
    Interrupted,
};

use crate::{
    loop_device::{LoopDevice, LoopError},
    pause::{Deadline, Pause},
};

/// How often an absent device is looked for.
const POLL: Duration = Duration::from_millis(50);

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It did not appear in time.
    #[error(
        "{}: no such device or file: timed out after {seconds} s while waiting for it; is the \
         volume attached? (--wait sets the time)",
        Escaped::path(path)
    )]
    Absent {
        /// What was looked for.
        path: PathBuf,
        /// For how long.
        seconds: u64,
    },
    /// There is a device, and nothing appeared in it in time.
    #[error(
        "{}: a block device of size 0: timed out after {seconds} s while waiting for its medium; \
         is the volume attached? (--wait sets the time)",
        Escaped::path(path)
    )]
    NoMedium {
        /// The device.
        path: PathBuf,
        /// For how long it was waited for.
        seconds: u64,
    },
    /// It cannot be opened.
    #[error(transparent)]
    File(#[from] BackingFileError),
    /// The wait was ended from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl HasExitCode for DeviceError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Absent { .. } | Self::NoMedium { .. } => ExitCode::NotFound,
            Self::File(error) => error.exit_code(),
            Self::Interrupted(_) => ExitCode::Failure,
        }
    }
}

/// What time can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Device,
    Medium,
}

impl Missing {
    fn of(opened: &Result<BackingFile, BackingFileError>) -> Option<Self> {
        match opened {
            Err(BackingFileError::File(FileError { source, .. })) => match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENXIO) => Some(Self::Device),
                Some(libc::ENOMEDIUM) => Some(Self::Medium),
                _ => None,
            },
            Err(BackingFileError::NoMedium(_)) => Some(Self::Medium),
            _ => None,
        }
    }
}

/// Opens a device or an image file, waiting for it to appear.
pub(crate) fn find(
    path: &Path,
    deadline: &Deadline,
    pause: Pause<'_>,
) -> Result<BackingFile, DeviceError> {
    loop {
        let opened = BackingFile::open(path);
        let Some(missing) = Missing::of(&opened) else {
            return Ok(opened?);
        };
        if deadline.has_passed() {
            let (path, seconds) = (path.to_owned(), deadline.wait().as_secs());
            return Err(match missing {
                Missing::Device => DeviceError::Absent { path, seconds },
                Missing::Medium => DeviceError::NoMedium { path, seconds },
            });
        }
        pause(POLL)?;
    }
}

/// Whether the kernel's device of this number shows just what is in a file.
pub(crate) fn is_shown_by(file: &BackingFile, number: DeviceNumber) -> Result<bool, FileError> {
    match own_number(file) {
        Some(own) => Ok(own == number),
        None => LoopDevice::shows(number, file)
            .map_err(FileError::new("read the metadata of", file.path())),
    }
}

/// The number of what is a block device by itself.
fn own_number(file: &BackingFile) -> Option<DeviceNumber> {
    match (file.kind(), file.place()) {
        (BackingKind::BlockDevice(number), None) => Some(number),
        _ => None,
    }
}

/// A block device that is there as long as this is.
#[derive(Debug)]
pub(crate) struct BlockDevice {
    number: DeviceNumber,
    loop_device: Option<LoopDevice>,
}

impl BlockDevice {
    /// The block device with the content of a file: itself, or a read-only loop device, which is
    /// going to be read in blocks of `smallest` or more.
    pub(crate) fn of(file: &BackingFile, smallest: BlockSize) -> Result<Self, LoopError> {
        if let Some(number) = own_number(file) {
            return Ok(Self {
                number,
                loop_device: None,
            });
        }
        let loop_device = LoopDevice::attach(file, smallest)?;
        Ok(Self {
            number: loop_device.number(),
            loop_device: Some(loop_device),
        })
    }

    /// The smallest unit that it can be read in, in bytes, if it is a loop device. Any other has told
    /// it already.
    pub(crate) fn loop_block_size(&self) -> io::Result<Option<u32>> {
        let loop_device = self.loop_device.as_ref();
        loop_device.map(LoopDevice::logical_block_size).transpose()
    }

    /// Its number.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;

    fn find_now(path: &Path) -> Result<BackingFile, DeviceError> {
        find(path, &Deadline::after(Duration::ZERO), &|_| {
            Err(Interrupted)
        })
    }

    #[test]
    fn what_is_not_there_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late");
        let error = find_now(&path).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NotFound);
        assert!(error.to_string().contains("after 0 s"), "{error}");

        let deadline = Deadline::after(Duration::from_secs(600));
        let appears = |_: Duration| {
            fs::write(&path, b"here").unwrap();
            Ok(())
        };
        find(&path, &deadline, &appears).unwrap();
        fs::remove_file(&path).unwrap();
        let error = find(&path, &deadline, &|_| Err(Interrupted)).unwrap_err();
        assert!(matches!(error, DeviceError::Interrupted(_)), "{error}");
    }
}
