//! A directory of this machine, compared with a disk.

use std::{
    ffi::OsStr,
    fmt, io,
    num::NonZero,
    ops::Range,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    sync::Arc,
};

use model_disk::{
    Progress,
    erofs::{ErofsKind, ErofsNode},
};
use rustix::fs::{FileType, Stat, readlinkat};

use super::{
    ReadingError, VerifiedFiles,
    extract::link_target,
    jobs::{JobQueue, run_jobs},
    parts::{BUFFER_BYTES, parts},
    selection::Selection,
    tree::{DIRECTORY_MODE, FILE_MODE, OwnTree},
};

/// How something in a directory differs from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// It is on the disk alone.
    Missing,
    /// It is in the directory alone.
    Extra,
    /// It is a directory, a file or a link, and on the disk another of these.
    Kind,
    /// It has other permissions than what is extracted.
    Mode {
        /// Those that it has.
        found: u32,
        /// Those that it should have.
        expected: u32,
    },
    /// It is longer or shorter.
    Size {
        /// How many bytes it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// It has other bytes.
    Bytes {
        /// Where the first one of them is.
        first: u64,
    },
    /// It is a link to another place.
    Target,
}

/// What can follow a path.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Extra => f.write_str("is not on the disk"),
            Self::Kind => f.write_str("is of another type than on the disk"),
            Self::Mode { found, expected } => {
                write!(f, "has permissions {found:04o}, and not {expected:04o}")
            }
            Self::Size { found, expected } => {
                write!(f, "has {found} bytes, and {expected} on the disk")
            }
            Self::Bytes { first } => write!(f, "differs from the disk, first at byte {first}"),
            Self::Target => f.write_str("is a link to another place than on the disk"),
        }
    }
}

/// What is compared with what.
pub(super) struct TreeComparison<'a> {
    pub(super) files: &'a VerifiedFiles,
    pub(super) selection: &'a Selection,
    pub(super) tree: &'a OwnTree,
    pub(super) threads: NonZero<usize>,
    pub(super) progress: &'a Progress,
}

/// Who is told of differences, each with its path.
pub(super) type TellDifference<'a> = &'a (dyn Fn(&[u8], Difference) + Sync);

/// A part of a file that is to be compared.
struct ComparedPart {
    path: Arc<[u8]>,
    node: Arc<ErofsNode>,
    range: Range<u64>,
}

impl TreeComparison<'_> {
    /// Tells every difference, in no order: of the bytes of a file one in each part of it.
    pub(super) fn run(&self, tell: TellDifference<'_>) -> Result<(), ReadingError> {
        run_jobs(
            self.threads,
            || [(); 2].map(|()| vec![0; BUFFER_BYTES]),
            |buffers, part| self.part(&part, buffers, tell),
            |queue| {
                if self.selection.is_all() {
                    let top = self.files.view.root();
                    let top = top.map_err(|error| self.files.failed(error))?;
                    self.extras(b"", &top, tell)?;
                }
                self.selection
                    .visit(self.files, |path, node| self.entry(path, node, queue, tell))
            },
        )
    }

    /// Compares what is known of something without its bytes, and has these compared.
    fn entry(
        &self,
        path: &[u8],
        node: &ErofsNode,
        queue: &JobQueue<'_, ComparedPart>,
        tell: TellDifference<'_>,
    ) -> Result<bool, ReadingError> {
        let Some(found) = self.tree.look(path)? else {
            tell(path, Difference::Missing);
            self.skip(node);
            return Ok(true);
        };
        match (FileType::from_raw_mode(found.st_mode), node.kind()) {
            (FileType::Directory, ErofsKind::Directory) => {
                compare_mode(path, &found, DIRECTORY_MODE, tell);
                self.extras(path, node, tell)?;
            }
            (FileType::Symlink, ErofsKind::Link) => {
                let target = link_target(self.files, path, node)?;
                if self.own_target(path)? != target {
                    tell(path, Difference::Target);
                }
            }
            (FileType::RegularFile, ErofsKind::File) => {
                compare_mode(path, &found, FILE_MODE, tell);
                let (found, expected) = (found.st_size.cast_unsigned(), node.size());
                if found != expected {
                    tell(path, Difference::Size { found, expected });
                    self.progress.advance(expected);
                    return Ok(true);
                }
                let (path, node) = (Arc::from(path), Arc::new(node.clone()));
                return Ok(parts(expected).all(|range| {
                    queue.add(ComparedPart {
                        path: Arc::clone(&path),
                        node: Arc::clone(&node),
                        range,
                    })
                }));
            }
            _ => {
                tell(path, Difference::Kind);
                self.skip(node);
            }
        }
        Ok(true)
    }

    /// Nothing of this is read.
    fn skip(&self, node: &ErofsNode) {
        if node.kind() == ErofsKind::File {
            self.progress.advance(node.size());
        }
    }

    /// Tells what a directory has that its directory of the disk has not.
    fn extras(
        &self,
        path: &[u8],
        node: &ErofsNode,
        tell: TellDifference<'_>,
    ) -> Result<(), ReadingError> {
        for name in self.tree.names(path)? {
            let name = name?;
            let found = self.files.view.lookup(node, &name);
            if found.map_err(|error| self.files.failed(error))?.is_none() {
                let path = if path.is_empty() {
                    name
                } else {
                    [path, &*name].join(&b'/')
                };
                tell(&path, Difference::Extra);
            }
        }
        Ok(())
    }

    fn own_target(&self, path: &[u8]) -> Result<Vec<u8>, ReadingError> {
        let target = self.tree.parent(path).and_then(|(directory, name)| {
            readlinkat(directory, OsStr::from_bytes(name), Vec::new())
        });
        let target = target.map_err(self.tree.failed("read the link", path))?;
        Ok(target.into_bytes())
    }

    /// Compares a part of a file.
    fn part(
        &self,
        part: &ComparedPart,
        [on_disk, own]: &mut [Vec<u8>; 2],
        tell: TellDifference<'_>,
    ) -> Result<(), ReadingError> {
        let file = self.tree.open_file(&part.path)?;
        let mut offset = part.range.start;
        while offset < part.range.end {
            let length = (part.range.end - offset).min(BUFFER_BYTES as u64) as usize;
            on_disk.resize(length, 0);
            own.resize(length, 0);
            let read = self.files.view.read(&part.node, on_disk, offset);
            read.map_err(|error| self.files.file_failed(&part.path, error))?;
            match file.read_exact_at(own, offset) {
                // It became shorter, and is no longer what it was.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => own.clear(),
                read => read.map_err(self.tree.failed("read", &part.path))?,
            }
            if on_disk != own {
                let mut pairs = on_disk.iter().zip(own.iter());
                let first = pairs.position(|(a, b)| a != b).unwrap_or(own.len()) as u64 + offset;
                tell(&part.path, Difference::Bytes { first });
                self.progress.advance(part.range.end - offset);
                return Ok(());
            }
            offset += length as u64;
            self.progress.advance(length as u64);
        }
        Ok(())
    }
}

fn compare_mode(path: &[u8], found: &Stat, expected: u32, tell: TellDifference<'_>) {
    let found = found.st_mode & 0o7777;
    if found != expected {
        tell(path, Difference::Mode { found, expected });
    }
}
