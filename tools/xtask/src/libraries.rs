//! What else is linked into every program, whatever crates it has: Rust's standard library, and
//! the C library and the unwinder from Debian's packages.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    child::{command, text},
    parts::{LinkedPart, Parts},
};

/// A static library of a Debian package.
struct StaticLibrary {
    /// Its file.
    name: &'static str,
    license: &'static str,
}

const ARCHIVES: [StaticLibrary; 2] = [
    StaticLibrary {
        name: "libc.a",
        license: "LGPL-2.1-or-later",
    },
    StaticLibrary {
        name: "libgcc_eh.a",
        license: "GPL-3.0-or-later WITH GCC-exception-3.1",
    },
];

/// The Debian package that an archive is in.
struct DebianPackage {
    name: String,
    /// The source package that it is built from.
    source: String,
    /// That one's version.
    version: String,
}

/// All of them.
pub(crate) fn libraries() -> Result<Parts> {
    let rust = rust_version(&text(&mut command("rustc", ["--version"]))?)?;
    let mut found = vec![LinkedPart {
        name: "std".into(),
        version: rust.clone(),
        license: "MIT OR Apache-2.0".into(),
        purl: format!("pkg:generic/rust-std@{rust}"),
        sha256: None,
        texts: Vec::new(),
        needs: BTreeSet::new(),
    }];
    for archive in &ARCHIVES {
        let package = DebianPackage::with(archive)?;
        let (source, version) = (package.source, package.version);
        found.push(LinkedPart {
            license: archive.license.into(),
            purl: format!("pkg:deb/debian/{source}@{version}?arch=source"),
            name: source,
            version,
            sha256: None,
            texts: vec![format!("/usr/share/doc/{}/copyright", package.name).into()],
            needs: BTreeSet::new(),
        });
    }
    Ok(found.into_iter().map(|part| (part.key(), part)).collect())
}

/// The field of a Debian package that says what is linked in from Debian's own, so that its
/// sources can be found.
pub(crate) fn built_using() -> Result<String> {
    let package = |archive| {
        let package = DebianPackage::with(archive)?;
        Ok(format!("{} (= {})", package.source, package.version))
    };
    let packages: Result<Vec<String>> = ARCHIVES.iter().map(package).collect();
    Ok(packages?.join(", "))
}

impl DebianPackage {
    /// The package with an archive that gcc links.
    fn with(archive: &StaticLibrary) -> Result<Self> {
        let option = format!("-print-file-name={}", archive.name);
        let path = PathBuf::from(text(&mut command("gcc", [&option]))?.trim());
        let path = fs::canonicalize(&path)
            .with_context(|| format!("gcc finds no {}: {}", archive.name, path.display()))?;
        let found = text(command("dpkg", ["--search"]).arg(&path))?;
        let name = package_name(&found)?.to_owned();
        let format = "--showformat=${source:Package} ${source:Version}";
        let shown = text(&mut command("dpkg-query", ["--show", format, &name]))?;
        let (source, version) = shown
            .trim()
            .split_once(' ')
            .with_context(|| format!("dpkg knows no source of {name}: {shown}"))?;
        Ok(Self {
            name,
            source: source.into(),
            version: version.into(),
        })
    }
}

/// The package in what `dpkg --search` prints: `libc6-dev:amd64: /usr/lib/…/libc.a`.
fn package_name(found: &str) -> Result<&str> {
    let (name, _) = found
        .split_once(':')
        .with_context(|| format!("dpkg names no package: {found}"))?;
    Ok(name)
}

/// The version in what `rustc --version` prints: `rustc 1.89.0 (29483883e 2025-08-04)`.
fn rust_version(said: &str) -> Result<String> {
    said.split_whitespace()
        .nth(1)
        .map(str::to_owned)
        .with_context(|| format!("rustc says no version: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_versions() {
        let found = "libc6-dev:amd64: /usr/lib/x86_64-linux-gnu/libc.a\n";
        assert_eq!(package_name(found).unwrap(), "libc6-dev");
        assert_eq!(
            package_name("libgcc-14-dev: /x\n").unwrap(),
            "libgcc-14-dev"
        );
        assert!(package_name("").is_err());
        let said = "rustc 1.89.0 (29483883e 2025-08-04)\n";
        assert_eq!(rust_version(said).unwrap(), "1.89.0");
        assert!(rust_version("rustc").is_err());
    }
}
