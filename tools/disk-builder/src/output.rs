//! Where a result goes, as far as its path tells.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use disk_mounter::exit::ExitCode;

use crate::medium::{Kind, Medium, MediumError, failed_to};

/// What is at the path of an output.
#[derive(Debug)]
pub enum Output {
    /// A block device, which is written over.
    Device(Medium),
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
    Medium(#[from] MediumError),
    /// It names a directory, be it there or not.
    #[error("{} names a directory: name a file in it", .0.display())]
    Directory(PathBuf),
    /// It is a symbolic link to nothing.
    #[error("{} is a symbolic link to {}, which is not there: name the file itself", path.display(), leads_to.display())]
    Dangling {
        /// The link.
        path: PathBuf,
        /// Where it leads to.
        leads_to: PathBuf,
    },
    /// There is a file already.
    #[error("{} exists: --force replaces it", .0.display())]
    Exists(PathBuf),
}

impl OutputError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Medium(error) => error.exit_code(),
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
                Err(OutputError::Medium(MediumError::Io { source, .. }))
                    if source.kind() == io::ErrorKind::NotFound => {}
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
            Err(error) => Err(failed_to("open", path)(error).into()),
            Ok(path) if Kind::at(&path)? == Kind::BlockDevice => {
                Ok(Self::Device(Medium::open_to_write(&path)?))
            }
            Ok(path) => {
                // Nothing is lost with an empty file, as `mktemp` makes it.
                let empty = Medium::open(&path)?.bytes() == 0;
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
