//! Read-only loop devices for image files, and for partitions.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::device_node::{DeviceNode, DeviceNodeKind, ensure_misc};
use crate::log;
use crate::sys::{
    block,
    loop_control::{self, Backing, ShownFile},
};
use dm_verity::{BlockSize, DeviceNumber};
use model_disk::{BackingFile, BackingKind, Escaped, ExitCode, FileError, HasExitCode};

const CONTROL: &str = "/dev/loop-control";
const LOOP_MAJOR: u32 = 7;

/// How often another process may take the loop device that was free a moment ago.
const ATTEMPTS: u32 = 64;

/// What is read to see whether a loop device can be read, in bytes at least.
const TRIED: u64 = 4096;

/// A loop device that is there as long as this, or the mapping on it, is.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    number: DeviceNumber,
    /// Its being open is what keeps it.
    open: loopdev::LoopDevice,
}

/// Why a file cannot be shown as a block device.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The kernel has no loop driver.
    #[error(
        "this kernel has no loop devices, which {} needs as an image file or a partition: load the \
         module `loop`, or give a block device",
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
    /// Shows a file, which is open for reading only, as a block device that has been read. One that
    /// shows just this already is shared, unless its blocks are larger than `smallest`, the smallest
    /// that it is going to be read in.
    pub(crate) fn attach(file: &BackingFile, smallest: BlockSize) -> Result<Self, LoopError> {
        let path = file.path();
        let backing = what_shows(file).map_err(failed(path, "read its metadata"))?;
        let device = match Self::find(backing, smallest) {
            Some(shared) => shared,
            None => Self::make(file, backing, smallest)?,
        };
        device.make_readable(path)?;
        Ok(device)
    }

    /// Makes a free loop device show a file.
    fn make(file: &BackingFile, backing: Backing, smallest: BlockSize) -> Result<Self, LoopError> {
        let path = file.path();
        match ensure_misc(Path::new(CONTROL), "loop-control") {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Err(LoopError::NoDriver {
                    path: path.to_owned(),
                });
            }
            result => result.map_err(failed(path, &format!("make {CONTROL}")))?,
        }
        let control = File::options()
            .read(true)
            .write(true)
            .open(CONTROL)
            .map_err(failed(path, &format!("open {CONTROL}")))?;
        let block_size = match file.kind() {
            // Newer kernels take the sectors of the file's own device otherwise, for direct I/O's sake.
            BackingKind::File => (smallest < BlockSize::DEFAULT).then(|| smallest.get()),
            // Older ones take 512 bytes, in which not every device can be read.
            BackingKind::BlockDevice(_) => Some(
                file.logical_block_size()
                    .map_err(|error: FileError| error.source)
                    .map_err(failed(path, "read the block size of its device"))?,
            ),
        };
        for _ in 0..ATTEMPTS {
            let minor =
                loop_control::next_free(&control).map_err(failed(path, "find a free one"))?;
            let number = DeviceNumber {
                major: LOOP_MAJOR,
                minor,
            };
            let open = open(number, loopdev::LoopDevice::open).map_err(failed(
                path,
                &format!("open {}", Escaped::path(&path_of(number))),
            ))?;
            match loop_control::configure(&open, file.file(), &backing, block_size) {
                Ok(()) if loop_control::backing(&open).ok() == Some(backing) => {
                    return Ok(Self { number, open });
                }
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(failed(path, "attach it")(error)),
            }
        }
        Err(LoopError::AllTaken {
            path: path.to_owned(),
        })
    }

    /// A loop device that shows just this, in blocks that are small enough. Where `/sys` is not
    /// there, none is found.
    fn find(backing: Backing, smallest: BlockSize) -> Option<Self> {
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
                let fits = loop_control::backing(&open).ok()? == backing
                    && block::logical_block_size(&open).ok()? <= smallest.get();
                fits.then_some(Self { number, open })
            })
    }

    /// Reads through it, and lets it go on through the page cache where direct I/O fails: some
    /// filesystems take it, and cannot read (an overlay over a tmpfs). One that is shared is tried
    /// like one's own: who made it may not have come to it yet.
    fn make_readable(&self, path: &Path) -> Result<(), LoopError> {
        let direct =
            loop_control::reads_directly(&self.open).map_err(failed(path, "look at it"))?;
        let Err(error) = self.read_ends() else {
            return Ok(());
        };
        if !direct || loop_control::set_direct_io(&self.open, false).is_err() {
            return Err(failed(path, "read through it")(error));
        }
        let buffered = self.read_ends();
        if buffered.is_ok() {
            log::info(format_args!(
                "{} is read through the page cache: its filesystem fails direct reads ({error})",
                Escaped::path(path)
            ));
        } else {
            // It was not at fault, and others may be using the loop device: as it was, if it goes.
            let _ = loop_control::set_direct_io(&self.open, true);
        }
        buffered.map_err(failed(path, "read through it"))
    }

    /// Reads its first and its last block, past its own page cache.
    fn read_ends(&self) -> io::Result<()> {
        let mut device = open(self.number, |path| {
            File::options()
                .read(true)
                .custom_flags(libc::O_DIRECT)
                .open(path)
        })?;
        let unit = u64::from(self.logical_block_size()?).max(1);
        let bytes = device.seek(SeekFrom::End(0))? / unit * unit;
        let length = TRIED.max(unit).min(bytes);
        // Direct reads go to whole blocks of memory.
        let mut memory = vec![0; 2 * TRIED.max(unit) as usize];
        let start = memory.as_ptr().align_offset(TRIED.max(unit) as usize);
        let block = memory.get_mut(start..start + length as usize);
        let block = block.unwrap_or_default();
        device.read_exact_at(block, 0)?;
        device.read_exact_at(block, bytes - length)
    }

    /// The smallest unit that it can be read in, in bytes.
    pub(crate) fn logical_block_size(&self) -> io::Result<u32> {
        block::logical_block_size(&self.open)
    }

    /// The number of the block device.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Whether the block device of this number is a loop device that shows just what is in a file.
    pub(crate) fn shows(number: DeviceNumber, file: &BackingFile) -> io::Result<bool> {
        Ok(Self::backing(number) == Some(what_shows(file)?))
    }

    /// The block device below a loop device; None where it is no loop device, or shows a file.
    pub(crate) fn device_below(number: DeviceNumber) -> Option<DeviceNumber> {
        match Self::backing(number)?.file {
            ShownFile::BlockDevice(below) => Some(below),
            ShownFile::Inode { .. } => None,
        }
    }

    /// What a loop device shows; None where it is no loop device, or shows nothing.
    fn backing(number: DeviceNumber) -> Option<Backing> {
        if number.major != LOOP_MAJOR {
            return None;
        }
        loop_control::backing(&open(number, File::open).ok()?).ok()
    }
}

/// What a loop device must show for a file.
fn what_shows(file: &BackingFile) -> io::Result<Backing> {
    let (offset, size_limit) = file.place().unwrap_or_default();
    let shown = match file.kind() {
        BackingKind::BlockDevice(number) => ShownFile::BlockDevice(number),
        BackingKind::File => {
            let metadata = file.file().metadata()?;
            ShownFile::Inode {
                device: metadata.dev(),
                inode: metadata.ino(),
            }
        }
    };
    Ok(Backing {
        file: shown,
        offset,
        size_limit,
        read_only: true,
    })
}

/// Makes the error of a failed action.
fn failed(path: &Path, action: &str) -> impl FnOnce(io::Error) -> LoopError {
    let (path, action) = (path.to_owned(), action.to_owned());
    move |source| LoopError::Io {
        path,
        action,
        source,
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
