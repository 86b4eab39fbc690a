//! Looking through a model directory.

use std::{
    ffi::OsString,
    fs::{self, FileType, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    vec,
};

use disk_mounter::escaped::Escaped;

use super::{
    Excludes, FileList, FileListError, ModelFile, PathError, ReadError, RelativePath, SourceFile,
    source_file::Stamp,
};

/// Why a model directory cannot go onto a disk.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It is a file or something else.
    #[error("{} is not a directory", Escaped::path(.0))]
    NotADirectory(PathBuf),
    /// A directory cannot be read, or an entry cannot be looked at.
    #[error("cannot read {}", Escaped::path(.path))]
    Io {
        /// The directory or entry.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A file cannot be opened.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A symbolic link to nothing.
    #[error(
        "{} is a symbolic link to {}, which is not there: is the download complete?",
        Escaped::path(.link), Escaped::path(.target)
    )]
    DanglingLink {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
        /// The error of following it.
        source: io::Error,
    },
    /// Symbolic links that lead in a circle, never to a file.
    #[error(
        "{} is a symbolic link to {} that leads back to itself",
        Escaped::path(.link), Escaped::path(.target)
    )]
    LinkLoop {
        /// The link.
        link: PathBuf,
        /// What it says.
        target: PathBuf,
        /// The error of following it.
        source: io::Error,
    },
    /// A directory that holds itself, by way of a symbolic link.
    #[error(
        "{} is the directory {} that it lies in, by way of the symbolic link {}",
        Escaped::path(.path), Escaped::path(.directory), Escaped::path(.link)
    )]
    DirectoryLoop {
        /// The directory within itself.
        path: PathBuf,
        /// The same further up.
        directory: PathBuf,
        /// The link that leads there.
        link: PathBuf,
    },
    /// Neither a file nor a directory.
    #[error(
        "{} is a {kind}, and only files and directories go onto a disk: \
         remove it or leave it out with --exclude", Escaped::path(.path)
    )]
    Special {
        /// What it is.
        path: PathBuf,
        /// Of which kind.
        kind: &'static str,
    },
    /// A name that a disk cannot hold.
    #[error("{} cannot go onto a disk", Escaped::path(.path))]
    Path {
        /// What has the name.
        path: PathBuf,
        /// Why.
        source: PathError,
    },
    /// Nothing is left to go onto a disk.
    #[error("no disk can be made from {}", Escaped::path(.directory))]
    List {
        /// The model directory.
        directory: PathBuf,
        /// Why.
        source: FileListError,
    },
}

/// Lists the files below a directory that are not left out, and what each is now.
pub(super) fn scan(
    directory: &Path,
    excludes: &Excludes,
) -> Result<(FileList, Vec<Stamp>), ScanError> {
    let metadata = fs::metadata(directory).map_err(|error| failed(directory, error))?;
    if !metadata.is_dir() {
        return Err(ScanError::NotADirectory(directory.to_owned()));
    }
    let mut found = Vec::new();
    // The directories on the way down to where the scan is.
    let mut stack = vec![Frame::enter(
        directory.to_owned(),
        vec![],
        &metadata,
        false,
    )?];
    while let Some(frame) = stack.last_mut() {
        let Some(name) = frame.names.next() else {
            stack.pop();
            continue;
        };
        let path = frame.path.join(&name);
        let mut relative = frame.relative.clone();
        if !relative.is_empty() {
            relative.push(b'/');
        }
        relative.extend_from_slice(name.as_bytes());
        if excludes.matches(&relative) {
            continue;
        }

        let entry = Entry::look_at(path)?;
        if entry.metadata.is_dir() {
            entry.refuse_loop(&stack)?;
            stack.push(Frame::enter(
                entry.path,
                relative,
                &entry.metadata,
                entry.is_link,
            )?);
        } else if entry.metadata.is_file() {
            let path = match RelativePath::new(relative) {
                Ok(path) => path,
                Err(source) => {
                    let path = entry.path;
                    return Err(ScanError::Path { path, source });
                }
            };
            let stamp = SourceFile::open(entry.path)?.stamp();
            let size = stamp.size;
            found.push((ModelFile { path, size }, stamp));
        } else {
            return Err(ScanError::Special {
                path: entry.path,
                kind: kind(entry.metadata.file_type()),
            });
        }
    }
    // In the order of the list.
    found.sort_unstable_by(|(one, _), (other, _)| one.path.cmp(&other.path));
    let (files, stamps) = found.into_iter().unzip();
    let files = FileList::new(files).map_err(|source| ScanError::List {
        directory: directory.to_owned(),
        source,
    })?;
    Ok((files, stamps))
}

/// A directory that is being looked through.
struct Frame {
    path: PathBuf,
    relative: Vec<u8>,
    id: (u64, u64),
    is_link: bool,
    names: vec::IntoIter<OsString>,
}

impl Frame {
    fn enter(
        path: PathBuf,
        relative: Vec<u8>,
        metadata: &Metadata,
        is_link: bool,
    ) -> Result<Self, ScanError> {
        let entries = fs::read_dir(&path).map_err(|error| failed(&path, error))?;
        let names: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names.map_err(|error| failed(&path, error))?;
        // So that of several faults the same one is reported each time.
        names.sort_unstable();
        Ok(Self {
            path,
            relative,
            id: id(metadata),
            is_link,
            names: names.into_iter(),
        })
    }
}

/// What a name in a directory leads to.
struct Entry {
    path: PathBuf,
    is_link: bool,
    metadata: Metadata,
}

impl Entry {
    fn look_at(path: PathBuf) -> Result<Self, ScanError> {
        let own = fs::symlink_metadata(&path).map_err(|error| failed(&path, error))?;
        if !own.is_symlink() {
            return Ok(Self {
                path,
                is_link: false,
                metadata: own,
            });
        }
        let source = match fs::metadata(&path) {
            Ok(metadata) => {
                return Ok(Self {
                    path,
                    is_link: true,
                    metadata,
                });
            }
            Err(error) => error,
        };
        let target = fs::read_link(&path).map_err(|error| failed(&path, error))?;
        let link = path;
        Err(match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => ScanError::DanglingLink {
                link,
                target,
                source,
            },
            Some(libc::ELOOP) => ScanError::LinkLoop {
                link,
                target,
                source,
            },
            _ => failed(&link, source),
        })
    }

    /// A directory among those that lead to it would go on for ever.
    fn refuse_loop(&self, stack: &[Frame]) -> Result<(), ScanError> {
        let Some(same) = stack.iter().find(|frame| frame.id == id(&self.metadata)) else {
            return Ok(());
        };
        let link = match self.is_link {
            true => Some(&self.path),
            false => stack
                .iter()
                .rev()
                .find(|frame| frame.is_link)
                .map(|frame| &frame.path),
        };
        Err(ScanError::DirectoryLoop {
            path: self.path.clone(),
            directory: same.path.clone(),
            link: link.unwrap_or(&self.path).clone(),
        })
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn failed(path: &Path, source: io::Error) -> ScanError {
    ScanError::Io {
        path: path.to_owned(),
        source,
    }
}

fn kind(file_type: FileType) -> &'static str {
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
