//! Errors as they are said.

use std::error::Error;

/// An error and what caused it.
pub(crate) fn on_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
