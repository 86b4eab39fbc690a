//! ioctls of block devices, as in `<linux/fs.h>`.

use std::{fs::File, io, os::fd::AsRawFd};

mod ioctl {
    nix::ioctl_write_int_bad!(blkraset, nix::request_code_none!(0x12, 98));
}

/// Sets how much of a block device is read ahead, in sectors of 512 bytes.
pub(crate) fn set_read_ahead(device: &File, sectors: u32) -> io::Result<()> {
    let sectors = libc::c_int::try_from(sectors).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: BLKRASET takes a number and touches no memory of this process.
    unsafe { ioctl::blkraset(device.as_raw_fd(), sectors) }?;
    Ok(())
}
