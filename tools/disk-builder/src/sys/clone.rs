//! Files that share blocks.

use std::{
    fs::File,
    io,
    ops::Range,
    os::fd::{AsRawFd, RawFd},
};

/// Makes `to` share the bytes `range` of `from` at its byte `at`, see ioctl_ficlonerange(2). All
/// three numbers are multiples of the filesystem's block size, and the range is not empty: a length
/// of 0 would stand for all there is.
pub(crate) fn clone_range(from: &File, range: Range<u64>, to: &File, at: u64) -> io::Result<()> {
    let argument = libc::file_clone_range {
        src_fd: RawFd::into(from.as_raw_fd()),
        src_offset: range.start,
        src_length: range.end - range.start,
        dest_offset: at,
    };
    // SAFETY: the request takes this struct, which outlives the call, and writes nothing to it.
    let result = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONERANGE, &argument) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shared_is_an_error() {
        let (from, to) = (
            File::open("/dev/null").unwrap(),
            tempfile::tempfile().unwrap(),
        );
        assert!(clone_range(&from, 0..4096, &to, 0).is_err());
    }
}
