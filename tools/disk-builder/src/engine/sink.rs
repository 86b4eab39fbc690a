//! Where finished blocks go.

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use dm_verity::HashArea;
use model_disk::Escaped;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};

use super::gather::Gather;

/// What is smaller is better gathered in the page cache.
const MIN_DIRECT: usize = 128 << 10;

/// Takes what the engine has finished, from many threads at a time, each place once.
pub trait Sink: Sync {
    /// Whether [`Sink::data`] does anything.
    fn takes_data(&self) -> bool {
        false
    }

    /// Takes data that has been read and hashed. Zeros that were known without reading are
    /// left out.
    fn data(&self, _offset: u64, _data: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }

    /// Takes hash blocks of the tree; `first` counts from the start of the tree.
    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError>;

    /// Called when all has been given: whatever is still held back is written.
    fn finish(&self) -> Result<(), SinkError>;
}

/// A write that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {} at byte {offset}", Escaped::path(path))]
pub struct SinkError {
    /// To what.
    pub path: PathBuf,
    /// Where, in bytes.
    pub offset: u64,
    /// Why.
    pub source: io::Error,
}

/// Keeps nothing: for the root hash alone.
#[derive(Clone, Copy, Debug)]
pub struct NullSink;

impl Sink for NullSink {
    fn hash_blocks(&self, _first: u64, _blocks: &[u8]) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Writes hash blocks to their place in a file or block device.
#[derive(Debug)]
pub struct FileSink<'a> {
    file: &'a File,
    path: &'a Path,
    area: HashArea,
    gather: Mutex<Gather>,
}

impl<'a> FileSink<'a> {
    /// The tree goes to `area` of `file`; `path` is for messages.
    pub fn new(file: &'a File, path: &'a Path, area: HashArea) -> Self {
        Self {
            file,
            path,
            area,
            gather: Mutex::default(),
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), SinkError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| SinkError {
                path: self.path.to_owned(),
                offset,
                source,
            })
    }
}

impl Sink for FileSink<'_> {
    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        let offset = self.area.block_offset(first);
        let mut gather = self.gather.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = gather.add(offset, blocks);
        drop(gather);
        match whole {
            Some((offset, bytes)) => self.write(offset, &bytes),
            None => Ok(()),
        }
    }

    fn finish(&self) -> Result<(), SinkError> {
        let mut gather = self.gather.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((offset, bytes)) = gather.take_next() {
            self.write(offset, &bytes)?;
        }
        Ok(())
    }
}

/// Writes the data too, to where it was in the source.
#[derive(Debug)]
pub struct ImageSink<'a> {
    file: FileSink<'a>,
    /// The same file, written past the page cache, where the filesystem can do that.
    direct: Option<File>,
    /// The kernel lets one thread at a time write to a file through the page cache, and the others
    /// spin. Those that wait here leave the processor to hashing.
    turn: Mutex<()>,
}

impl<'a> ImageSink<'a> {
    /// As [`FileSink::new`]; the data starts at byte 0.
    pub fn new(file: &'a File, path: &'a Path, area: HashArea) -> Self {
        Self {
            file: FileSink::new(file, path, area),
            direct: open_direct(file).ok(),
            turn: Mutex::new(()),
        }
    }
}

/// Opens an open file once more, so that the first one can still be written as any other.
fn open_direct(file: &File) -> io::Result<File> {
    File::options()
        .write(true)
        .custom_flags(OFlag::O_DIRECT.bits())
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

impl Sink for ImageSink<'_> {
    fn takes_data(&self) -> bool {
        true
    }

    fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
        // No copy, no waiting for other threads, and nothing left to sync in the end. Where the
        // kernel wants another alignment it says so, and nothing is lost.
        if let Some(direct) = &self.direct
            && data.len() >= MIN_DIRECT
            && direct.write_all_at(data, offset).is_ok()
        {
            return Ok(());
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.write(offset, data)?;
        drop(turn);
        // Starts writing to the disk now; or else the kernel waits until memory is full of what is
        // to be written, and all wait for that in the end. It is advice, so errors do not matter.
        let _ = posix_fadvise(
            self.file.file,
            offset as i64,
            data.len() as i64,
            PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        );
        Ok(())
    }

    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        self.file.hash_blocks(first, blocks)
    }

    fn finish(&self) -> Result<(), SinkError> {
        self.file.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dm_verity::{BlockSize, HashAlgorithm, Salt, VerityParams};
    use model_disk::AlignedBuffer;

    use super::*;

    /// Large and small, aligned and not, past the page cache and through it.
    #[test]
    fn data_goes_to_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let file = File::create(&path).unwrap();
        let size = BlockSize::DEFAULT;
        let salt = Salt::default();
        let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 1024, salt).unwrap();
        let area = HashArea::new(&params, 4 << 20, true).unwrap();
        let sink = ImageSink::new(&file, &path, area);

        let mut expected = vec![0; (4 << 20) + 8192];
        let mut buffer = AlignedBuffer::default();
        for (byte, (offset, length)) in [
            (0, 1 << 20),
            (1 << 20, 4096),
            (2 << 20, 512),
            (3 << 20, 1 << 20),
        ]
        .into_iter()
        .zip(1..)
        .map(|(piece, byte)| (byte, piece))
        {
            buffer.bytes(length).fill(byte);
            sink.data(offset as u64, buffer.bytes(length)).unwrap();
            expected[offset..offset + length].fill(byte);
        }
        // Memory that does not start at a page.
        let unaligned = &buffer.bytes((1 << 20) + 1)[1..];
        expected[2 << 20..3 << 20].copy_from_slice(unaligned);
        sink.data(2 << 20, unaligned).unwrap();
        sink.hash_blocks(0, &[9; 4096]).unwrap();
        sink.finish().unwrap();
        expected[(4 << 20) + 4096..].fill(9);
        assert!(fs::read(path).unwrap() == expected);
    }
}
