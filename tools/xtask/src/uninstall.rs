//! Removes what has been installed.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};

use crate::{
    files::remove,
    program::{Document, PublishedProgram},
};

/// Removes what `install` has installed under a root. That something is not there is no error.
pub(crate) fn uninstall(root: &Path, programs: &[String], zsh_functions: &Path) -> Result<()> {
    for name in programs {
        let program = PublishedProgram::find(name)?;
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
    use crate::files::{READABLE, put};

    #[test]
    fn what_others_have_installed_is_left_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for name in [
            "bin/disk-mounter",
            "share/doc/disk-mounter/other",
            "zsh/_other",
        ] {
            put(&place(name), READABLE, b"").unwrap();
        }
        let names = [String::from("disk-mounter")];
        uninstall(folder.path(), &names, Path::new("zsh")).unwrap();
        assert!(!place("bin/disk-mounter").exists());
        assert!(place("share/doc/disk-mounter/other").exists() && place("zsh/_other").exists());
    }
}
