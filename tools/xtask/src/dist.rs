//! Everything of a release, with checksums.
//!
//! That is an archive of the programs with what belongs to them, laid out as under a prefix, the
//! Debian package of each, its bill of materials, the provenance of all of these, and SHA256SUMS,
//! which is signed if there is a key. The same sources, compiler and C library give the same files,
//! to the byte, in whatever folder, by whatever user, at whatever time.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{
    archive::{gzip, tar},
    cli::{DistArguments, ReleaseArguments},
    date::Date,
    deb,
    files::{self, READABLE, put, read},
    install,
    notices::notices,
    program::{ZSH_FUNCTIONS, built, version},
    provenance::{self, FileDigest},
    revision::Revision,
    sbom,
    signature::{SIGNATURE, sign},
    source,
};

/// Whose version is that of the release.
const FIRST: &str = "disk-mounter";
/// The file with the checksums.
const SUMS: &str = "SHA256SUMS";

/// Makes a release, in place of what an earlier one left in the folder, and gives the checksums.
pub(crate) fn release(arguments: &DistArguments) -> Result<String> {
    let release = &arguments.release;
    let revision = Revision::of_the_sources()?;
    if arguments.sign_key.is_some() {
        revision.ensure_committed()?;
    }
    let work = files::work_folder(&release.folder, ".dist.")?;
    let made = work.path().join("files");
    files::make_folder(&made)?;
    let version = version(&built(&release.release, FIRST)?, FIRST)?;
    archive(release, &version, work.path(), &made)?;
    for name in &release.programs {
        let program = built(&release.release, name)?;
        let bill = sbom::bill(&program, &release.target, Date::of_the_sources()?)?;
        let file = format!("{name}-{version}-{}.cdx.json", release.target);
        put(&made.join(file), READABLE, bill.as_bytes())?;
    }
    deb::packages(&release.for_folder(made.clone()))?;
    let statement = provenance::statement(
        &digests(&made)?,
        &release.target,
        &revision,
        &arguments.builder,
    )?;
    let file = format!("{FIRST}-{version}-{}.provenance.json", release.target);
    put(&made.join(file), READABLE, statement.as_bytes())?;
    let sums = sums(&digests(&made)?);
    put(&made.join(SUMS), READABLE, sums.as_bytes())?;
    if let Some(key) = &arguments.sign_key {
        sign(&made.join(SUMS), key)?;
    }

    // What an earlier version left there would not be in SHA256SUMS.
    for path in files::list(&release.folder)? {
        if is_published(file_name(&path)?) {
            files::remove(&path)?;
        }
    }
    for path in files::list(&made)? {
        files::rename(&path, &release.folder.join(file_name(&path)?))?;
    }
    Ok(sums)
}

/// Makes the archive with all programs; `work` is a folder to put it together in.
fn archive(release: &ReleaseArguments, version: &str, work: &Path, made: &Path) -> Result<()> {
    let name = format!("{FIRST}-{version}-{}", release.target);
    let top = work.join(&name);
    let zsh_functions = Path::new(ZSH_FUNCTIONS);
    install::install(&top, &release.release, &release.programs, zsh_functions)?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        put(
            &top.join(file),
            READABLE,
            &read(&source::root()?.join(file))?,
        )?;
    }
    let notices = notices(&release.target, &release.programs)?;
    put(
        &top.join("THIRD-PARTY-NOTICES"),
        READABLE,
        notices.as_bytes(),
    )?;
    let archive = tar(work, &name, Date::of_the_sources()?)?;
    let file = made.join(format!("{name}.tar.gz"));
    put(&file, READABLE, &gzip(&archive)?)
}

/// The digests of what is in a folder.
fn digests(folder: &Path) -> Result<Vec<FileDigest>> {
    let digest = |path: &PathBuf| {
        let digest = hex::encode(Sha256::digest(read(path)?));
        Ok((file_name(path)?.to_owned(), digest))
    };
    files::list(folder)?.iter().map(digest).collect()
}

/// The same as sha256sum lists them.
fn sums(digests: &[FileDigest]) -> String {
    let line = |(name, digest): &FileDigest| format!("{digest}  {name}\n");
    digests.iter().map(line).collect()
}

/// Whether a file is what a release consists of.
fn is_published(name: &str) -> bool {
    let ends = [".tar.gz", ".cdx.json", ".provenance.json", ".deb"];
    name.strip_suffix(SIGNATURE).unwrap_or(name) == SUMS
        || (!name.starts_with('.') && ends.iter().any(|end| name.ends_with(end)))
}

fn file_name(path: &Path) -> Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("the name of {} is no text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_as_sha256sum_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("empty"), READABLE, b"").unwrap();
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty\n";
        assert_eq!(sums(&digests(folder.path()).unwrap()), expected);
    }

    #[test]
    fn what_is_not_of_a_release_stays() {
        for name in [
            "SHA256SUMS",
            "SHA256SUMS.sig",
            "a-1.tar.gz",
            "a-1.cdx.json",
            "a-1.provenance.json",
            "a_1_amd64.deb",
        ] {
            assert!(is_published(name), "{name}");
        }
        for name in ["notes", ".hidden.deb", "deb", "a.tar", "a.sig"] {
            assert!(!is_published(name), "{name}");
        }
    }
}
