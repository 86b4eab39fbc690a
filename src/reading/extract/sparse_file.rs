//! A file that threads write, each its own part of it.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Mutex, PoisonError},
};

use rustix::fs::{FallocateFlags, fallocate};

/// Zeros of this size, where such a piece of a file starts, become a hole.
const HOLE_BYTES: usize = 64 << 10;

/// What is smaller is better gathered in the page cache.
pub(super) const MIN_DIRECT: usize = 128 << 10;

/// What is written past the page cache starts and ends at a multiple of this, in bytes.
const DIRECT_ALIGNMENT: usize = 4096;

/// A file that is new, all zeros and as long as it is going to be.
pub(super) struct SparseFile {
    file: File,
    /// The same file, written past the page cache, where the filesystem can do that.
    direct: Option<File>,
    /// The kernel lets one thread at a time write to a file through the page cache, and the others
    /// spin. Those that wait here leave the processor to hashing.
    turn: Mutex<()>,
}

/// A part of it, which one thread writes from start to end.
pub(super) struct SparsePart<'a> {
    file: &'a SparseFile,
    range: Range<u64>,
    reserved: bool,
}

impl SparseFile {
    pub(super) fn new(file: File, direct: Option<File>) -> Self {
        Self {
            file,
            direct,
            turn: Mutex::new(()),
        }
    }

    /// A part of it; two threads have two that do not meet.
    pub(super) fn part(&self, range: Range<u64>) -> SparsePart<'_> {
        SparsePart {
            file: self,
            range,
            reserved: false,
        }
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let whole = bytes.len() / DIRECT_ALIGNMENT * DIRECT_ALIGNMENT;
        // No copy, no waiting for other threads, and nothing left to sync in the end. Where the kernel
        // wants another alignment it says so, and nothing is lost.
        if let Some(direct) = &self.direct
            && whole >= MIN_DIRECT
            && let Some((first, rest)) = bytes.split_at_checked(whole)
            && direct.write_all_at(first, offset).is_ok()
        {
            return self.write_cached(rest, offset + whole as u64);
        }
        self.write_cached(bytes, offset)
    }

    fn write_cached(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write_all_at(bytes, offset)
    }
}

impl SparsePart<'_> {
    /// Writes what comes next, but for long runs of zeros.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Zero, and each byte like the one before: compared by vectors, with no zeros kept for it.
        let is_hole = |piece: &[u8]| match piece.split_first() {
            Some((first, rest)) => *first == 0 && piece.starts_with(rest),
            None => true,
        };
        let pieces: Vec<&[u8]> = bytes.chunks(HOLE_BYTES).collect();
        let mut rest = bytes;
        for run in pieces.chunk_by(|a, b| is_hole(a) == is_hole(b)) {
            let length: usize = run.iter().map(|piece| piece.len()).sum();
            let (now, later) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let start = self.range.start;
            if run.first().is_some_and(|piece| is_hole(piece)) {
                self.leave_hole(start..start + length as u64);
            } else {
                self.reserve();
                self.file.write(now, start)?;
            }
            self.range.start += length as u64;
            rest = later;
        }
        Ok(())
    }

    /// Asks for the blocks of all that is left of it: threads that write past the page cache would wait
    /// for each other where blocks are still to be found. Where that cannot be had, they do.
    fn reserve(&mut self) {
        if self.file.direct.is_some() && !self.reserved {
            self.reserved = true;
            self.allocate(FallocateFlags::KEEP_SIZE, &self.range);
        }
    }

    /// Gives back the blocks of a hole, if any were asked for.
    fn leave_hole(&self, range: Range<u64>) {
        if self.reserved {
            self.allocate(
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                &range,
            );
        }
    }

    /// What has to be there is written; this changes how fast, and how much room it takes.
    fn allocate(&self, flags: FallocateFlags, range: &Range<u64>) {
        let _ = fallocate(&self.file.file, flags, range.start, range.end - range.start);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    use model_disk::AlignedBuffer;
    use rustix::fs::{Mode, OFlags, open};
    use tempfile::NamedTempFile;

    use super::*;

    fn new_file(bytes: usize) -> (NamedTempFile, File) {
        let named = NamedTempFile::new().unwrap();
        let file = named.reopen().unwrap();
        file.set_len(bytes as u64).unwrap();
        (named, file)
    }

    /// None on a filesystem that has no such way.
    fn direct(path: &Path) -> Option<File> {
        let opened = open(path, OFlags::WRONLY | OFlags::DIRECT, Mode::empty());
        opened.ok().map(File::from)
    }

    /// Past the page cache and through it, and where both are the same.
    #[test]
    fn zeros_become_holes() {
        let mut buffer = AlignedBuffer::default();
        let bytes = buffer.bytes(40 * HOLE_BYTES + 100);
        bytes.fill(0);
        bytes[HOLE_BYTES + 5] = 1;
        bytes[2 * HOLE_BYTES..3 * HOLE_BYTES].fill(2);
        bytes[10 * HOLE_BYTES..20 * HOLE_BYTES].fill(3);
        bytes[39 * HOLE_BYTES..].fill(4);
        for is_direct in [false, true] {
            let (named, file) = new_file(bytes.len());
            let direct = is_direct.then(|| direct(named.path())).flatten();
            let file = SparseFile::new(file, direct);
            let middle = 16 * HOLE_BYTES;
            for range in [middle..bytes.len(), 0..middle] {
                let mut part = file.part(range.start as u64..range.end as u64);
                for piece in bytes[range].chunks(5 * HOLE_BYTES) {
                    part.write(piece).unwrap();
                }
            }
            assert!(fs::read(named.path()).unwrap() == bytes, "{is_direct}");
            let blocks = file.file.metadata().unwrap().blocks();
            assert!(
                blocks * 512 <= 14 * HOLE_BYTES as u64,
                "{is_direct}: {blocks}"
            );
        }
    }

    /// A filesystem may want another alignment of memory, or fail what goes past the page cache: here,
    /// none of it can be written so.
    #[test]
    fn what_cannot_be_written_directly_is_written_all_the_same() {
        let bytes = vec![7; 3 * MIN_DIRECT];
        let (named, file) = new_file(bytes.len());
        let direct = File::open(named.path()).unwrap();
        let file = SparseFile::new(file, Some(direct));
        file.part(0..bytes.len() as u64).write(&bytes).unwrap();
        assert!(fs::read(named.path()).unwrap() == bytes);
    }
}
