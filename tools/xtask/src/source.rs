//! The sources of this project.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::child::command;

/// The folder that they lie in.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .context("the sources are no more where this program was built")
}

/// Git, to be asked about the sources' repository.
pub(crate) fn git() -> Result<Command> {
    let root = root()?;
    // Root, too, may look at what another user has cloned.
    let safe = format!("safe.directory={}", root.display());
    let mut git = command("git", ["--no-optional-locks", "-c", &safe]);
    git.current_dir(root);
    Ok(git)
}
