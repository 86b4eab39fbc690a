//! What is in the page cache before a run.

use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    fcntl::{PosixFadviseAdvice, posix_fadvise},
    unistd::{Whence, lseek, syncfs},
};

/// The first bytes of a file, which a program is going to read.
#[derive(Clone, Debug)]
pub(crate) struct CachedFile {
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// Where a program finds its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caches {
    /// In the page cache.
    Warm,
    /// On the disk. This tells the kernel to drop just these files' pages, so
    /// programs and the filesystem's own blocks stay in memory.
    Cold,
}

impl Caches {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

impl CachedFile {
    pub(crate) fn whole(path: &Path) -> Result<Self> {
        let metadata = path.metadata();
        let length = metadata.with_context(|| path.display().to_string())?.len();
        Ok(Self {
            path: path.to_owned(),
            length,
        })
    }

    /// How many bytes there are, without holes.
    pub(crate) fn data_bytes(&self) -> Result<u64> {
        let ranges = self.data()?;
        Ok(ranges.iter().map(|range| range.end - range.start).sum())
    }

    /// Brings it into the state.
    pub(crate) fn prepare(&self, caches: Caches) -> Result<()> {
        match caches {
            Caches::Warm => self.read(),
            Caches::Cold => self.forget(),
        }
        .with_context(|| format!("cannot prepare {}", self.path.display()))
    }

    fn read(&self) -> Result<()> {
        let file = File::open(&self.path)?;
        let mut buffer = vec![0; 1 << 20];
        for range in self.data()? {
            let mut offset = range.start;
            while offset < range.end {
                let length = (range.end - offset).min(buffer.len() as u64);
                file.read_exact_at(&mut buffer[..length as usize], offset)?;
                offset += length;
            }
        }
        Ok(())
    }

    fn forget(&self) -> Result<()> {
        let file = File::open(&self.path)?;
        // Pages that are not on the disk yet would stay.
        file.sync_all()?;
        let dont_need = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        // A length of 0 stands for all there is.
        posix_fadvise(&file, 0, 0, dont_need)?;
        Ok(())
    }

    /// The runs between holes.
    fn data(&self) -> Result<Vec<Range<u64>>> {
        let file = File::open(&self.path)?;
        let mut ranges = Vec::new();
        let mut end = 0;
        while end < self.length {
            let start = match lseek(&file, end as i64, Whence::SeekData) {
                Ok(start) => start as u64,
                Err(Errno::ENXIO) => break,
                Err(error) => return Err(error.into()),
            };
            if start >= self.length {
                break;
            }
            end = (lseek(&file, start as i64, Whence::SeekHole)? as u64).min(self.length);
            ranges.push(start..end);
        }
        Ok(ranges)
    }
}

/// Writes all of the filesystem to its disk, so that a run does not wait for what
/// an earlier one left to be written.
pub(crate) fn flush(directory: &Path) -> Result<()> {
    Ok(syncfs(File::open(directory)?)?)
}

/// Writes files, or those below directories, to the disk.
pub(crate) fn sync(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        for file in files(path)? {
            File::open(&file)?.sync_all()?;
        }
    }
    Ok(())
}

/// A file, or all files below a directory, sorted.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        all.extend(files(&entry?.path())?);
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_not_data() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[1; 1 << 20], 8 << 20).unwrap();
        let input = CachedFile::whole(&path).unwrap();
        // A filesystem may round up to its blocks, and one without holes may
        // call everything data.
        let data = input.data_bytes().unwrap();
        assert!((1 << 20..=64 << 20).contains(&data), "{data}");
        let nothing = CachedFile { path, length: 0 };
        assert_eq!(nothing.data_bytes().unwrap(), 0);
        input.prepare(Caches::Warm).unwrap();
        input.prepare(Caches::Cold).unwrap();
    }

    #[test]
    fn files_below_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("b")).unwrap();
        for name in ["b/c", "a"] {
            fs::write(path(name), name).unwrap();
        }
        assert_eq!(files(directory.path()).unwrap(), [path("a"), path("b/c")]);
        assert_eq!(files(&path("a")).unwrap(), [path("a")]);
        assert!(CachedFile::whole(&path("none")).is_err());
    }
}
