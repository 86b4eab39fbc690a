//! Read-only loop devices for image files.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::device_node::{DeviceNode, DeviceNodeKind, ensure_misc};
use crate::sys::loop_control::{self, Backing};
use dm_verity::DeviceNumber;
use model_disk::{Escaped, ExitCode, HasExitCode};

const CONTROL: &str = "/dev/loop-control";
const LOOP_MAJOR: u32 = 7;

/// How often another process may take the loop device that was free a moment ago.
const ATTEMPTS: u32 = 64;

/// A loop device that is there as long as this, or the mapping on it, is.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    number: DeviceNumber,
    /// Its being open is what keeps it.
    _open: loopdev::LoopDevice,
}

/// Why a file cannot be shown as a block device.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The kernel has no loop driver.
    #[error(
        "this kernel has no loop devices, which {} needs as an image file: load the module `loop`, \
         or give a block device",
        Escaped::path(path)
    )]
    NoDriver {
        /// The image file.
        path: PathBuf,
    },
    /// A system call failed.
    #[error(
        "cannot set up a loop device for {}: cannot {action}",
        Escaped::path(path)
    )]
    Io {
        /// The image file.
        path: PathBuf,
        /// What was done.
        action: String,
        /// With its errno.
        source: io::Error,
    },
    /// Free loop devices were taken by others again and again.
    #[error(
        "cannot set up a loop device for {}: each free one was taken by somebody else",
        Escaped::path(path)
    )]
    AllTaken {
        /// The image file.
        path: PathBuf,
    },
}

impl HasExitCode for LoopError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoDriver { .. } => ExitCode::Unsupported,
            Self::Io { source, .. } => source.exit_code(),
            Self::AllTaken { .. } => ExitCode::InTheWay,
        }
    }
}

impl LoopDevice {
    /// Shows a file, which is open for reading only, as a block device. One that shows just this
    /// file already is shared.
    pub(crate) fn attach(file: &File, path: &Path) -> Result<Self, LoopError> {
        let failed = |action: &str| {
            let action = action.to_owned();
            move |source| LoopError::Io {
                path: path.to_owned(),
                action,
                source,
            }
        };
        let metadata = file.metadata().map_err(failed("read its metadata"))?;
        let backing = Backing {
            device: metadata.dev(),
            inode: metadata.ino(),
            whole_and_read_only: true,
        };
        if let Some(shared) = Self::find(backing) {
            return Ok(shared);
        }
        match ensure_misc(Path::new(CONTROL), "loop-control") {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Err(LoopError::NoDriver {
                    path: path.to_owned(),
                });
            }
            result => result.map_err(failed(&format!("make {CONTROL}")))?,
        }
        let control = File::options()
            .read(true)
            .write(true)
            .open(CONTROL)
            .map_err(failed(&format!("open {CONTROL}")))?;
        for _ in 0..ATTEMPTS {
            let minor = loop_control::next_free(&control).map_err(failed("find a free one"))?;
            let number = DeviceNumber {
                major: LOOP_MAJOR,
                minor,
            };
            let open = open(number, loopdev::LoopDevice::open)
                .map_err(failed(&format!("open {}", Escaped::path(&path_of(number)))))?;
            match loop_control::configure(&open, file) {
                Ok(()) if loop_control::backing(&open).ok() == Some(backing) => {
                    return Ok(Self {
                        number,
                        _open: open,
                    });
                }
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(failed("attach it")(error)),
            }
        }
        Err(LoopError::AllTaken {
            path: path.to_owned(),
        })
    }

    /// A loop device that shows just this. Where `/sys` is not there, none is found.
    fn find(backing: Backing) -> Option<Self> {
        fs::read_dir("/sys/block")
            .ok()?
            .flatten()
            .find_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let minor = name.strip_prefix("loop")?.parse().ok()?;
                if !entry.path().join("loop").exists() {
                    return None;
                }
                let number = DeviceNumber {
                    major: LOOP_MAJOR,
                    minor,
                };
                let open = open(number, loopdev::LoopDevice::open).ok()?;
                // It cannot go any more, now that it is open; before, it could.
                (loop_control::backing(&open).ok()? == backing).then_some(Self {
                    number,
                    _open: open,
                })
            })
    }

    /// The number of the block device.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }

    /// What a loop device shows; None where it is no loop device, or shows nothing.
    pub(crate) fn backing(number: DeviceNumber) -> Option<Backing> {
        if number.major != LOOP_MAJOR {
            return None;
        }
        loop_control::backing(&open(number, File::open).ok()?).ok()
    }
}

fn path_of(number: DeviceNumber) -> PathBuf {
    PathBuf::from(format!("/dev/loop{}", number.minor))
}

/// Opens a loop device by its node. Where another run has made that, it may be gone before it is
/// open here.
fn open<T>(number: DeviceNumber, open: impl Fn(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = path_of(number);
    let mut attempts = ATTEMPTS;
    loop {
        attempts -= 1;
        let _node = DeviceNode::ensure(&path, DeviceNodeKind::Block, number)?;
        match open(path.clone()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts > 0 => {}
            result => return result,
        }
    }
}
