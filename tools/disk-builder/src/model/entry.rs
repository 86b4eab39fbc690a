//! What a name in a directory of a model leads to.

use std::{
    ffi::OsStr,
    fs::{File, FileType, Metadata},
    io,
    os::unix::fs::{FileExt, FileTypeExt},
    path::Path,
};

use model_disk::{Escaped, FileError, FileStamp};
use rustix::io::Errno;

use super::{
    ReadError, ScanError,
    opened::{hold, hold_no_follow, link_text, open_no_link, read_held, true_path},
    places::Places,
};

/// The first line of what Git LFS keeps in the place of a file, by its specification.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// The specification again: a pointer is smaller than this, in bytes.
const MAX_LFS_POINTER: usize = 1024;

/// What a name leads to.
pub(super) struct ScanEntry {
    /// Whether it is a symbolic link.
    pub(super) is_link: bool,
    pub(super) kind: EntryKind,
}

/// Of which kind it is.
pub(super) enum EntryKind {
    File {
        stamp: FileStamp,
        is_lfs_pointer: bool,
    },
    Directory {
        stamp: FileStamp,
    },
    /// It is not the model's.
    Outside {
        /// Where it is, escaped.
        leads_to: String,
    },
    /// Nothing that goes onto a disk.
    Special {
        kind: &'static str,
    },
}

impl ScanEntry {
    /// Looks at a name in an open `directory`, which the directory says is `plain`: a regular file.
    /// A file is opened, so that one that cannot be read is found now and not hours into a build.
    /// `path` is that of the directory, for messages.
    pub(super) fn look_at(
        directory: &File,
        name: &OsStr,
        plain: bool,
        path: &Path,
        places: &Places,
    ) -> Result<Self, ScanError> {
        let path = path.join(name);
        // The usual case by one system call less.
        if plain && let Some(file) = open_plain(directory, name, &path)? {
            let metadata = metadata(&file, &path)?;
            if metadata.is_file() {
                return Ok(Self {
                    is_link: false,
                    kind: EntryKind::of_file(&file, &metadata, &path)?,
                });
            }
        }
        let held = hold_no_follow(directory, name).map_err(FileError::new("read", &path))?;
        let held_metadata = metadata(&held, &path)?;
        if !held_metadata.is_symlink() {
            return Ok(Self {
                is_link: false,
                kind: EntryKind::of(&held, &held_metadata, &path)?,
            });
        }
        let link = held;
        let held = hold(directory, name).map_err(|error| broken(error, &link, &path))?;
        let place = true_path(&held).map_err(FileError::new("find the true path of", &path))?;
        let kind = if places.hold(&place) {
            EntryKind::of(&held, &metadata(&held, &path)?, &path)?
        } else {
            let leads_to = Escaped::path(&place).to_string();
            EntryKind::Outside { leads_to }
        };
        Ok(Self {
            is_link: true,
            kind,
        })
    }
}

impl EntryKind {
    /// That of what is held.
    fn of(held: &File, metadata: &Metadata, path: &Path) -> Result<Self, ScanError> {
        if metadata.is_dir() {
            let stamp = FileStamp::of(metadata);
            Ok(Self::Directory { stamp })
        } else if metadata.is_file() {
            let file = read_held(held).map_err(FileError::new("open", path))?;
            Self::of_file(&file, metadata, path)
        } else {
            let kind = special(metadata.file_type());
            Ok(Self::Special { kind })
        }
    }

    fn of_file(file: &File, metadata: &Metadata, path: &Path) -> Result<Self, ScanError> {
        let stamp = FileStamp::of(metadata);
        let bytes = stamp.bytes();
        let mut buffer = [0; MAX_LFS_POINTER];
        // All of a small file; of others one byte after the end, which must not be there.
        let (from, expected) = match buffer.get(..=bytes as usize) {
            Some(_) => (0, bytes as usize),
            None => (bytes, 0),
        };
        let read = read_at(file, &mut buffer, from).map_err(FileError::new("read", path))?;
        if read > expected {
            let path = path.to_owned();
            return Err(ReadError::NoSize { path, bytes }.into());
        }
        Ok(Self::File {
            stamp,
            is_lfs_pointer: from == 0 && buffer.starts_with(LFS_POINTER),
        })
    }
}

/// Reads once, as much as there is up to the end of the buffer.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Opens a file; nothing, where it is a link after all.
fn open_plain(directory: &File, name: &OsStr, path: &Path) -> Result<Option<File>, FileError> {
    match open_no_link(directory, name) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => Ok(None),
        opened => opened.map(Some).map_err(FileError::new("open", path)),
    }
}

fn metadata(file: &File, path: &Path) -> Result<Metadata, FileError> {
    file.metadata().map_err(FileError::new("read", path))
}

/// Why a link leads nowhere.
fn broken(error: io::Error, link: &File, path: &Path) -> ScanError {
    let target = match link_text(link) {
        Ok(target) => target,
        Err(error) => return FileError::new("read", path)(error).into(),
    };
    let (link, source) = (path.to_owned(), error);
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT | Errno::NOTDIR) => ScanError::DanglingLink {
            link,
            target,
            source,
        },
        Some(Errno::LOOP) => ScanError::LinkLoop {
            link,
            target,
            source,
        },
        _ => FileError::new("read", &link)(source).into(),
    }
}

fn special(file_type: FileType) -> &'static str {
    if file_type.is_fifo() {
        "named pipe"
    } else if file_type.is_socket() {
        "socket"
    } else if file_type.is_block_device() {
        "block device"
    } else if file_type.is_char_device() {
        "character device"
    } else {
        "special file"
    }
}
