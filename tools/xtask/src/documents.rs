//! Manual pages and completions of the programs, for `make install` and the packages.
//!
//! disk-mounter cannot write them itself, as disk-builder can: it is part of what must be trusted,
//! and does not link what is needed for it.

#[cfg(feature = "documents")]
mod render;

use std::path::Path;

use anyhow::Result;

use crate::{
    files,
    program::{Document, PROGRAMS},
};

#[cfg(feature = "documents")]
pub(crate) use render::render;

/// What a program that was built to run `setup` alone has in place of it.
#[cfg(not(feature = "documents"))]
pub(crate) fn render(
    program: &crate::program::Program,
    _document: Document,
    _date: &str,
) -> Result<Vec<u8>> {
    anyhow::bail!(
        "this xtask was built without the manual page of {}: make build",
        program.name
    )
}

/// Writes those of all programs into a folder, which is as `share` of an installation.
pub(crate) fn write(folder: &Path, date: &str) -> Result<()> {
    for program in &PROGRAMS {
        for document in Document::ALL {
            let content = render(program, document, date)?;
            let path = folder.join(program.document(document));
            files::put(&path, files::READABLE, &content)?;
        }
    }
    Ok(())
}
