//! Why a model directory cannot go onto a disk.

use std::{fmt, io, path::PathBuf};

use model_disk::{
    Escaped, ExitCode, FileError, FileListError, HasExitCode, PathError, RelativePath,
    erofs::MAX_ENTRIES,
};
use serde::Serialize;

use super::{ReadError, limits::MAX_LINKED};

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
    /// Links lead to where nothing of the model is.
    #[error(
        "links in {} lead out of it, and would bring onto the disk what is not the model's: leave \
         them out with --exclude, or name the place with --allow-outside", Escaped::path(.directory)
    )]
    Outside {
        /// The model directory.
        directory: PathBuf,
        /// All of them.
        links: Vec<OutsideLink>,
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
            Self::Outside { .. } => ExitCode::InTheWay,
            _ => ExitCode::Failure,
        }
    }
}

/// A link that leads out of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutsideLink {
    /// Its path in the model.
    #[serde(flatten)]
    pub path: RelativePath,
    /// The one true path of what it leads to, escaped.
    pub leads_to: String,
}

impl fmt::Display for OutsideLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leads to {}", self.path, self.leads_to)
    }
}
