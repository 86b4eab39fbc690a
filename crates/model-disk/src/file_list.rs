//! The list of files that a disk is made from.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::{PathError, RelativePath, WrittenPath};

/// A file of a model, as it was when the model was looked through. In JSON it is an object with
/// the path as [`RelativePath`] writes it, and `bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenFile")]
pub struct ModelFile {
    /// Its path within the model.
    #[serde(flatten)]
    pub path: RelativePath,
    /// Its size in bytes.
    #[serde(rename = "bytes")]
    pub size: u64,
}

/// A file as it is read from JSON. A flattened path would keep all that is unknown in memory.
#[derive(Deserialize)]
struct WrittenFile {
    path: Option<String>,
    path_hex: Option<String>,
    bytes: u64,
}

impl TryFrom<WrittenFile> for ModelFile {
    type Error = PathError;

    fn try_from(file: WrittenFile) -> Result<Self, PathError> {
        let written = match (file.path, file.path_hex) {
            (Some(path), None) => WrittenPath::Path(path),
            (None, Some(digits)) => WrittenPath::PathHex(digits),
            _ => return Err(PathError::NotOnce),
        };
        Ok(Self {
            path: written.try_into()?,
            size: file.bytes,
        })
    }
}

/// The files of a model in the order of their paths: at least one, each path
/// once, and none of them also a directory of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileList(Vec<ModelFile>);

/// Why files make no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileListError {
    /// There is none.
    #[error("there is no file to put onto a disk")]
    Empty,
    /// Two have the same path.
    #[error("{0} is there twice")]
    Twice(RelativePath),
    /// One's path goes through another.
    #[error("{0} is both a file and a directory")]
    FileAndDirectory(RelativePath),
}

impl FileList {
    /// Sorts and checks files that come in any order.
    pub fn new(mut files: Vec<ModelFile>) -> Result<Self, FileListError> {
        if files.is_empty() {
            return Err(FileListError::Empty);
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        // What lies in a directory follows it directly, so neighbours suffice.
        for (this, next) in files.iter().zip(files.iter().skip(1)) {
            if this.path == next.path {
                return Err(FileListError::Twice(this.path.clone()));
            }
            if this.path.contains(&next.path) {
                return Err(FileListError::FileAndDirectory(this.path.clone()));
            }
        }
        Ok(Self(files))
    }
}

impl Deref for FileList {
    type Target = [ModelFile];

    fn deref(&self) -> &[ModelFile] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(paths: &[&str]) -> Result<Vec<String>, FileListError> {
        let files = paths.iter().map(|path| ModelFile {
            path: RelativePath::new(*path).unwrap(),
            size: 0,
        });
        let list = FileList::new(files.collect())?;
        Ok(list.iter().map(|file| file.path.to_string()).collect())
    }

    #[test]
    fn sorted() {
        let sorted = ["a/b", "a/c", "a.b", "b"].map(String::from).to_vec();
        assert_eq!(list(&["b", "a.b", "a/c", "a/b"]), Ok(sorted));
    }

    #[test]
    fn refused() {
        let path = |path: &str| RelativePath::new(path).unwrap();
        assert_eq!(list(&[]), Err(FileListError::Empty));
        assert_eq!(list(&["a", "b", "a"]), Err(FileListError::Twice(path("a"))));
        assert_eq!(
            list(&["a/b/c", "a.b", "a/b"]),
            Err(FileListError::FileAndDirectory(path("a/b")))
        );
    }
}
