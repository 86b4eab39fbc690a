//! Where finished blocks go.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use disk_mounter::verity::HashArea;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

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
}

/// A write that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to {} at byte {offset}", path.display())]
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
}

/// Writes hash blocks to their place in a file or block device.
#[derive(Debug)]
pub struct FileSink<'a> {
    file: &'a File,
    path: &'a Path,
    area: HashArea,
}

impl<'a> FileSink<'a> {
    /// The tree goes to `area` of `file`; `path` is for messages.
    pub fn new(file: &'a File, path: &'a Path, area: HashArea) -> Self {
        Self { file, path, area }
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
        self.write(self.area.block_offset(first), blocks)
    }
}

/// Writes the data too, to where it was in the source.
#[derive(Debug)]
pub struct ImageSink<'a> {
    file: FileSink<'a>,
    /// The kernel lets one thread at a time write to a file, and the others spin. Those that wait
    /// here leave the processor to hashing.
    turn: Mutex<()>,
}

impl<'a> ImageSink<'a> {
    /// As [`FileSink::new`]; the data starts at byte 0.
    pub fn new(file: &'a File, path: &'a Path, area: HashArea) -> Self {
        Self {
            file: FileSink::new(file, path, area),
            turn: Mutex::new(()),
        }
    }
}

impl Sink for ImageSink<'_> {
    fn takes_data(&self) -> bool {
        true
    }

    fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
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
}
