//! Space for an image that is to be written.

use std::{fs::File, ops::Range, path::Path};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};

use model_disk::FileError;

use super::{BuildError, shared_parts::SharedParts};
use crate::engine::{HashTreeError, Source, SourceError};

/// Has the filesystem set aside what is going to be written, so that a full disk is found out
/// before hours of work: the data of `source`, at its place, but for what is `shared`, and `tree`.
/// Known zeros stay holes and need no space. Where the filesystem cannot do that, it is not done. `path` is for messages.
pub(super) fn preallocate(
    file: &File,
    path: &Path,
    source: &dyn Source,
    shared: &SharedParts,
    tree: Range<u64>,
) -> Result<(), BuildError> {
    for range in data(source).chain([Ok(tree)]) {
        let pieces = shared.cut(range.map_err(HashTreeError::from)?);
        for (piece, _) in pieces.filter(|(_, shared)| !shared) {
            match allocate(file, FallocateFlags::empty(), piece) {
                Ok(()) => {}
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(()),
                Err(errno) => return Err(FileError::new("reserve space for", path)(errno).into()),
            }
        }
    }
    Ok(())
}

/// `fallocate`, whatever signals come.
pub(super) fn allocate(file: &File, flags: FallocateFlags, bytes: Range<u64>) -> Result<(), Errno> {
    // Sizes are below 2^45.
    let (offset, length) = (bytes.start as i64, (bytes.end - bytes.start) as i64);
    loop {
        match fallocate(file, flags, offset, length) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// The stretches of data, those that touch joined.
fn data(source: &dyn Source) -> impl Iterator<Item = Result<Range<u64>, SourceError>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let mut found: Option<Range<u64>> = None;
        while offset < source.bytes() {
            let extent = match source.extent_at(offset) {
                Ok(extent) => extent,
                Err(error) => return Some(Err(error)),
            };
            let start = offset;
            offset = extent.end;
            match &mut found {
                Some(_) if extent.zeros => break,
                None if extent.zeros => {}
                Some(range) => range.end = extent.end,
                None => found = Some(start..extent.end),
            }
        }
        found.map(Ok)
    })
}
