//! On which blocks of the disk a file's bytes are.

use std::{fs::File, io, os::fd::AsRawFd};

/// `FS_IOC_FIEMAP`, which libc has not.
const FS_IOC_FIEMAP: libc::Ioctl = libc::_IOWR::<MapRequest>(b'f' as u32, 11);
/// What is to be written is given its blocks first.
const FIEMAP_FLAG_SYNC: u32 = 1;
const FIEMAP_EXTENT_UNKNOWN: u32 = 2;
const FIEMAP_EXTENT_DELALLOC: u32 = 4;
const FIEMAP_EXTENT_UNWRITTEN: u32 = 0x800;

/// `struct fiemap`, see Documentation/filesystems/fiemap.rst of the kernel.
#[repr(C)]
#[derive(Default)]
struct MapRequest {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Default)]
struct MapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    more_reserved: [u32; 3],
}

#[repr(C)]
#[derive(Default)]
struct MapAnswer {
    request: MapRequest,
    extent: MapExtent,
}

/// Where some of a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappedBytes {
    /// Where on the disk, in bytes; none where they are zeros without blocks of their own.
    pub(crate) on_disk: Option<u64>,
    /// Where that ends, in bytes of the file.
    pub(crate) end: u64,
}

/// Where the bytes of a file are from `offset` on, with no look beyond `end`. None where the
/// filesystem does not tell.
pub(crate) fn mapped_at(file: &File, offset: u64, end: u64) -> io::Result<Option<MappedBytes>> {
    let mut answer = MapAnswer {
        request: MapRequest {
            start: offset,
            length: end - offset,
            flags: FIEMAP_FLAG_SYNC,
            extent_count: 1,
            ..MapRequest::default()
        },
        ..MapAnswer::default()
    };
    // SAFETY: the request is followed by room for the one extent that it asks for, and both outlive
    // the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, &mut answer) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    let MapAnswer { request, extent } = answer;
    let hole = |end| Ok(Some(MappedBytes { on_disk: None, end }));
    if request.mapped_extents == 0 || extent.logical >= end {
        return hole(end);
    }
    if extent.logical > offset {
        return hole(extent.logical);
    }
    if extent.flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC) != 0 {
        return Ok(None);
    }
    let Some(end) = extent.logical.checked_add(extent.length) else {
        return Ok(None);
    };
    if end <= offset {
        return Ok(None);
    }
    let on_disk = extent.physical.wrapping_add(offset - extent.logical);
    let written = extent.flags & FIEMAP_EXTENT_UNWRITTEN == 0;
    Ok(Some(MappedBytes {
        on_disk: written.then_some(on_disk),
        end,
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_request_is_the_kernels() {
        assert_eq!(FS_IOC_FIEMAP as u32, 0xc020_660b);
        assert_eq!(size_of::<MapExtent>(), 56);
    }

    /// Filesystems that do not tell say so.
    #[test]
    fn a_file_with_a_hole() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 1 << 20]).unwrap();
        file.set_len(8 << 20).unwrap();
        if let Ok(Some(start)) = mapped_at(&file, 0, 8 << 20) {
            assert!(start.on_disk.is_some() && start.end <= 1 << 20, "{start:?}");
            let hole = mapped_at(&file, 4 << 20, 5 << 20).unwrap().unwrap();
            assert_eq!((hole.on_disk, hole.end), (None, 5 << 20));
        }
        assert!(mapped_at(&File::open("/dev/null").unwrap(), 0, 1).is_err());
    }
}
