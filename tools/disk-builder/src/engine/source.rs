//! Where data comes from.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};

/// Bytes that can be read at any place, by many threads at a time.
pub trait Source: Sync {
    /// How many bytes there are.
    fn bytes(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError>;

    /// What is known without reading of the bytes from `offset` (below [`Source::bytes`]) on.
    fn extent_at(&self, _offset: u64) -> Result<Extent, SourceError> {
        Ok(Extent {
            zeros: false,
            end: self.bytes(),
        })
    }

    /// Called when all has been read: an error where the source is not what it was.
    fn check_unchanged(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

/// A stretch of a source of which one thing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// All of it is zeros, and need not be read.
    pub zeros: bool,
    /// Where it ends, in bytes from the start of the source; after where it was asked for.
    pub end: u64,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system call failed.
    #[error("cannot read {} at byte {offset}", path.display())]
    Read {
        /// Of what.
        path: PathBuf,
        /// Where, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// There are fewer bytes than there were.
    #[error(
        "{} ends at byte {end}, where {expected} bytes were expected: it became shorter while it \
         was read",
        path.display()
    )]
    Ended {
        /// What ended.
        path: PathBuf,
        /// Where, in bytes.
        end: u64,
        /// Where it should.
        expected: u64,
    },
    /// There are more or fewer bytes than there were.
    #[error("{} changed from {expected} to {found} bytes while it was read", path.display())]
    Resized {
        /// What changed.
        path: PathBuf,
        /// How long it was.
        expected: u64,
        /// How long it is.
        found: u64,
    },
}

/// The first bytes of a regular file or block device.
#[derive(Debug)]
pub struct FileSource<'a> {
    file: &'a File,
    path: &'a Path,
    bytes: u64,
    file_bytes: Option<u64>,
}

impl<'a> FileSource<'a> {
    /// The first `bytes` bytes of `file`. `path` is for messages. `file_bytes` is the length
    /// that the file must have in the end, where it is a regular file.
    pub fn new(file: &'a File, path: &'a Path, bytes: u64, file_bytes: Option<u64>) -> Self {
        Self {
            file,
            path,
            bytes,
            file_bytes,
        }
    }

    fn error(&self, offset: u64, source: io::Error) -> SourceError {
        SourceError::Read {
            path: self.path.to_owned(),
            offset,
            source,
        }
    }
}

impl Source for FileSource<'_> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let mut done = 0;
        while done < buf.len() {
            let here = offset + done as u64;
            match self.file.read_at(&mut buf[done..], here) {
                Ok(0) => {
                    return Err(SourceError::Ended {
                        path: self.path.to_owned(),
                        end: here,
                        expected: self.bytes,
                    });
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(here, error)),
            }
        }
        Ok(())
    }

    /// Only a regular file has holes, and not every filesystem tells them. One that was cut
    /// looks like a hole here, and is found out by [`Source::check_unchanged`].
    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        // This moves the file's own offset, which nothing here reads by.
        let seek = |whence| lseek(self.file, offset as i64, whence).map(|found| found as u64);
        let (zeros, end) = match self.file_bytes.map(|_| seek(Whence::SeekData)) {
            Some(Ok(data)) if data > offset => (true, data),
            Some(Ok(_)) => (false, seek(Whence::SeekHole).unwrap_or(self.bytes)),
            Some(Err(Errno::ENXIO)) => (true, self.bytes),
            Some(Err(Errno::EINVAL | Errno::EOPNOTSUPP)) | None => (false, self.bytes),
            Some(Err(errno)) => return Err(self.error(offset, errno.into())),
        };
        // Where the file changes between the two calls, they may answer anything.
        let end = end.min(self.bytes).max(offset + 1);
        Ok(Extent { zeros, end })
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        let Some(expected) = self.file_bytes else {
            return Ok(());
        };
        let found = self
            .file
            .metadata()
            .map_err(|error| self.error(0, error))?
            .len();
        if found == expected {
            return Ok(());
        }
        Err(SourceError::Resized {
            path: self.path.to_owned(),
            expected,
            found,
        })
    }
}
