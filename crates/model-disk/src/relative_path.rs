//! Paths within a model.

use std::{
    cmp::Ordering,
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{Escaped, erofs::MAX_NAME_SIZE};
use serde::{Deserialize, Serialize};

/// The path of a file within a model: one or more names with a `/` between two,
/// each of 1 to 255 bytes of any value but `/` and NUL, and neither `.` nor `..`.
/// It need not be UTF-8.
///
/// Paths are ordered as a walk through the tree meets them that takes each
/// directory's entries in the order of their bytes: name by name, so that `a/b`
/// comes before `a.b`, although `/` comes after `.` among the bytes.
///
/// In JSON it is the member `path`, a string, where it is UTF-8; where it is not, `path_hex`, a
/// string with its bytes in hex.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WrittenPath", into = "WrittenPath")]
pub struct RelativePath(Vec<u8>);

/// A path as it stands in JSON: of any file, whether a model could have it or not.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenPath {
    /// UTF-8.
    Path(String),
    /// Any bytes, in hex.
    PathHex(String),
}

impl WrittenPath {
    /// Chooses the form for these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Path(text),
            Err(error) => Self::PathHex(hex::encode(error.as_bytes())),
        }
    }
}

impl From<RelativePath> for WrittenPath {
    fn from(path: RelativePath) -> Self {
        Self::new(path.0)
    }
}

impl TryFrom<WrittenPath> for RelativePath {
    type Error = PathError;

    fn try_from(written: WrittenPath) -> Result<Self, PathError> {
        match written {
            WrittenPath::Path(text) => Self::new(text),
            WrittenPath::PathHex(digits) => {
                Self::new(hex::decode(digits).map_err(|_| PathError::Hex)?)
            }
        }
    }
}

/// Why bytes are no path within a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all, a `/` at an end, or two of them in a row.
    #[error("a name in the path is empty")]
    EmptyName,
    /// `.` or `..`.
    #[error("the path has a name `.` or `..`")]
    Dots,
    /// It should be written in hex, and is not.
    #[error("the path is not written in hex digits")]
    Hex,
    /// In JSON, it has to be written in one of the two ways.
    #[error("a file has neither path nor path_hex, or both")]
    NotOnce,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// A file system can have longer names, an EROFS image cannot.
    #[error(
        "a name in the path has {0} bytes, and {MAX_NAME_SIZE} is the most that a disk can hold"
    )]
    NameTooLong(usize),
}

impl RelativePath {
    /// Checks a path.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let path = Self(bytes.into());
        for name in path.names() {
            match name {
                b"" => return Err(PathError::EmptyName),
                b"." | b".." => return Err(PathError::Dots),
                _ if name.contains(&0) => return Err(PathError::Nul),
                _ if name.len() > MAX_NAME_SIZE => return Err(PathError::NameTooLong(name.len())),
                _ => {}
            }
        }
        Ok(path)
    }

    /// The bytes, with a `/` between two names.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The names of the directories from the top, then that of the file.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// Whether this, as a directory, holds the other path at any depth.
    pub fn contains(&self, other: &Self) -> bool {
        let rest = other.0.strip_prefix(self.0.as_slice());
        rest.is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// Where the file is when the model is in this directory.
    pub fn below(&self, directory: &Path) -> PathBuf {
        directory.join(OsStr::from_bytes(&self.0))
    }
}

impl Ord for RelativePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for RelativePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// For messages, as [`Escaped`] shows it.
impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::bytes(&self.0).fmt(f)
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(bytes: &[u8]) -> RelativePath {
        RelativePath::new(bytes).unwrap()
    }

    #[test]
    fn taken_and_refused() {
        for good in [&b"a"[..], b"a/b", b"...", b"\xff\n", &[b'n'; 255]] {
            assert_eq!(path(good).as_bytes(), good);
        }
        for bad in [&b""[..], b"/", b"/a", b"a/", b"a//b"] {
            assert_eq!(RelativePath::new(bad), Err(PathError::EmptyName));
        }
        for bad in [&b"."[..], b"..", b"a/../b", b"./a"] {
            assert_eq!(RelativePath::new(bad), Err(PathError::Dots));
        }
        assert_eq!(RelativePath::new(*b"a\0b"), Err(PathError::Nul));
        assert_eq!(
            RelativePath::new([b'n'; 256]),
            Err(PathError::NameTooLong(256))
        );
    }

    #[test]
    fn ordered_name_by_name() {
        let sorted = [
            &b"A"[..],
            b"a",
            b"a/\x01",
            b"a/b",
            b"a/b/c",
            b"a/b-",
            b"a ",
            b"a.b",
            b"aa",
            b"\xff",
        ];
        assert!(sorted.map(path).is_sorted());
    }

    #[test]
    fn containing() {
        assert!(path(b"a").contains(&path(b"a/b/c")));
        for other in [&b"a"[..], b"ab", b"b/a"] {
            assert!(!path(b"a").contains(&path(other)));
        }
    }
}
