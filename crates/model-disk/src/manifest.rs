//! What is written beside a disk about it, as JSON.
//!
//! Nobody needs it to mount or to verify a disk, and nobody should trust it: it says where a disk
//! came from and what is on it. The fields are listed in `docs/layout.md`.

mod fields;
mod json_bounds;

use std::{
    borrow::Cow,
    ffi::OsString,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeSeed as _};
use uuid::Uuid;

use crate::{BackingFile, BackingFileError, Escaped, FileError, ModelFile, ReadAt};
use dm_verity::{
    HashArea, RootHash, TreeLayout, VerityParams,
    fec::{FecArea, FecLayout},
};
use fields::ReadFields;
use json_bounds::BoundedJson;

/// The meaning of the fields; another number is another meaning.
pub const SCHEMA: u32 = 1;

/// The layout of the disks that this program makes.
pub const LAYOUT: u32 = 1;

/// None that is longer is read, or it would take too long: ten million files are in this.
const MAX_BYTES: u64 = 1 << 30;

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest<'a> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What of the disk the root hash decides on.
    #[serde(flatten)]
    pub disk: DiskSummary,
    /// Its FEC area, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fec: Option<FecSummary>,
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

/// Parity after the tree. Sizes and offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FecSummary {
    /// How many parity bytes a codeword has.
    pub roots: usize,
    /// Where it starts.
    pub offset: u64,
    /// How much it is.
    pub bytes: u64,
}

impl FecSummary {
    /// That of an FEC area.
    pub fn new(layout: &FecLayout, area: &FecArea) -> Self {
        Self {
            roots: layout.roots().get(),
            offset: area.offset(),
            bytes: layout.parity_bytes(),
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

    /// Reads one from a regular file: `visit` gets the files that it lists, one by one and in their
    /// order, and what it says of the disk is returned. What it says is not to be trusted, and it
    /// may turn out to be no manifest when files have been visited.
    ///
    /// How much memory that takes does not depend on how long the manifest is.
    pub fn read(
        path: &Path,
        mut visit: impl FnMut(ModelFile),
    ) -> Result<DiskSummary, ManifestError> {
        let file = BackingFile::open(path)?;
        if file.bytes() > MAX_BYTES {
            return Err(ManifestError::TooLong(path.to_owned()));
        }
        let bounded = BoundedJson::new(file.file().take(MAX_BYTES));
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(bounded));
        let fields = ReadFields(&mut visit).deserialize(&mut json);
        let whole = fields.and_then(|fields| json.end().map(|()| fields));
        let (schema, disk) = whole.map_err(|source| {
            if source.is_io() {
                return BackingFileError::from(FileError::new("read", path)(io::Error::from(
                    source,
                )))
                .into();
            }
            let path = path.to_owned();
            ManifestError::Syntax { path, source }
        })?;
        if schema != SCHEMA {
            return Err(ManifestError::Schema {
                path: path.to_owned(),
                found: schema,
            });
        }
        Ok(disk)
    }
}

/// Where the manifest of an image is, unless somebody says otherwise: beside it, as `IMAGE.json`.
pub fn default_path(image: &Path) -> PathBuf {
    let mut path = OsString::from(image);
    path.push(".json");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RelativePath;

    /// More than any model, and read all the same.
    #[test]
    fn a_million_files() {
        let files: Vec<_> = (0..1_000_000)
            .map(|number| ModelFile {
                path: RelativePath::new(format!("shards/model-{number:07}.safetensors")).unwrap(),
                size: number << 20,
            })
            .collect();
        let text = String::new;
        let disk = DiskSummary {
            layout: LAYOUT,
            root_hash: text(),
            data_blocks: 1,
            data_block_size: 4096,
            hash_block_size: 4096,
            hash_offset: 4096,
            hash_algorithm: text(),
            salt: text(),
            uuid: text(),
            image_bytes: 8192,
        };
        let manifest = Manifest {
            schema: SCHEMA,
            disk: disk.clone(),
            fec: None,
            source: None,
            revision: None,
            excluded: Cow::Borrowed(&[]),
            files: Cow::Borrowed(&files),
            builder_version: text(),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        manifest.write(file.as_file()).unwrap();
        let mut listed = files.iter();
        let read = Manifest::read(file.path(), |file| {
            assert_eq!(listed.next(), Some(&file));
        });
        assert_eq!(read.unwrap(), disk);
        assert!(listed.next().is_none());
    }
}
