//! The crates that are linked into a program.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cargo_metadata::{MetadataCommand, Package};
use serde::Deserialize;

use crate::{
    child::{command, text},
    files,
    parts::{Key, LinkedPart, Parts},
    source,
};

/// How the names of files with licences and notices begin.
const TEXTS: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// The crates in a program, and which of them is the program's own.
///
/// As `cargo build --package PROGRAM` links them: macros, build scripts and what only tests use
/// are not in the program. `cargo tree` tells, and not `cargo metadata`, which knows only what all
/// of the workspace uses together, with the features for all of it.
pub(crate) fn crates(program: &str, target: &str) -> Result<(Key, Parts)> {
    let root = source::root()?;
    let mut tree = command("cargo", ["tree", "--locked", "--package", program]);
    tree.args(["--target", target, "--edges", "normal,no-proc-macro"]);
    tree.args(["--no-dedupe", "--prefix", "depth", "--format", " {p}"]);
    let tree = text(tree.current_dir(&root))?;
    let known = Known::read(&root)?;

    let mut parts = Parts::new();
    let mut above: Vec<Key> = Vec::new();
    for line in tree.lines() {
        let (depth, key) = tree_line(line).with_context(|| format!("cargo tree says {line}"))?;
        if !parts.contains_key(&key) {
            parts.insert(key.clone(), known.part(&key)?);
        }
        above.truncate(depth);
        if let Some(user) = above.last().and_then(|user| parts.get_mut(user)) {
            user.needs.insert(key.clone());
        }
        above.push(key);
    }
    let own = above.into_iter().next();
    Ok((own.context("cargo tree says nothing")?, parts))
}

/// `1 nix v0.31.4` as depth, name and version.
fn tree_line(line: &str) -> Option<(usize, Key)> {
    let mut words = line.split_whitespace();
    let depth = words.next()?.parse().ok()?;
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((depth, (name.into(), version.into())))
}

/// What Cargo knows of all crates of the workspace.
struct Known {
    packages: HashMap<Key, Package>,
    /// Those from a registry have one.
    checksums: HashMap<Key, String>,
}

impl Known {
    fn read(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .current_dir(root)
            .other_options(["--locked".to_owned()])
            .exec()?;
        let packages = metadata.packages.into_iter().map(|package| {
            let key = (package.name.to_string(), package.version.to_string());
            (key, package)
        });
        let lock = String::from_utf8(files::read(&root.join("Cargo.lock"))?)?;
        Ok(Self {
            packages: packages.collect(),
            checksums: checksums(&lock)?,
        })
    }

    fn part(&self, key: &Key) -> Result<LinkedPart> {
        let (name, version) = key;
        let package = self
            .packages
            .get(key)
            .with_context(|| format!("cargo metadata does not list {name} {version}"))?;
        let license = package
            .license
            .as_ref()
            .with_context(|| format!("{name} {version} says no license"))?;
        let folder = package.manifest_path.parent();
        Ok(LinkedPart {
            name: name.clone(),
            version: version.clone(),
            // As crates wrote it before SPDX had expressions.
            license: license.replace('/', " OR "),
            purl: format!("pkg:cargo/{name}@{version}"),
            sha256: self.checksums.get(key).cloned(),
            texts: texts(folder.context("a manifest lies in a folder")?.as_std_path())?,
            needs: BTreeSet::new(),
        })
    }
}

/// The checksums in Cargo.lock.
fn checksums(lock: &str) -> Result<HashMap<Key, String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let lock: Lock = toml::from_str(lock).context("cannot read Cargo.lock")?;
    let checksum = |locked: Locked| Some(((locked.name, locked.version), locked.checksum?));
    Ok(lock.package.into_iter().filter_map(checksum).collect())
}

/// The files of a crate with licences and notices.
fn texts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = files::list(folder)?;
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        path.is_file() && TEXTS.iter().any(|word| name.starts_with(word))
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> Key {
        (name.into(), version.into())
    }

    #[test]
    fn lines_of_the_tree() {
        let line = "0 disk-mounter v0.1.0 (/home/some one/sources)";
        assert_eq!(tree_line(line), Some((0, key("disk-mounter", "0.1.0"))));
        assert_eq!(
            tree_line("12 nix v0.31.4"),
            Some((12, key("nix", "0.31.4")))
        );
        for line in ["", "nix v0.31.4", "1 nix", "1 nix 0.31.4"] {
            assert_eq!(tree_line(line), None, "{line}");
        }
    }

    #[test]
    fn checksums_of_what_comes_from_a_registry() {
        let lock = "version = 4\n\
            [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\
            [[package]]\nname = \"other\"\nversion = \"1.2.3\"\nsource = \"x\"\nchecksum = \"ab\"\n";
        let expected = HashMap::from([(key("other", "1.2.3"), "ab".to_owned())]);
        assert_eq!(checksums(lock).unwrap(), expected);
        assert!(checksums("package = 1").is_err());
    }

    #[test]
    fn files_with_licences() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "license-mit",
            "COPYING",
            "README",
            "NOTICE/inside",
            "UNLICENSE",
        ] {
            files::put(&folder.path().join(name), files::READABLE, b"").unwrap();
        }
        let found = texts(folder.path()).unwrap();
        let names = ["COPYING", "UNLICENSE", "license-mit"];
        assert_eq!(found, names.map(|name| folder.path().join(name)));
    }
}
