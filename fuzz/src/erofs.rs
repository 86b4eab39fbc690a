//! The walk over an EROFS image.

use std::{cell::Cell, io};

use model_disk::erofs::{self, ErofsSuperblock, MAX_NAME_SIZE, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};

/// How many reads an image gets: enough for any shape that fits into a fuzzer's input. A walk has a
/// limit of its own, which takes too long to come to here.
const MAX_READS: usize = 250;

/// Takes an image without its first 1024 bytes, which mean nothing.
pub fn run(bytes: &[u8]) {
    let reads = Cell::new(0);
    let read = |buffer: &mut [u8], offset: u64| -> io::Result<()> {
        reads.set(reads.get() + 1);
        if reads.get() > MAX_READS {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let start = offset.checked_sub(SUPERBLOCK_OFFSET).map(usize::try_from);
        let read = match start {
            Some(Ok(start)) => bytes.get(start..).and_then(|rest| rest.get(..buffer.len())),
            _ => None,
        };
        buffer.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    };
    let superblock = bytes
        .first_chunk::<SUPERBLOCK_SIZE>()
        .and_then(|raw| ErofsSuperblock::parse(raw).ok());
    let mut visited = 0;
    let result = erofs::walk(read, |entry| {
        visited += 1;
        let end = superblock.map_or(0, |superblock| superblock.bytes());
        for data in entry.node.flat_data().into_iter().flatten() {
            assert!(data.start <= data.end && (data.is_empty() || data.end <= end));
        }
        // Those before the last were each the last of a directory that was visited before.
        let name = entry.path.rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default();
        assert!(entry.path.is_empty() || !name.is_empty());
        assert!(name.len() <= MAX_NAME_SIZE && !name.contains(&0));
        assert!(entry.path.len() < 4096);
    });
    assert!(superblock.is_some() || result.is_err());
    assert!(visited > 0 || result.is_err());

    reads.set(0);
    if let Ok(found) = erofs::paths_in(read, 0..u64::MAX) {
        assert!(found.paths.len() <= visited);
    }
}
