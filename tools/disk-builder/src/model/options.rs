//! What the user says of a model.

use std::path::PathBuf;

use super::Excludes;

/// What of a model directory goes onto a disk, and what may be wrong with it.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// What is left out.
    pub excludes: Excludes,
    /// Files and directories outside of the model directory that links in it may lead to.
    pub allow_outside: Vec<PathBuf>,
    /// Whether what would be a [`Note`](super::Note) is an error.
    pub strict: bool,
}

/// Nothing comes from outside, and notes are notes.
impl From<Excludes> for ScanOptions {
    fn from(excludes: Excludes) -> Self {
        Self {
            excludes,
            allow_outside: Vec::new(),
            strict: false,
        }
    }
}
