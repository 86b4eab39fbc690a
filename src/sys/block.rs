//! ioctls of block devices, as in `<linux/fs.h>`.

use std::{fs::File, io, os::fd::AsRawFd};

mod ioctl {
    nix::ioctl_read!(blkgetsize64, 0x12, 114, u64);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
    nix::ioctl_write_int_bad!(blkraset, nix::request_code_none!(0x12, 98));
}

/// The size of a block device in bytes.
pub(crate) fn size(device: &File) -> io::Result<u64> {
    let mut bytes = 0;
    // SAFETY: BLKGETSIZE64 writes one u64 to the pointer, which `bytes` outlives. (Its number is
    // made with `size_t`, as wide as u64 on the 64-bit targets that this is built for.)
    unsafe { ioctl::blkgetsize64(device.as_raw_fd(), &mut bytes) }?;
    Ok(bytes)
}

/// The smallest unit that a block device can be read in, in bytes.
pub(crate) fn logical_block_size(device: &File) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: BLKSSZGET writes one int to the pointer, which `bytes` outlives.
    unsafe { ioctl::blksszget(device.as_raw_fd(), &mut bytes) }?;
    u32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Sets how much of a block device is read ahead, in sectors of 512 bytes.
pub(crate) fn set_read_ahead(device: &File, sectors: u32) -> io::Result<()> {
    let sectors = libc::c_int::try_from(sectors).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: BLKRASET takes a number and touches no memory of this process.
    unsafe { ioctl::blkraset(device.as_raw_fd(), sectors) }?;
    Ok(())
}

const _: () = assert!(size_of::<usize>() == size_of::<u64>());
