//! Where a result goes: files that appear whole or not at all, and block devices.

mod directory_lock;
mod new_file;
pub(crate) mod storage;

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use model_disk::{
    BackingFile, BackingFileError, BackingKind, Escaped, ExitCode, FileError, HasExitCode, ReadAt,
};

pub(crate) use directory_lock::DirectoryLock;
pub use new_file::NewFile;
pub(crate) use new_file::directory;

/// What is at the path of an output.
#[derive(Debug)]
pub enum Output {
    /// A block device, which is written over.
    Device(BackingFile),
    /// A file, or none yet.
    File {
        /// Where it goes: symbolic links are followed, and what they lead to is replaced.
        path: PathBuf,
        /// A file that is there may go, or one that comes to be there meanwhile.
        replace: bool,
    },
}

/// Why nothing can be written there.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It cannot be looked at, or is in use.
    #[error(transparent)]
    BackingFile(#[from] BackingFileError),
    /// It names a directory, be it there or not.
    #[error("{} names a directory: name a file in it", Escaped::path(.0))]
    Directory(PathBuf),
    /// It is a symbolic link to nothing.
    #[error(
        "{} is a symbolic link to {}, which is not there: name the file itself",
        Escaped::path(path),
        Escaped::path(leads_to)
    )]
    Dangling {
        /// The link.
        path: PathBuf,
        /// Where it leads to.
        leads_to: PathBuf,
    },
    /// There is a file already.
    #[error("{} exists: --force replaces it", Escaped::path(.0))]
    Exists(PathBuf),
}

impl HasExitCode for OutputError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::BackingFile(error) => error.exit_code(),
            Self::Directory(_) => ExitCode::Usage,
            Self::Dangling { .. } => ExitCode::NotFound,
            Self::Exists(_) => ExitCode::InTheWay,
        }
    }
}

impl Output {
    /// Looks what is there. A device is opened, so that nobody else writes to it; a file that is
    /// not empty is replaced only by `force`.
    pub fn find(path: &Path, force: bool) -> Result<Self, OutputError> {
        loop {
            match Self::look(path, force) {
                // It was there a moment ago: another run is just replacing it.
                Err(OutputError::BackingFile(BackingFileError::File(error)))
                    if error.source.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
        }
    }

    fn look(path: &Path, force: bool) -> Result<Self, OutputError> {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.as_os_str().as_bytes().ends_with(b"/") {
                    return Err(OutputError::Directory(path.to_owned()));
                }
                if let Ok(leads_to) = path.read_link() {
                    let path = path.to_owned();
                    return Err(OutputError::Dangling { path, leads_to });
                }
                Ok(Self::File {
                    path: path.to_owned(),
                    replace: force,
                })
            }
            Err(error) => Err(BackingFileError::from(FileError::new("open", path)(error)).into()),
            Ok(path) if BackingKind::at(&path)? != BackingKind::File => {
                Ok(Self::Device(BackingFile::open_to_write(&path)?))
            }
            Ok(path) => {
                // Nothing is lost with an empty file, as `mktemp` makes it.
                let empty = BackingFile::open(&path)?.bytes() == 0;
                if !empty && !force {
                    return Err(OutputError::Exists(path));
                }
                Ok(Self::File {
                    path,
                    replace: true,
                })
            }
        }
    }
}
