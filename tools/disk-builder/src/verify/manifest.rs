//! Whether the manifest beside a disk is about that disk.

use std::path::{Path, PathBuf};

use disk_mounter::{
    erofs::{Node, WalkError},
    escaped::Escaped,
    verity::RootHash,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::verified::Verified;
use crate::{
    hash::Plan,
    manifest::{Disk, Manifest, ManifestError, default_path},
    medium::MediumError,
    model::ModelFile,
};

/// How a manifest differs from its disk.
#[derive(Debug, thiserror::Error)]
pub enum ManifestMismatch {
    /// It cannot be read as one.
    #[error(transparent)]
    Unreadable(ManifestError),
    /// A field says something else.
    #[error("it says {field} {manifest}, the disk has {disk}")]
    Field {
        /// The field.
        field: String,
        /// What it says.
        manifest: Value,
        /// What it should.
        disk: Value,
    },
    /// It lists another file than the one that comes next on the disk, in the order of the disk.
    #[error("it lists {listed}, where the disk has {found}")]
    File {
        /// In the manifest.
        listed: String,
        /// On the disk.
        found: String,
    },
    /// The disk's files cannot be listed.
    #[error("the disk's files cannot be listed")]
    Walk(#[from] WalkError),
}

/// A manifest that stands beside a disk.
pub(super) struct Beside {
    pub(super) path: PathBuf,
    manifest: Result<Manifest<'static>, ManifestError>,
}

impl Beside {
    /// Reads it, where there is one. An error where it is there and cannot be opened.
    pub(super) fn find(image: &Path) -> Result<Option<Self>, MediumError> {
        let path = default_path(image);
        if !path.exists() {
            return Ok(None);
        }
        match Manifest::read(&path) {
            Err(ManifestError::Medium(error)) => Err(error),
            manifest => Ok(Some(Self { path, manifest })),
        }
    }

    /// Compares it with a disk that is all verified: with its tree and with its files. `uuid` is
    /// that of the superblock, where there is one.
    pub(super) fn check(
        self,
        plan: &Plan,
        root_hash: &RootHash,
        uuid: Option<Uuid>,
        filesystem: &Verified<'_>,
    ) -> Result<(), ManifestMismatch> {
        let manifest = self.manifest.map_err(ManifestMismatch::Unreadable)?;
        let mut disk = Disk::new(plan, root_hash, uuid.unwrap_or_default());
        if uuid.is_none() {
            disk.uuid.clone_from(&manifest.disk.uuid);
        }
        same_fields(&manifest.disk, &disk)?;
        same_files(&manifest.files, filesystem)
    }
}

fn same_fields(manifest: &Disk, disk: &Disk) -> Result<(), ManifestMismatch> {
    let (manifest, mut disk) = (fields(manifest), fields(disk));
    for (field, manifest) in manifest {
        let disk = disk.remove(&field).unwrap_or_default();
        if manifest != disk {
            return Err(ManifestMismatch::Field {
                field,
                manifest,
                disk,
            });
        }
    }
    Ok(())
}

fn fields(disk: &Disk) -> Map<String, Value> {
    match serde_json::to_value(disk) {
        Ok(Value::Object(fields)) => fields,
        // It is a struct of numbers and strings.
        _ => Map::new(),
    }
}

/// The manifest has the order of the disk, which is that of the walk.
fn same_files(listed: &[ModelFile], filesystem: &Verified<'_>) -> Result<(), ManifestMismatch> {
    let mut listed = listed.iter();
    let mut mismatch = None;
    filesystem.walk(|node| {
        if node.is_directory || mismatch.is_some() {
            return;
        }
        let next = listed.next();
        let same = |file: &ModelFile| file.path.as_bytes() == node.path && file.size == node.size;
        if !next.is_some_and(same) {
            mismatch = Some(ManifestMismatch::File {
                listed: describe(next),
                found: found(&node),
            });
        }
    })?;
    match (mismatch, listed.next()) {
        (Some(mismatch), _) => Err(mismatch),
        (None, None) => Ok(()),
        (None, more) => Err(ManifestMismatch::File {
            listed: describe(more),
            found: "no more".to_owned(),
        }),
    }
}

fn describe(file: Option<&ModelFile>) -> String {
    let text = |file: &ModelFile| shown(&file.path.to_string(), file.size);
    file.map_or("no more".to_owned(), text)
}

fn found(node: &Node<'_>) -> String {
    shown(&Escaped::bytes(node.path).to_string(), node.size)
}

fn shown(path: &str, bytes: u64) -> String {
    format!("{path} of {bytes} bytes")
}
