//! The programs that are published, and where their files belong.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::child::{command, is_executable, text};

/// Where zsh looks for completions, below a prefix.
pub(crate) const ZSH_FUNCTIONS: &str = "share/zsh/site-functions";

/// A program that is published.
#[derive(Debug, PartialEq)]
pub(crate) struct PublishedProgram {
    /// Its name.
    pub(crate) name: &'static str,
    /// The section of its manual page.
    pub(crate) section: &'static str,
}

/// All of them.
pub(crate) const PROGRAMS: [PublishedProgram; 2] = [
    PublishedProgram {
        name: "disk-mounter",
        section: "8",
    },
    PublishedProgram {
        name: "disk-builder",
        section: "1",
    },
];

/// A manual page, or the completions of a shell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Document {
    ManualPage,
    Bash,
    Zsh,
    Fish,
}

impl Document {
    /// Each of them.
    pub(crate) const ALL: [Self; 4] = [Self::ManualPage, Self::Bash, Self::Zsh, Self::Fish];
}

impl PublishedProgram {
    /// The program of a name.
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        PROGRAMS
            .iter()
            .find(|program| program.name == name)
            .with_context(|| format!("there is no program {name} to install"))
    }

    /// Where the program itself belongs, below a prefix.
    pub(crate) fn place(&self) -> PathBuf {
        Path::new("bin").join(self.name)
    }

    /// Where a document belongs, below `share`.
    pub(crate) fn document(&self, document: Document) -> PathBuf {
        let (name, section) = (self.name, self.section);
        match document {
            Document::ManualPage => format!("man/man{section}/{name}.{section}").into(),
            Document::Bash => format!("bash-completion/completions/{name}").into(),
            Document::Zsh => format!("zsh/site-functions/_{name}").into(),
            Document::Fish => format!("fish/vendor_completions.d/{name}.fish").into(),
        }
    }

    /// Where a document belongs, below a prefix under which zsh looks into a folder of its own.
    pub(crate) fn document_place(&self, document: Document, zsh_functions: &Path) -> PathBuf {
        match document {
            Document::Zsh => zsh_functions.join(format!("_{}", self.name)),
            _ => Path::new("share").join(self.document(document)),
        }
    }

    /// The folder for its license and the like, below a prefix.
    pub(crate) fn doc_folder(&self) -> PathBuf {
        Path::new("share/doc").join(self.name)
    }
}

/// The file of a built program, which must be there.
pub(crate) fn built(release: &Path, name: &str) -> Result<PathBuf> {
    let path = release.join(name);
    is_executable(&path)
        .then_some(path)
        .with_context(|| format!("{} is missing: make build", release.join(name).display()))
}

/// The version that a built program says it has.
pub(crate) fn version(program: &Path, name: &str) -> Result<String> {
    let said = text(&mut command(program, ["--version"]))?;
    said.trim()
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(' '))
        .map(str::to_owned)
        .with_context(|| format!("{} says no version: {said}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lie_where_they_are_looked_for() {
        let program = PublishedProgram::find("disk-mounter").unwrap();
        let expected = [
            "man/man8/disk-mounter.8",
            "bash-completion/completions/disk-mounter",
            "zsh/site-functions/_disk-mounter",
            "fish/vendor_completions.d/disk-mounter.fish",
        ];
        let places = Document::ALL.map(|document| program.document(document));
        assert_eq!(places, expected.map(PathBuf::from));
        let place = |document| program.document_place(document, Path::new("share/zsh/x"));
        assert_eq!(place(Document::Zsh), Path::new("share/zsh/x/_disk-mounter"));
        assert_eq!(
            place(Document::ManualPage),
            Path::new("share/man/man8/disk-mounter.8")
        );
        assert_eq!(program.place(), Path::new("bin/disk-mounter"));
        assert!(PublishedProgram::find("disk-unmaker").is_err());
    }
}
