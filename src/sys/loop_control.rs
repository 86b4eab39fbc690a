//! What `loopdev` lacks of `<linux/loop.h>`.

use std::{fs::File, io, os::fd::AsRawFd};

use dm_verity::DeviceNumber;
use model_disk::device_number;

/// The loop device cannot be written to.
const LO_FLAGS_READ_ONLY: u32 = 1;
/// It goes with its last user.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// It reads past the page cache where the file allows it: what is read is kept once, above it.
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

mod ioctl {
    nix::ioctl_none_bad!(loop_ctl_get_free, 0x4C82);
    nix::ioctl_write_ptr_bad!(loop_configure, 0x4C0A, super::LoopConfig);
    nix::ioctl_read_bad!(loop_get_status64, 0x4C05, super::LoopInfo64);
    nix::ioctl_write_int_bad!(loop_set_direct_io, 0x4C08);
}

/// What a loop device shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backing {
    /// Of what.
    pub(crate) file: ShownFile,
    /// From where on, in bytes.
    pub(crate) offset: u64,
    /// How many bytes; 0 for all that follow.
    pub(crate) size_limit: u64,
    /// Whether it cannot be written to.
    pub(crate) read_only: bool,
}

/// The file below a loop device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownFile {
    /// The file with this inode number, on the filesystem with this device number.
    Inode {
        /// The filesystem's.
        device: u64,
        /// The file's.
        inode: u64,
    },
    /// A block device: its nodes can be many.
    BlockDevice(DeviceNumber),
}

/// The number of a loop device that is free now; it is made if there is none.
pub(crate) fn next_free(control: &File) -> io::Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument.
    let number = unsafe { ioctl::loop_ctl_get_free(control.as_raw_fd()) }?;
    u32::try_from(number).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Makes a free loop device show some of a file: read-only, until the last user of the device has
/// closed it. It is one step (in Linux since 5.8), so that a process that dies leaves nothing behind.
/// EBUSY where the device shows something already.
///
/// The kernel chooses its logical block size, unless one is given: where direct I/O cannot be had in
/// units of that size, it does without.
pub(crate) fn configure(
    device: &impl AsRawFd,
    file: &File,
    shown: &Backing,
    block_size: Option<u32>,
) -> io::Result<()> {
    // SAFETY: all fields are integers, for which zeros are valid.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = file.as_raw_fd() as u32;
    config.block_size = block_size.unwrap_or_default();
    config.info.offset = shown.offset;
    config.info.size_limit = shown.size_limit;
    config.info.flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    // SAFETY: LOOP_CONFIGURE reads one `struct loop_config` from the pointer.
    unsafe { ioctl::loop_configure(device.as_raw_fd(), &config) }?;
    Ok(())
}

/// What a loop device shows; ENXIO where it shows nothing.
pub(crate) fn backing(device: &impl AsRawFd) -> io::Result<Backing> {
    let info = status(device)?;
    let file = match info.rdevice {
        0 => ShownFile::Inode {
            device: info.device,
            inode: info.inode,
        },
        number => ShownFile::BlockDevice(device_number(number)),
    };
    Ok(Backing {
        file,
        offset: info.offset,
        size_limit: info.size_limit,
        read_only: info.flags & LO_FLAGS_READ_ONLY != 0,
    })
}

/// Whether a loop device reads past the page cache of its file.
pub(crate) fn reads_directly(device: &impl AsRawFd) -> io::Result<bool> {
    Ok(status(device)?.flags & LO_FLAGS_DIRECT_IO != 0)
}

/// Lets a loop device read past the page cache of its file, or no longer.
pub(crate) fn set_direct_io(device: &impl AsRawFd, direct: bool) -> io::Result<()> {
    // SAFETY: LOOP_SET_DIRECT_IO takes a number and touches no memory of this process.
    unsafe { ioctl::loop_set_direct_io(device.as_raw_fd(), direct.into()) }?;
    Ok(())
}

fn status(device: &impl AsRawFd) -> io::Result<LoopInfo64> {
    let mut info = std::mem::MaybeUninit::<LoopInfo64>::zeroed();
    // SAFETY: LOOP_GET_STATUS64 writes one `struct loop_info64` to the pointer.
    unsafe { ioctl::loop_get_status64(device.as_raw_fd(), info.as_mut_ptr()) }?;
    // SAFETY: all fields are integers, for which zeros are valid, and the call has succeeded.
    Ok(unsafe { info.assume_init() })
}
