//! What is written beside a disk about it, as JSON.
//!
//! Nobody needs it to mount or to verify a disk, and nobody should trust it: it says where a disk
//! came from and what is on it. The fields are listed in `docs/layout.md`.

use std::{
    borrow::Cow,
    ffi::OsString,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BackingFile, BackingFileError, Escaped, FileError, ModelFile, ReadAt};
use dm_verity::{HashArea, RootHash, TreeLayout, VerityParams};

/// The meaning of the fields; another number is another meaning.
pub const SCHEMA: u32 = 1;

/// The layout of the disks that this program makes.
pub const LAYOUT: u32 = 1;

/// None that is longer is read, or it would fill the memory: half a million files are in this.
const MAX_BYTES: u64 = 64 << 20;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenManifest")]
pub struct Manifest<'a> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What of the disk the root hash decides on.
    #[serde(flatten)]
    pub disk: DiskSummary,
    /// Where the model came from.
    pub source: Option<String>,
    /// Which of its revisions it is.
    pub revision: Option<String>,
    /// The patterns of what was left out besides what always is.
    pub excluded: Cow<'a, [String]>,
    /// All files, in the order of the disk.
    pub files: Cow<'a, [ModelFile]>,
    /// The version of the program that made the disk.
    pub builder_version: String,
}

/// The shape of a disk and its root hash. Sizes and offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are those of the arguments and of the superblock.
pub struct DiskSummary {
    /// [`LAYOUT`].
    pub layout: u32,
    pub root_hash: String,
    pub data_blocks: u64,
    pub data_block_size: u32,
    pub hash_block_size: u32,
    pub hash_offset: u64,
    pub hash_algorithm: String,
    pub salt: String,
    pub uuid: String,
    /// Of filesystem, superblock and tree together.
    pub image_bytes: u64,
}

/// A manifest as it is read. A flattened [`DiskSummary`] would keep all that is unknown in memory.
#[derive(Deserialize)]
struct WrittenManifest {
    schema: u32,
    layout: u32,
    root_hash: String,
    data_blocks: u64,
    data_block_size: u32,
    hash_block_size: u32,
    hash_offset: u64,
    hash_algorithm: String,
    salt: String,
    uuid: String,
    image_bytes: u64,
    source: Option<String>,
    revision: Option<String>,
    excluded: Vec<String>,
    files: Vec<ModelFile>,
    builder_version: String,
}

impl From<WrittenManifest> for Manifest<'_> {
    fn from(written: WrittenManifest) -> Self {
        Self {
            schema: written.schema,
            disk: DiskSummary {
                layout: written.layout,
                root_hash: written.root_hash,
                data_blocks: written.data_blocks,
                data_block_size: written.data_block_size,
                hash_block_size: written.hash_block_size,
                hash_offset: written.hash_offset,
                hash_algorithm: written.hash_algorithm,
                salt: written.salt,
                uuid: written.uuid,
                image_bytes: written.image_bytes,
            },
            source: written.source,
            revision: written.revision,
            excluded: written.excluded.into(),
            files: written.files.into(),
            builder_version: written.builder_version,
        }
    }
}

/// A manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be opened.
    #[error(transparent)]
    File(#[from] BackingFileError),
    /// It is none.
    #[error("{} is not a manifest", Escaped::path(path))]
    Syntax {
        /// What was read.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// It is of another version.
    #[error(
        "{} is a manifest of schema {found}, and only schema {SCHEMA} is known",
        Escaped::path(path)
    )]
    Schema {
        /// What was read.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// Too much to read.
    #[error("{} has more than {MAX_BYTES} bytes, too much to read", Escaped::path(.0))]
    TooLong(PathBuf),
}

impl DiskSummary {
    /// That of a tree whose superblock has this UUID.
    pub fn new(
        params: &VerityParams,
        hash_area: HashArea,
        root_hash: &RootHash,
        uuid: Uuid,
    ) -> Self {
        Self {
            layout: LAYOUT,
            root_hash: root_hash.to_string(),
            data_blocks: params.data_blocks(),
            data_block_size: params.data_block_size().get(),
            hash_block_size: params.hash_block_size().get(),
            hash_offset: hash_area.offset(),
            hash_algorithm: params.algorithm().to_string(),
            salt: params.salt().to_string(),
            uuid: uuid.to_string(),
            image_bytes: hash_area.end(&TreeLayout::new(params)),
        }
    }
}

impl Manifest<'_> {
    /// Writes it, ready for people to read.
    pub fn write(&self, file: &File) -> io::Result<()> {
        let mut out = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

impl Manifest<'static> {
    /// Reads one from a regular file. What it says is not to be trusted.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let file = BackingFile::open(path)?;
        if file.bytes() > MAX_BYTES {
            return Err(ManifestError::TooLong(path.to_owned()));
        }
        let reader = BufReader::new(file.file().take(MAX_BYTES));
        let parsed: Self = serde_json::from_reader(reader).map_err(|source| {
            if source.is_io() {
                return BackingFileError::from(FileError::new("read", path)(io::Error::from(
                    source,
                )))
                .into();
            }
            let path = path.to_owned();
            ManifestError::Syntax { path, source }
        })?;
        if parsed.schema != SCHEMA {
            return Err(ManifestError::Schema {
                path: path.to_owned(),
                found: parsed.schema,
            });
        }
        Ok(parsed)
    }
}

/// Where the manifest of an image is, unless somebody says otherwise: beside it, as `IMAGE.json`.
pub fn default_path(image: &Path) -> PathBuf {
    let mut path = OsString::from(image);
    path.push(".json");
    path.into()
}
