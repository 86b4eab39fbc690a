//! The filesystem of a disk, read only where it has been verified.

use std::{io, ops::Range, os::unix::fs::FileExt};

use model_disk::{
    BackingFile, Disk,
    erofs::{ErofsError, Walk},
};

use crate::engine::Findings;

/// What is in the way of reading a filesystem.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnverifiedRead {
    #[error("there is more corruption than can be told")]
    Incomplete,
    #[error("the filesystem's metadata is corrupt at byte {0}")]
    Corrupt(u64),
}

/// Reads from a place what has been verified.
pub(super) type ReadVerified<'a> = Box<dyn FnMut(&mut [u8], u64) -> io::Result<()> + 'a>;

/// A disk whose blocks have been verified but for some.
pub(in super::super) struct VerifiedFilesystem<'a> {
    image: &'a BackingFile,
    data_bytes: u64,
    /// What is not as it should be, in bytes: in order, and none touches another.
    bad: Vec<Range<u64>>,
    incomplete: bool,
}

impl<'a> VerifiedFilesystem<'a> {
    pub(in super::super) fn new(disk: &'a Disk, findings: &Findings) -> Self {
        let size = disk.params().data_block_size().bytes();
        let blocks = findings.corrupt_data.iter();
        let mut bad: Vec<Range<u64>> = blocks
            .chain(&findings.unverifiable_data)
            .map(|blocks| blocks.start * size..blocks.end * size)
            .collect();
        // Data under a corrupt hash block is never told as corrupt itself, so none overlap.
        bad.sort_unstable_by_key(|range| range.start);
        Self {
            image: disk.data_file(),
            data_bytes: disk.params().data_bytes(),
            bad,
            incomplete: findings.incomplete,
        }
    }

    /// Starts a walk over the EROFS filesystem. An error, then or later, where its metadata is not
    /// verified.
    pub(super) fn walk(&self) -> Result<Walk<ReadVerified<'_>>, ErofsError> {
        Walk::new(Box::new(|buffer, offset| self.read(buffer, offset)))
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.incomplete {
            return Err(io::Error::other(UnverifiedRead::Incomplete));
        }
        let end = offset.checked_add(buffer.len() as u64);
        let Some(end) = end.filter(|end| *end <= self.data_bytes) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let bad = overlapping(&self.bad, &(offset..end)).next();
        match bad.and_then(|bad| self.bad.get(bad)) {
            Some(bad) => Err(io::Error::other(UnverifiedRead::Corrupt(bad.start))),
            None => self.image.file().read_exact_at(buffer, offset),
        }
    }
}

/// Which of the ranges, which are in order and apart, share something with one; by their places.
pub(super) fn overlapping(ranges: &[Range<u64>], one: &Range<u64>) -> Range<usize> {
    let first = ranges.partition_point(|range| range.end <= one.start);
    let end = ranges.partition_point(|range| range.start < one.end);
    first..end.max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap() {
        let ranges = [2..4, 4..5, 8..9];
        for (one, expected) in [
            (0..2, 0..0),
            (0..3, 0..1),
            (3..5, 0..2),
            (5..8, 2..2),
            (0..100, 0..3),
            (9..10, 3..3),
            (4..4, 1..1),
        ] {
            assert_eq!(overlapping(&ranges, &one), expected, "{one:?}");
        }
    }
}
