//! Manual pages and completions of the programs, for `make install` and the packages.
//!
//! disk-mounter cannot write them itself, as disk-builder can: it is part of what must be trusted,
//! and does not link what is needed for it.

mod render;

use std::path::Path;

use anyhow::Result;

use crate::{
    files,
    program::{Document, PROGRAMS},
};

pub(crate) use render::render;

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
