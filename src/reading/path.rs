//! Paths on a disk.

use std::fmt;

use model_disk::{PathError, RelativePath};

/// A path on a disk, from its top: that of the top itself, or that of something in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskPath(Option<RelativePath>);

impl DiskPath {
    /// Reads a path as people write it: slashes at the start and the end, more than one between two
    /// names, and names `.` mean nothing.
    pub fn new(path: &[u8]) -> Result<Self, PathError> {
        let names = path.split(|byte| *byte == b'/');
        let names: Vec<_> = names.filter(|name| !matches!(*name, b"" | b".")).collect();
        if names.is_empty() {
            return Ok(Self(None));
        }
        RelativePath::new(names.join(&b'/')).map(|path| Self(Some(path)))
    }

    /// The top of a disk.
    pub(super) fn top() -> Self {
        Self(None)
    }

    /// That of something that was found on a disk: names, with one slash between two.
    pub(super) fn of(path: &[u8]) -> Self {
        // Names on a disk have no NUL, and none is empty.
        Self(RelativePath::new(path).ok())
    }

    /// Whether this, as a directory, holds the other path at any depth.
    pub(super) fn contains(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, Some(_)) => true,
            (Some(path), Some(other)) => path.contains(other),
            (_, None) => false,
        }
    }

    /// Its bytes, with a `/` between two names; none for the top.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(b"", RelativePath::as_bytes)
    }

    /// Its names, from the top down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(RelativePath::names)
    }
}

/// For messages: what would not be shown as it stands is escaped.
impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.fmt(f),
            None => f.write_str("/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (written, path) in [
            ("", ""),
            ("/", ""),
            ("./", ""),
            ("a", "a"),
            ("/a//b/./c/", "a/b/c"),
            ("a/...", "a/..."),
        ] {
            let read = DiskPath::new(written.as_bytes()).unwrap();
            assert_eq!(read.as_bytes(), path.as_bytes());
            let names: Vec<_> = read.names().collect();
            assert_eq!(names.join(&b'/'), path.as_bytes());
        }
        assert_eq!(DiskPath::new(b"a/../b"), Err(PathError::Dots));
        assert_eq!(DiskPath::new(b"a\0"), Err(PathError::Nul));
        assert_eq!(DiskPath::new(b"//").unwrap().to_string(), "/");
        assert_eq!(DiskPath::new(b"a\n").unwrap().to_string(), r"a\n");
    }
}
