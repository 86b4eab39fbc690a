//! Where data comes from.

#[cfg(feature = "hub")]
use std::sync::Arc;
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{KnownExtents, sys::window::Window};
#[cfg(feature = "hub")]
use crate::remote::FetchError;
use model_disk::{
    BackingFile, BackingKind, Escaped, ExitCode, FileError, FileStamp, HasExitCode, ReadAt as _,
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

    /// The bytes from `offset` on without a copy, if all of them are in the page cache. They may change while they are looked at, as any that are read:
    /// [`Source::check_unchanged`] tells what can be told.
    fn cached(&self, _offset: u64, _length: usize) -> Option<Window> {
        None
    }

    /// What is known without reading of the bytes from `offset` (below [`Source::bytes`]) on.
    fn extent_at(&self, _offset: u64) -> Result<Extent, SourceError> {
        Ok(Extent {
            zeros: false,
            end: self.bytes(),
        })
    }

    /// Called when it will not be read to its end: whoever waits for bytes gets an error.
    fn give_up(&self) {}

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
    /// It could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system call failed.
    #[error("cannot read {} at byte {offset}", Escaped::path(path))]
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
        Escaped::path(path)
    )]
    Ended {
        /// What ended.
        path: PathBuf,
        /// Where, in bytes.
        end: u64,
        /// Where it should.
        expected: u64,
    },
    /// It was written to, or something else has taken its place.
    #[error(
        "{} changed while it was read: try again when nothing writes to it",
        Escaped::path(.0)
    )]
    Changed(PathBuf),
    /// It is not on this machine, and did not come.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Fetch(#[from] Arc<FetchError>),
    /// There are more or fewer bytes than there were.
    #[error(
        "{} changed from {expected} to {found} bytes while it was read",
        Escaped::path(path)
    )]
    Resized {
        /// What changed.
        path: PathBuf,
        /// How long it was.
        expected: u64,
        /// How long it is.
        found: u64,
    },
}

impl HasExitCode for SourceError {
    fn exit_code(&self) -> ExitCode {
        match self {
            #[cfg(feature = "hub")]
            Self::Fetch(error) => error.exit_code(),
            _ => ExitCode::Failure,
        }
    }
}

/// The first bytes of a regular file or block device.
#[derive(Debug)]
pub struct FileSource<'a> {
    file: &'a File,
    path: &'a Path,
    bytes: u64,
    file_bytes: Option<u64>,
    stamp: Option<FileStamp>,
    known: KnownExtents,
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
            stamp: None,
            known: KnownExtents::default(),
        }
    }

    /// The first `bytes` bytes of an open file, as long as nobody writes to it.
    pub fn of(file: &'a BackingFile, bytes: u64) -> Self {
        let source = Self::of_length(file, bytes, file.bytes());
        match file.kind() {
            BackingKind::File => source.unchanged_since(file.stamp()),
            // That of the node, which writing to the device does not change.
            BackingKind::BlockDevice(_) => source,
        }
    }

    /// The first `bytes` bytes of a file that this program writes to, after what it reads, and has
    /// brought to `file_bytes` bytes.
    pub fn of_length(file: &'a BackingFile, bytes: u64, file_bytes: u64) -> Self {
        let file_bytes = (file.kind() == BackingKind::File).then_some(file_bytes);
        Self::new(file.file(), file.path(), bytes, file_bytes)
    }

    /// The same, of a file that must stay what it was when the stamp was taken.
    pub fn unchanged_since(self, stamp: FileStamp) -> Self {
        Self {
            stamp: Some(stamp),
            ..self
        }
    }

    /// As [`Source::extent_at`], with what is known of this file from before.
    pub fn extent_with(&self, known: &KnownExtents, offset: u64) -> Result<Extent, SourceError> {
        if self.file_bytes.is_none() {
            return Ok(self.data_to_the_end());
        }
        known.at(offset, |offset| self.ask(offset))
    }

    /// Only a regular file has holes, and not every filesystem tells them. One that was cut
    /// looks like a hole here, and is found out by [`Source::check_unchanged`].
    fn ask(&self, offset: u64) -> Result<Extent, SourceError> {
        if offset == 0 && self.has_all_blocks() {
            return Ok(self.data_to_the_end());
        }
        // This moves the file's own offset, which nothing here reads by.
        let seek = |whence| lseek(self.file, offset as i64, whence).map(|found| found as u64);
        let (zeros, end) = match seek(Whence::SeekData) {
            Ok(data) if data > offset => (true, data),
            Ok(_) => (false, seek(Whence::SeekHole).unwrap_or(self.bytes)),
            Err(Errno::ENXIO) => (true, self.bytes),
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(self.data_to_the_end()),
            Err(errno) => return Err(self.error(offset, errno.into())),
        };
        // Where the file changes between the two calls, they may answer anything.
        let end = end.min(self.bytes).max(offset + 1);
        Ok(Extent { zeros, end })
    }

    /// Whether there are blocks for all bytes of the file, so that it need not be asked for holes.
    /// Where those blocks are elsewhere, holes are read as any data.
    fn has_all_blocks(&self) -> bool {
        const BLOCK: u64 = 512;
        let metadata = self.file.metadata();
        metadata.is_ok_and(|metadata| metadata.blocks() >= metadata.len().div_ceil(BLOCK))
    }

    fn data_to_the_end(&self) -> Extent {
        Extent {
            zeros: false,
            end: self.bytes,
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

    #[expect(clippy::indexing_slicing, reason = "no more is read than is asked for")]
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

    fn cached(&self, offset: u64, length: usize) -> Option<Window> {
        Window::onto_cached(self.file, offset, length)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        self.extent_with(&self.known, offset)
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        let Some(expected) = self.file_bytes else {
            return Ok(());
        };
        let metadata = self.file.metadata().map_err(|error| self.error(0, error))?;
        let (found, path) = (metadata.len(), self.path.to_owned());
        if found != expected {
            return Err(SourceError::Resized {
                path,
                expected,
                found,
            });
        }
        let now = FileStamp::of(&metadata);
        if self.stamp.is_some_and(|before| before != now) {
            return Err(SourceError::Changed(path));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        time::{Duration, SystemTime},
    };

    use super::*;

    const PATH: &str = "data";

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn source(file: &File, bytes: u64) -> FileSource<'_> {
        FileSource::new(file, Path::new(PATH), bytes, Some(bytes))
    }

    #[test]
    fn reads_at_any_place() {
        let file = file(b"0123456789");
        let mut buf = [0; 4];
        source(&file, 10).read_exact_at(&mut buf, 6).unwrap();
        assert_eq!(buf, *b"6789");
        source(&file, 10).check_unchanged().unwrap();
    }

    #[test]
    fn a_file_that_was_cut_is_named() {
        let file = file(&[1; 100]);
        let source = source(&file, 100);
        file.set_len(60).unwrap();
        let error = source.read_exact_at(&mut [0; 50], 50).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data ends at byte 60, where 100 bytes were expected: it became shorter while it was \
             read"
        );
        let error = source.check_unchanged().unwrap_err();
        assert_eq!(
            error.to_string(),
            "data changed from 100 to 60 bytes while it was read"
        );
    }

    #[test]
    fn a_file_that_grew_is_named() {
        let file = file(&[1; 100]);
        let source = source(&file, 100);
        file.set_len(101).unwrap();
        assert!(matches!(
            source.check_unchanged(),
            Err(SourceError::Resized { found: 101, .. })
        ));
    }

    #[test]
    fn a_file_that_was_written_to_is_named() {
        let file = file(&[1; 100]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(at(7)).unwrap();
        let source = source(&file, 100).unchanged_since(FileStamp::of(&file.metadata().unwrap()));
        source.check_unchanged().unwrap();
        file.set_modified(at(8)).unwrap();
        assert_eq!(
            source.check_unchanged().unwrap_err().to_string(),
            "data changed while it was read: try again when nothing writes to it"
        );
    }

    #[test]
    fn a_failed_read_keeps_its_reason() {
        // A directory can be opened, and cannot be read.
        let directory = File::open("/").unwrap();
        let source = FileSource::new(&directory, Path::new("/"), 100, None);
        match source.read_exact_at(&mut [0; 1], 7) {
            Err(SourceError::Read {
                offset: 7, source, ..
            }) => {
                assert_eq!(source.raw_os_error(), Some(Errno::EISDIR as i32));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Holes are as large as the filesystem makes them; what is said to be one must be one, and
    /// the whole is covered.
    #[test]
    fn extents_cover_the_file_and_tell_the_truth() {
        let file = file(&[1; 4096]);
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&[2; 100], 1 << 20).unwrap();
        let source = source(&file, 4 << 20);
        let mut offset = 0;
        while offset < 4 << 20 {
            let Extent { zeros, end } = source.extent_at(offset).unwrap();
            assert!(end > offset && end <= 4 << 20);
            let mut bytes = vec![0; (end - offset) as usize];
            source.read_exact_at(&mut bytes, offset).unwrap();
            assert!(!zeros || bytes.iter().all(|byte| *byte == 0));
            offset = end;
        }
        // A source that is no regular file has no holes that it knows of.
        let device = FileSource::new(&file, Path::new(PATH), 4 << 20, None);
        let all = Extent {
            zeros: false,
            end: 4 << 20,
        };
        assert_eq!(device.extent_at(2 << 20).unwrap(), all);
    }

    /// Each stretch costs its system calls once, however many windows it is read in.
    #[test]
    fn an_extent_is_asked_for_once() {
        let file = file(&[1; 100]);
        let source = source(&file, 100);
        let all = source.extent_at(0).unwrap();
        // Whoever asked now would be told of a hole.
        file.set_len(0).unwrap();
        assert_eq!(source.extent_at(50).unwrap(), all);
    }
}
