//! Looking through a model directory.
//!
//! Each directory is opened once, and each name in it by the open directory. What a symbolic link
//! leads to is held first, and judged by where it is, not by what the link says.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    vec,
};

use model_disk::{FileError, FileList, FileStamp, ModelFile, RelativePath, erofs::MAX_ENTRIES};
use rayon::prelude::*;
use rustix::{
    fs::{Dir, FileType},
    io::Errno,
};

use super::{
    OutsideLink, ReadError, ScanError, ScanOptions, SourceFile,
    entry::{EntryKind, ScanEntry},
    exclude::{Excludes, Used},
    limits::{Count, Counted, Passed},
    opened::{hold, open_directory, open_without_links, read_held},
    places::Places,
};

/// What is in a model directory.
pub(super) struct Scanned {
    /// The model directory itself.
    pub(super) top: File,
    pub(super) files: FileList,
    /// Of each file, what it is now.
    pub(super) stamps: Vec<FileStamp>,
    /// The directories that were looked through, by their paths from the model directory.
    pub(super) directories: Vec<(Vec<u8>, FileStamp)>,
    /// The paths of Git LFS pointers.
    pub(super) lfs_pointers: Vec<RelativePath>,
    /// Patterns of `excludes` that left nothing out.
    pub(super) unused_excludes: Vec<String>,
    /// Places that were allowed, and to which no link leads.
    pub(super) unused_places: Vec<PathBuf>,
}

impl Scanned {
    /// Opens the file with this place in the list.
    #[expect(clippy::indexing_slicing, reason = "a file's place in the list")]
    pub(super) fn open(&self, place: usize, directory: &Path) -> Result<File, ReadError> {
        let path = &self.files[place].path;
        let relative = OsStr::from_bytes(path.as_bytes());
        let opened = SourceFile::open(&self.top, relative, path.below(directory))?;
        Ok(opened.into_file())
    }
}

/// Lists the files below a directory that are not left out.
pub(super) fn scan(directory: &Path, options: &ScanOptions) -> Result<Scanned, ScanError> {
    scan_counting(directory, options, Count::new())
}

fn scan_counting(
    directory: &Path,
    options: &ScanOptions,
    count: Count,
) -> Result<Scanned, ScanError> {
    let top = open_directory(directory).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR) => ScanError::NotADirectory(directory.to_owned()),
        _ => FileError::new("read", directory)(error).into(),
    })?;
    let places = Places::new(&top, directory, &options.allow_outside)?;
    let mut scan = Scan {
        directory,
        top: &top,
        excludes: &options.excludes,
        places: &places,
        used: Used::default(),
        count,
        found: Vec::new(),
        directories: Vec::new(),
        outside: Vec::new(),
    };
    scan.walk()?;
    let Scan {
        used,
        mut found,
        directories,
        outside: links,
        ..
    } = scan;
    if !links.is_empty() {
        return Err(ScanError::Outside {
            directory: directory.to_owned(),
            links,
        });
    }
    // In the order of the list.
    found.sort_unstable_by(|one, other| one.file.path.cmp(&other.file.path));
    let pointers = found.iter().filter(|found| found.is_lfs_pointer);
    let lfs_pointers = pointers.map(|found| found.file.path.clone()).collect();
    let (files, stamps) = found
        .into_iter()
        .map(|found| (found.file, found.stamp))
        .unzip();
    let files = FileList::new(files).map_err(|source| ScanError::List {
        directory: directory.to_owned(),
        source,
    })?;
    Ok(Scanned {
        files,
        stamps,
        directories,
        lfs_pointers,
        unused_excludes: options.excludes.unused(&used).cloned().collect(),
        unused_places: places.unused().collect(),
        top,
    })
}

/// A file of the model.
struct FoundFile {
    file: ModelFile,
    stamp: FileStamp,
    is_lfs_pointer: bool,
}

/// A walk through a model directory, and what it has found.
struct Scan<'a> {
    directory: &'a Path,
    top: &'a File,
    excludes: &'a Excludes,
    places: &'a Places,
    used: Used,
    count: Count,
    found: Vec<FoundFile>,
    directories: Vec<(Vec<u8>, FileStamp)>,
    outside: Vec<OutsideLink>,
}

/// A directory that is being looked through.
struct ScanFrame {
    relative: Vec<u8>,
    stamp: FileStamp,
    is_link: bool,
    /// How many links to directories lead to it.
    links: usize,
    /// Those in it that are still to come.
    below: vec::IntoIter<Below>,
}

/// A directory within another.
struct Below {
    relative: Vec<u8>,
    stamp: FileStamp,
    is_link: bool,
}

impl Scan<'_> {
    fn walk(&mut self) -> Result<(), ScanError> {
        let metadata = self.top.metadata();
        let top = Below {
            relative: Vec::new(),
            stamp: FileStamp::of(&metadata.map_err(FileError::new("read", self.directory))?),
            is_link: false,
        };
        // The directories on the way down to where the scan is.
        let mut stack = vec![];
        self.enter(top, &mut stack)?;
        while let Some(frame) = stack.last_mut() {
            let Some(below) = frame.below.next() else {
                stack.pop();
                continue;
            };
            self.refuse_loop(&below, &stack)?;
            self.add(Counted::Directory, &stack)?;
            self.enter(below, &mut stack)?;
        }
        Ok(())
    }

    /// Takes the files of a directory, and puts it on the stack for what is below.
    fn enter(&mut self, entered: Below, stack: &mut Vec<ScanFrame>) -> Result<(), ScanError> {
        let Below {
            relative,
            stamp,
            is_link,
        } = entered;
        let path = self.path(&relative);
        let open = self
            .open(&relative)
            .map_err(FileError::new("read", &path))?;
        let metadata = open.metadata().map_err(FileError::new("read", &path))?;
        let stamp_now = FileStamp::of(&metadata);
        if !stamp_now.is_same_file(&stamp) {
            return Err(ReadError::Changed(path).into());
        }
        let names = names(&open).map_err(FileError::new("read", &path))?;
        let links = stack.last().map_or(0, |frame| frame.links) + usize::from(is_link);
        stack.push(ScanFrame {
            relative: relative.clone(),
            stamp,
            is_link,
            links,
            below: Vec::new().into_iter(),
        });
        if names.len() as u64 > MAX_ENTRIES {
            return Err(self.too_many(Passed::Entries, stack));
        }
        let kept = self.keep(&relative, names);
        let places = self.places;
        let seen: Vec<_> = kept
            .into_par_iter()
            .with_min_len(64)
            .map(|(name, relative)| {
                let entry = ScanEntry::look_at(&open, &name.name, name.plain, &path, places);
                (relative, entry)
            })
            .collect();
        let mut below = Vec::new();
        for (relative, entry) in seen {
            let ScanEntry { is_link, kind } = entry?;
            match kind {
                EntryKind::Directory { stamp } => below.push(Below {
                    relative,
                    stamp,
                    is_link,
                }),
                EntryKind::File {
                    stamp,
                    is_lfs_pointer,
                } => {
                    self.add(Counted::File, stack)?;
                    let file = ModelFile {
                        path: self.relative(relative)?,
                        size: stamp.bytes(),
                    };
                    self.found.push(FoundFile {
                        file,
                        stamp,
                        is_lfs_pointer,
                    });
                }
                EntryKind::Outside { leads_to } => {
                    let path = self.relative(relative)?;
                    self.outside.push(OutsideLink { path, leads_to });
                }
                EntryKind::Special { kind } => {
                    let path = self.path(&relative);
                    return Err(ScanError::Special { path, kind });
                }
            }
        }
        if let Some(frame) = stack.last_mut() {
            frame.below = below.into_iter();
        }
        self.directories.push((relative, stamp_now));
        Ok(())
    }

    /// A directory that was found by this path. What it leads to is compared by whoever asks.
    fn open(&self, relative: &[u8]) -> io::Result<File> {
        let relative = if relative.is_empty() { b"." } else { relative };
        let relative = OsStr::from_bytes(relative);
        match open_without_links(self.top, relative)? {
            Some(opened) => Ok(opened),
            None => read_held(&hold(self.top, relative)?),
        }
    }

    /// What is not left out, with its paths.
    fn keep(&mut self, relative: &[u8], names: Vec<Name>) -> Vec<(Name, Vec<u8>)> {
        let mut kept = Vec::with_capacity(names.len());
        for name in names {
            let mut path = relative.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.name.as_bytes());
            if !self.excludes.leave_out(&path, &mut self.used) {
                kept.push((name, path));
            }
        }
        kept
    }

    fn add(&mut self, found: Counted, stack: &[ScanFrame]) -> Result<(), ScanError> {
        let links = stack.last().map_or(0, |frame| frame.links);
        let counted = self.count.add(found, links);
        counted.map_err(|passed| self.too_many(passed, stack))
    }

    fn too_many(&self, passed: Passed, stack: &[ScanFrame]) -> ScanError {
        match passed {
            Passed::Entries => ScanError::TooMany(self.directory.to_owned()),
            Passed::Linked => {
                let link = stack.iter().rfind(|frame| frame.is_link);
                ScanError::TooManyLinked(
                    self.path(link.map_or(&[], |frame| frame.relative.as_slice())),
                )
            }
        }
    }

    /// A directory among those that lead to it would go on for ever.
    fn refuse_loop(&self, below: &Below, stack: &[ScanFrame]) -> Result<(), ScanError> {
        let same = |frame: &&ScanFrame| frame.stamp.is_same_file(&below.stamp);
        let Some(same) = stack.iter().find(same) else {
            return Ok(());
        };
        let above = stack.iter().rfind(|frame| frame.is_link);
        let link = match above {
            Some(above) if !below.is_link => &above.relative,
            _ => &below.relative,
        };
        Err(ScanError::DirectoryLoop {
            path: self.path(&below.relative),
            directory: self.path(&same.relative),
            link: self.path(link),
        })
    }

    fn relative(&self, path: Vec<u8>) -> Result<RelativePath, ScanError> {
        RelativePath::new(path.as_slice()).map_err(|source| ScanError::Path {
            path: self.path(&path),
            source,
        })
    }

    fn path(&self, relative: &[u8]) -> PathBuf {
        if relative.is_empty() {
            return self.directory.to_owned();
        }
        self.directory.join(OsStr::from_bytes(relative))
    }
}

/// A name in a directory.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    name: OsString,
    /// Whether it is a regular file, as far as the directory tells.
    plain: bool,
}

/// The names in a directory, sorted, so that of several faults the same one is reported each time.
fn names(directory: &File) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(Name {
                name: OsStr::from_bytes(name).to_owned(),
                plain: entry.file_type() == FileType::RegularFile,
            });
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn scan_up_to(directory: &Path, entries: u64, linked: u64) -> Result<usize, ScanError> {
        let excludes = Excludes::new([""; 0]).unwrap();
        let scanned = scan_counting(directory, &excludes.into(), Count::up_to(entries, linked))?;
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
