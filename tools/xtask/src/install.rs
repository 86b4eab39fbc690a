//! Installs programs with what belongs to them.

use std::path::Path;

use anyhow::Result;

use crate::{
    date::Date,
    documents,
    files::{EXECUTABLE, READABLE, put, read},
    program::{Document, PublishedProgram, built},
    source,
};

/// Installs programs of a folder under a root, with their manual pages, completions and license.
/// `zsh_functions` is the folder under the root for zsh's completions.
pub(crate) fn install(
    root: &Path,
    release: &Path,
    programs: &[String],
    zsh_functions: &Path,
) -> Result<()> {
    // Nothing is installed where something is missing.
    for name in programs {
        built(release, name)?;
    }
    let date = Date::of_the_sources()?.day();
    let license = read(&source::root()?.join("LICENSE"))?;
    for name in programs {
        let program = PublishedProgram::find(name)?;
        let content = read(&built(release, name)?)?;
        put(&root.join(program.place()), EXECUTABLE, &content)?;
        for document in Document::ALL {
            let content = documents::render(program, document, &date)?;
            let place = program.document_place(document, zsh_functions);
            put(&root.join(place), READABLE, &content)?;
        }
        let place = program.doc_folder().join("LICENSE");
        put(&root.join(place), READABLE, &license)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_where_a_program_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("disk-mounter"), EXECUTABLE, b"").unwrap();
        let root = folder.path().join("root");
        let names = ["disk-mounter", "disk-builder"].map(String::from);
        let error = install(&root, folder.path(), &names, Path::new("zsh")).unwrap_err();
        let expected = format!("{}/disk-builder is missing", folder.path().display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(!root.exists());
    }
}
