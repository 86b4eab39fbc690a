//! Whether the manifest beside a disk is about that disk.

use std::path::{Path, PathBuf};

use dm_verity::RootHash;
use model_disk::{
    Disk, Escaped, ModelFile,
    erofs::{ErofsError, Walk, WalkEntry},
    manifest::{DiskSummary, Manifest, ManifestError, default_path},
};
use serde_json::{Map, Value};

use super::verified_filesystem::{ReadVerified, VerifiedFilesystem};

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
    Walk(#[from] ErofsError),
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
    // Its files are compared as they are read: it may list many.
    let (mut walk, mut files) = match filesystem.walk() {
        Ok(walk) => (Some(walk), Ok(None)),
        Err(error) => (None, Err(error)),
    };
    let mut compare_next = |listed: Option<&ModelFile>| {
        if let (Some(walk), Ok(None)) = (&mut walk, &files) {
            files = other_file(listed, walk);
        }
    };
    let manifest = Manifest::read(path, |file| compare_next(Some(&file)))?;
    compare_next(None);
    let uuid = disk.uuid();
    let (params, hash_area) = (disk.params(), disk.hash_area());
    let mut found = DiskSummary::new(params, hash_area, root_hash, uuid.unwrap_or_default());
    if uuid.is_none() {
        found.uuid.clone_from(&manifest.uuid);
    }
    match other_field(&manifest, &found) {
        Some(mismatch) => Ok(Some(mismatch)),
        None => Ok(files?),
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

/// Compares what a manifest lists next, or that it lists no more, with the next file of the disk. Both
/// have one order, which is that of the walk.
fn other_file(
    listed: Option<&ModelFile>,
    walk: &mut Walk<ReadVerified<'_>>,
) -> Result<Option<ManifestMismatch>, ErofsError> {
    let on_disk = loop {
        match walk.next_entry()? {
            Some(directory) if directory.node.is_directory() => {}
            file_or_end => break file_or_end,
        }
    };
    let same = match (listed, &on_disk) {
        (Some(listed), Some(file)) => {
            listed.path.as_bytes() == file.path && listed.size == file.node.size()
        }
        (None, None) => true,
        _ => false,
    };
    Ok((!same).then(|| ManifestMismatch::File {
        listed: describe(listed),
        found: on_disk.as_ref().map_or(NO_MORE.to_owned(), found),
    }))
}

/// In the place of a file.
const NO_MORE: &str = "no more";

fn describe(file: Option<&ModelFile>) -> String {
    let text = |file: &ModelFile| shown(&file.path.to_string(), file.size);
    file.map_or(NO_MORE.to_owned(), text)
}

fn found(entry: &WalkEntry<'_>) -> String {
    shown(&Escaped::bytes(entry.path).to_string(), entry.node.size())
}

fn shown(path: &str, bytes: u64) -> String {
    format!("{path} of {bytes} bytes")
}
