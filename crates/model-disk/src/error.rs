//! What all errors have in common.
//!
//! An error says what happened, and to what. Why it happened is its
//! [`source`](std::error::Error::source) and stands nowhere else: whoever prints an error prints
//! the whole chain, once, as an [`ErrorChain`].

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{Escaped, ExitCode, HasExitCode};

/// A system call on a file failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", Escaped::path(path))]
pub struct FileError {
    /// What was tried, as `open`: a verb that the path can follow.
    pub action: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// Why not, with its errno.
    pub source: io::Error,
}

impl FileError {
    /// Makes the error of a failed `action` on `path`, for [`Result::map_err`].
    pub fn new<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source: source.into(),
        }
    }
}

impl HasExitCode for FileError {
    fn exit_code(&self) -> ExitCode {
        self.source.exit_code()
    }
}

/// The user, or whoever started the program, asked it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// An error and all that caused it, on one line.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_stands_once() {
        let missing = io::Error::from_raw_os_error(2);
        let error = FileError::new("open", Path::new("/a\nb"))(missing);
        assert_eq!(error.to_string(), r"cannot open /a\nb");
        assert_eq!(
            ErrorChain(&error).to_string(),
            r"cannot open /a\nb: No such file or directory (os error 2)"
        );
        assert_eq!(error.exit_code(), ExitCode::NotFound);
    }
}
