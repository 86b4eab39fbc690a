//! What to tell although a disk can be made: of its model, and of who else makes one.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use model_disk::{Escaped, RelativePath};

/// How many files are named.
const MAX_NAMED: usize = 5;

/// Something that the user should know, and may not have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Links lead to files elsewhere, whose content goes onto the disk.
    Outside(Outside),
    /// A pattern of what to leave out left nothing out.
    Unused(String),
    /// Another run has the lock of an output, which is this file.
    Waiting(PathBuf),
}

/// Files of a model whose content comes from outside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    directory: PathBuf,
    /// The first few: their paths in the model, and where they are.
    first: Vec<(RelativePath, PathBuf)>,
    count: usize,
}

impl Outside {
    /// None yet, of the model in a directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            first: Vec::new(),
            count: 0,
        }
    }

    /// One more, with the path where it really is.
    pub(super) fn add(&mut self, file: &RelativePath, place: PathBuf) {
        if self.count < MAX_NAMED {
            self.first.push((file.clone(), place));
        }
        self.count += 1;
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(files) => files.fmt(f),
            Self::Unused(pattern) => write!(f, "--exclude {pattern:?} left nothing out"),
            Self::Waiting(directory) => write!(
                f,
                "all is written; waiting for another process, which has {} locked",
                Escaped::path(directory)
            ),
        }
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.count == 1 { "file" } else { "files" };
        write!(
            f,
            "links lead to {} {files} outside of {}; --exclude leaves out what does not belong on \
             the disk:",
            self.count,
            Escaped::path(&self.directory)
        )?;
        for (file, place) in &self.first {
            write!(f, "\n    {file} is {}", Escaped::path(place))?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\n    and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(count: usize) -> String {
        let mut outside = Outside::new(Path::new("model"));
        for number in 0..count {
            let file = RelativePath::new(format!("{number}")).unwrap();
            outside.add(&file, "/etc/x\n".into());
        }
        Note::Outside(outside).to_string()
    }

    #[test]
    fn the_first_few_are_named() {
        let one = outside(1);
        assert!(one.contains(" 1 file outside of model;"), "{one}");
        assert!(one.ends_with(":\n    0 is /etc/x\\n"), "{one}");
        assert_eq!(outside(5).lines().count(), 6);
        let many = outside(1000);
        assert_eq!(many.lines().count(), 7);
        assert!(many.ends_with("\n    and 995 more"), "{many}");
    }
}
