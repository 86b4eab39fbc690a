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

use model_disk::{
    Escaped, ExitCode, FileError, FileList, FileListError, HasExitCode, ModelFile, PathError,
    RelativePath, erofs::MAX_ENTRIES,
};

use super::{
    Excludes, Note, Outside, ReadError, SourceFile,
    exclude::Used,
    limits::{Count, Counted, MAX_LINKED, Passed},
    origin::Own,
    source_file::Stamp,
};

/// Why a model directory cannot go onto a disk.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It is a file or something else.
    #[error("{} is not a directory", Escaped::path(.0))]
    NotADirectory(PathBuf),
    /// A directory cannot be read, or an entry cannot be looked at.
    #[error(transparent)]
    File(#[from] FileError),
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
    /// More than any disk may have.
    #[error(
        "{} has more than {MAX_ENTRIES} directory entries, and no disk is made with more: leave \
         some out with --exclude", Escaped::path(.0)
    )]
    TooMany(PathBuf),
    /// Links to directories that lead to very much.
    #[error(
        "{} is one of the symbolic links to directories within each other that lead to more than \
         {MAX_LINKED} files and directories: leave it out with --exclude, or put a copy in its \
         place", Escaped::path(.0)
    )]
    TooManyLinked(PathBuf),
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

impl HasExitCode for ScanError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Read(error) => error.exit_code(),
            Self::NotADirectory(_) => ExitCode::Usage,
            _ => ExitCode::Failure,
        }
    }
}

/// What is in a model directory.
pub(super) struct Scanned {
    pub(super) files: FileList,
    /// Of each file, what it is now.
    pub(super) stamps: Vec<Stamp>,
    pub(super) notes: Vec<Note>,
}

/// Lists the files below a directory that are not left out.
pub(super) fn scan(directory: &Path, excludes: &Excludes) -> Result<Scanned, ScanError> {
    scan_counting(directory, excludes, Count::new())
}

fn scan_counting(
    directory: &Path,
    excludes: &Excludes,
    mut count: Count,
) -> Result<Scanned, ScanError> {
    let metadata = fs::metadata(directory).map_err(FileError::new("read", directory))?;
    if !metadata.is_dir() {
        return Err(ScanError::NotADirectory(directory.to_owned()));
    }
    let own = Own::new(true_path(directory));
    let mut outside = Outside::new(directory);
    let mut used = Used::default();
    let mut found = Vec::new();
    // The directories on the way down to where the scan is.
    let mut stack = vec![ScanFrame::enter(directory.to_owned(), vec![], &metadata)?];
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
        if excludes.leave_out(&relative, &mut used) {
            continue;
        }

        let entry = ScanEntry::look_at(path)?;
        let links = frame.links;
        let below = || frame.elsewhere.as_ref().map(|place| place.join(&name));
        let elsewhere = entry.followed().map(true_path).or_else(below);
        if entry.metadata.is_dir() {
            entry.refuse_loop(&stack)?;
            let counted = count.add(Counted::Directory, links);
            counted.map_err(|passed| too_many(passed, &stack))?;
            stack.push(ScanFrame {
                links: links + usize::from(entry.is_link),
                is_link: entry.is_link,
                elsewhere,
                ..ScanFrame::enter(entry.path, relative, &entry.metadata)?
            });
        } else if entry.metadata.is_file() {
            let counted = count.add(Counted::File, links);
            counted.map_err(|passed| too_many(passed, &stack))?;
            let path = match RelativePath::new(relative) {
                Ok(path) => path,
                Err(source) => {
                    let path = entry.path;
                    return Err(ScanError::Path { path, source });
                }
            };
            let stamp = SourceFile::open(entry.path)?.stamp();
            let size = stamp.size;
            if let Some(place) = elsewhere.filter(|place| !own.holds(place)) {
                outside.add(&path, place);
            }
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
    let outside = Some(outside).filter(|outside| outside.count() > 0);
    let unused = excludes.unused(&used).cloned().map(Note::Unused);
    Ok(Scanned {
        files,
        stamps,
        notes: outside
            .map(Note::Outside)
            .into_iter()
            .chain(unused)
            .collect(),
    })
}

/// Where a path leads. Where that cannot be told, what stands there, which is not taken for the
/// model's own.
fn true_path(path: &Path) -> PathBuf {
    let place = fs::canonicalize(path).or_else(|_| fs::read_link(path));
    place.unwrap_or_else(|_| path.to_owned())
}

fn too_many(passed: Passed, stack: &[ScanFrame]) -> ScanError {
    let path =
        |frame: Option<&ScanFrame>| frame.map_or_else(PathBuf::new, |frame| frame.path.clone());
    match passed {
        Passed::Entries => ScanError::TooMany(path(stack.first())),
        Passed::Linked => ScanError::TooManyLinked(path(stack.iter().rfind(|frame| frame.is_link))),
    }
}

/// A directory that is being looked through.
struct ScanFrame {
    path: PathBuf,
    relative: Vec<u8>,
    id: (u64, u64),
    is_link: bool,
    /// How many links to directories lead to it.
    links: usize,
    /// Where it really is, if by a link.
    elsewhere: Option<PathBuf>,
    names: vec::IntoIter<OsString>,
}

impl ScanFrame {
    /// One that no link leads to.
    fn enter(path: PathBuf, relative: Vec<u8>, metadata: &Metadata) -> Result<Self, ScanError> {
        let entries = fs::read_dir(&path).map_err(FileError::new("read", &path))?;
        let names: Result<Vec<_>, io::Error> =
            entries.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names.map_err(FileError::new("read", &path))?;
        // So that of several faults the same one is reported each time.
        names.sort_unstable();
        Ok(Self {
            path,
            relative,
            id: id(metadata),
            is_link: false,
            links: 0,
            elsewhere: None,
            names: names.into_iter(),
        })
    }
}

/// What a name in a directory leads to.
struct ScanEntry {
    path: PathBuf,
    is_link: bool,
    metadata: Metadata,
}

impl ScanEntry {
    fn look_at(path: PathBuf) -> Result<Self, ScanError> {
        let own = fs::symlink_metadata(&path).map_err(FileError::new("read", &path))?;
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
        let target = fs::read_link(&path).map_err(FileError::new("read", &path))?;
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
            _ => FileError::new("read", &link)(source).into(),
        })
    }

    /// Its path, where that is a symbolic link.
    fn followed(&self) -> Option<&Path> {
        self.is_link.then_some(&self.path)
    }

    /// A directory among those that lead to it would go on for ever.
    fn refuse_loop(&self, stack: &[ScanFrame]) -> Result<(), ScanError> {
        let Some(same) = stack.iter().find(|frame| frame.id == id(&self.metadata)) else {
            return Ok(());
        };
        let above = || stack.iter().rfind(|frame| frame.is_link);
        let link = self.followed().or_else(|| Some(&above()?.path));
        Err(ScanError::DirectoryLoop {
            path: self.path.clone(),
            directory: same.path.clone(),
            link: link.unwrap_or(&self.path).to_owned(),
        })
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scan_up_to(directory: &Path, entries: u64, linked: u64) -> Result<usize, ScanError> {
        let excludes = Excludes::new([""; 0]).unwrap();
        let scanned = scan_counting(directory, &excludes, Count::up_to(entries, linked))?;
        Ok(scanned.files.len())
    }

    #[test]
    fn more_entries_than_a_disk_may_have() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        for name in ["b", "c", "a/d"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        // A directory without files counts, as there may be very many.
        fs::create_dir(directory.path().join("empty")).unwrap();
        assert_eq!(scan_up_to(directory.path(), 11, 0).unwrap(), 3);
        let error = scan_up_to(directory.path(), 10, 0).err();
        assert!(matches!(error, Some(ScanError::TooMany(named)) if named == directory.path()));
    }

    /// Ten directories, each with two links to the next, are a thousand.
    #[test]
    fn links_within_links() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        for number in 0..10 {
            fs::create_dir(place(&format!("{number}"))).unwrap();
            for link in ["a", "b"] {
                let next = format!("../{}", number + 1);
                symlink(next, place(&format!("{number}/{link}"))).unwrap();
            }
        }
        fs::create_dir(place("10")).unwrap();
        fs::write(place("10/file"), "").unwrap();
        // By no link, by one, and by two or more.
        assert_eq!(scan_up_to(directory.path(), 100_000, 10_000).unwrap(), 2047);
        let error = scan_up_to(directory.path(), 100_000, 1000).err();
        assert!(
            matches!(&error, Some(ScanError::TooManyLinked(link)) if link.is_symlink()),
            "{error:?}"
        );
        // By no more than one link it does not count.
        for number in 0..9 {
            fs::remove_dir_all(place(&format!("{number}"))).unwrap();
        }
        assert_eq!(scan_up_to(directory.path(), 100, 0).unwrap(), 3);
    }
}
