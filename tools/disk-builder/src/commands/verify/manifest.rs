//! Whether the manifest beside a disk is about that disk.

use std::path::{Path, PathBuf};

use dm_verity::RootHash;
use model_disk::{
    Disk, Escaped, ModelFile,
    erofs::{WalkEntry, WalkError},
    manifest::{DiskSummary, Manifest, ManifestError, default_path},
};
use serde_json::{Map, Value};

use super::verified_filesystem::VerifiedFilesystem;

/// A manifest that stands beside a disk.
#[derive(Debug)]
pub struct ManifestReport {
    /// Where it is.
    pub path: PathBuf,
    /// What it is to the disk.
    pub verdict: ManifestVerdict,
}

/// What a manifest is to the disk that it stands beside.
#[derive(Debug)]
pub enum ManifestVerdict {
    /// It is about the disk.
    Agrees,
    /// It is about another.
    Differs(ManifestMismatch),
    /// Nobody can tell. That says nothing of the disk, which needs no manifest.
    NotCompared(NotCompared),
}

/// Why a manifest could not be compared with its disk.
#[derive(Debug, thiserror::Error)]
pub enum NotCompared {
    /// It cannot be read as one.
    #[error(transparent)]
    Unreadable(#[from] ManifestError),
    /// The disk's files cannot be listed.
    #[error("the disk's files cannot be listed")]
    Walk(#[from] WalkError),
}

/// How a manifest differs from its disk.
#[derive(Debug, thiserror::Error)]
pub enum ManifestMismatch {
    /// A field says something else.
    #[error("it says {field} {}, the disk has {disk}", Escaped::bytes(manifest.to_string().as_bytes()))]
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
}

impl ManifestReport {
    /// Compares the manifest of `image`, where there is one, with the disk, all of which is
    /// verified: with its tree and with its files.
    pub(super) fn find(
        disk: &Disk,
        root_hash: &RootHash,
        filesystem: &VerifiedFilesystem<'_>,
    ) -> Option<Self> {
        let image = disk.data_file().path();
        // Where the image is a link, the manifest may be beside what it leads to.
        let places = [Some(image.to_owned()), image.canonicalize().ok()];
        let mut places = places.iter().flatten().map(|image| default_path(image));
        let path = places.find(|path| path.exists())?;
        let verdict = match compare(&path, disk, root_hash, filesystem) {
            Ok(None) => ManifestVerdict::Agrees,
            Ok(Some(mismatch)) => ManifestVerdict::Differs(mismatch),
            Err(reason) => ManifestVerdict::NotCompared(reason),
        };
        Some(Self { path, verdict })
    }
}

/// The first difference, if there is one.
fn compare(
    path: &Path,
    disk: &Disk,
    root_hash: &RootHash,
    filesystem: &VerifiedFilesystem<'_>,
) -> Result<Option<ManifestMismatch>, NotCompared> {
    let manifest = Manifest::read(path)?;
    let uuid = disk.uuid();
    let (params, hash_area) = (disk.params(), disk.hash_area());
    let mut found = DiskSummary::new(params, hash_area, root_hash, uuid.unwrap_or_default());
    if uuid.is_none() {
        found.uuid.clone_from(&manifest.disk.uuid);
    }
    match other_field(&manifest.disk, &found) {
        Some(mismatch) => Ok(Some(mismatch)),
        None => Ok(other_file(&manifest.files, filesystem)?),
    }
}

fn other_field(manifest: &DiskSummary, disk: &DiskSummary) -> Option<ManifestMismatch> {
    let (manifest, mut disk) = (fields(manifest), fields(disk));
    manifest.into_iter().find_map(|(field, manifest)| {
        let disk = disk.remove(&field).unwrap_or_default();
        (manifest != disk).then_some(ManifestMismatch::Field {
            field,
            manifest,
            disk,
        })
    })
}

fn fields(disk: &DiskSummary) -> Map<String, Value> {
    match serde_json::to_value(disk) {
        Ok(Value::Object(fields)) => fields,
        // It is a struct of numbers and strings.
        _ => Map::new(),
    }
}

/// The manifest has the order of the disk, which is that of the walk.
fn other_file(
    listed: &[ModelFile],
    filesystem: &VerifiedFilesystem<'_>,
) -> Result<Option<ManifestMismatch>, WalkError> {
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
    let more = || {
        listed.next().map(|more| ManifestMismatch::File {
            listed: describe(Some(more)),
            found: "no more".to_owned(),
        })
    };
    Ok(mismatch.or_else(more))
}

fn describe(file: Option<&ModelFile>) -> String {
    let text = |file: &ModelFile| shown(&file.path.to_string(), file.size);
    file.map_or("no more".to_owned(), text)
}

fn found(node: &WalkEntry<'_>) -> String {
    shown(&Escaped::bytes(node.path).to_string(), node.size)
}

fn shown(path: &str, bytes: u64) -> String {
    format!("{path} of {bytes} bytes")
}
