//! Files that are written for everybody to read, whatever the user's umask.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::{NamedTempFile, TempDir};

/// The mode of a folder or a program.
pub(crate) const EXECUTABLE: u32 = 0o755;
/// The mode of any other file.
pub(crate) const READABLE: u32 = 0o644;

/// Makes a folder, and those that it lies in, where they are not there.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.with_context(|| format!("cannot make {}", folder.display()))?,
        }
        set_mode(folder, EXECUTABLE)?;
    }
    Ok(())
}

/// Writes a file, and makes the folder that it lies in.
///
/// What was there is replaced, not written to: it may be a program that is running.
pub(crate) fn put(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    make_folder(folder)?;
    let write = || -> io::Result<()> {
        let mut file = NamedTempFile::new_in(if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        })?;
        file.write_all(content)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Gives a file a name in the same filesystem.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot write {}", to.display()))
}

/// Sets the mode of a file.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// What is in a folder, in the order of the names' bytes.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder)?;
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    let mut found = read().with_context(|| format!("cannot read {}", folder.display()))?;
    found.sort();
    Ok(found)
}

/// The files and the folders under a folder; the files in the order of their paths' bytes.
pub(crate) fn walk(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        for path in list(folder)? {
            if path.is_dir() {
                folders.push(path)
            } else {
                files.push(path)
            }
        }
        next += 1;
    }
    files.sort_by(|one, other| {
        let (one, other) = (one.as_os_str(), other.as_os_str());
        one.as_bytes().cmp(other.as_bytes())
    });
    Ok((files, folders))
}

/// A folder to work in, in one that is made for the result.
pub(crate) fn work_folder(folder: &Path, prefix: &str) -> Result<TempDir> {
    make_folder(folder)?;
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(folder)
        .with_context(|| format!("cannot write to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_and_their_folders_have_the_modes_that_they_should() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/program");
        put(&path, EXECUTABLE, b"one").unwrap();
        assert_eq!(mode(&path), EXECUTABLE);
        assert_eq!(mode(&folder.path().join("a/b")), EXECUTABLE);
        put(&path, READABLE, b"two").unwrap();
        assert_eq!(
            (mode(&path), read(&path).unwrap()),
            (READABLE, b"two".into())
        );
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(list(&folder.path().join("a/b")).unwrap().is_empty());
    }

    #[test]
    fn paths_are_in_the_order_of_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/b", "a.c", "B"] {
            put(&folder.path().join(name), READABLE, b"").unwrap();
        }
        let (files, folders) = walk(folder.path()).unwrap();
        let names = ["B", "a.c", "a/b"];
        assert_eq!(files, names.map(|name| folder.path().join(name)));
        assert_eq!(folders, [folder.path().to_owned(), folder.path().join("a")]);
    }
}
