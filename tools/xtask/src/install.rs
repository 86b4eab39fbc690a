//! Installs programs with what belongs to them, and removes them again.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};

use crate::{
    date::Date,
    documents,
    files::{EXECUTABLE, READABLE, put, read, remove},
    program::{Document, Program, built},
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
        let program = Program::find(name)?;
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

/// Removes what [`install`] has installed under a root. That something is not there is no error.
pub(crate) fn uninstall(root: &Path, programs: &[String], zsh_functions: &Path) -> Result<()> {
    for name in programs {
        let program = Program::find(name)?;
        remove(&root.join(program.place()))?;
        for document in Document::ALL {
            remove(&root.join(program.document_place(document, zsh_functions)))?;
        }
        let folder = root.join(program.doc_folder());
        remove(&folder.join("LICENSE"))?;
        match fs::remove_dir(&folder) {
            // Somebody else's file is in it, or it is not there.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
                ) => {}
            removed => removed.with_context(|| format!("cannot remove {}", folder.display()))?,
        }
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

    #[test]
    fn what_others_have_installed_is_left_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for name in [
            "sbin/disk-mounter",
            "share/doc/disk-mounter/other",
            "zsh/_other",
        ] {
            put(&place(name), READABLE, b"").unwrap();
        }
        let names = [String::from("disk-mounter")];
        uninstall(folder.path(), &names, Path::new("zsh")).unwrap();
        assert!(!place("sbin/disk-mounter").exists());
        assert!(place("share/doc/disk-mounter/other").exists() && place("zsh/_other").exists());
    }
}
