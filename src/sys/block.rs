//! ioctls of block devices, as in `<linux/fs.h>`.

use std::{fs::File, io, os::fd::AsRawFd};

mod ioctl {
    nix::ioctl_write_int_bad!(blkraset, nix::request_code_none!(0x12, 98));
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
}

/// Sets how much of a block device is read ahead, in sectors of 512 bytes.
pub(crate) fn set_read_ahead(device: &File, sectors: u32) -> io::Result<()> {
    let sectors = libc::c_int::try_from(sectors).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: BLKRASET takes a number and touches no memory of this process.
    unsafe { ioctl::blkraset(device.as_raw_fd(), sectors) }?;
    Ok(())
}

/// The smallest unit that a block device can be read in, in bytes.
pub(crate) fn logical_block_size(device: &impl AsRawFd) -> io::Result<u32> {
    let mut size = 0;
    // SAFETY: BLKSSZGET writes one `int` to the pointer.
    unsafe { ioctl::blksszget(device.as_raw_fd(), &mut size) }?;
    u32::try_from(size).map_err(|_| io::ErrorKind::InvalidData.into())
}
