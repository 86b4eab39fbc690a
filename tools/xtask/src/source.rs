//! The sources of this project.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder that they lie in.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .canonicalize()
        .context("the sources are no more where this program was built")
}
