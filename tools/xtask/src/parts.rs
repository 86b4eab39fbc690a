//! What a program is made of: everything that is linked into it.
//!
//! Not as cargo-cyclonedx tells: it lists for disk-builder what only disk-mounter links, and
//! macros, which no program contains; leaves out the C library; and writes where on this machine
//! the sources lie.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The name and the version of a part.
pub(crate) type Key = (String, String);

/// Parts in the order of their names.
pub(crate) type Parts = BTreeMap<Key, LinkedPart>;

/// A crate or a library.
#[derive(Clone, Debug)]
pub(crate) struct LinkedPart {
    pub(crate) name: String,
    pub(crate) version: String,
    /// As an expression of SPDX.
    pub(crate) license: String,
    /// Its package URL.
    pub(crate) purl: String,
    /// The checksum of the crate, where it comes from a registry.
    pub(crate) sha256: Option<String>,
    /// The files with its licence and its authors' notices.
    pub(crate) texts: Vec<PathBuf>,
    /// The parts that it uses itself.
    pub(crate) needs: BTreeSet<Key>,
}

impl LinkedPart {
    /// Whether it is of this project: it comes from no registry.
    pub(crate) fn is_own(&self) -> bool {
        self.purl.starts_with("pkg:cargo/") && self.sha256.is_none()
    }

    /// What it is found by.
    pub(crate) fn key(&self) -> Key {
        (self.name.clone(), self.version.clone())
    }
}
