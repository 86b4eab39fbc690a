//! `inspect`: what the superblocks of a disk claim.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use disk_mounter::{
    erofs,
    verity::{Binding, HashArea, Superblock, SuperblockError, TreeLayout, hash_offset_candidates},
};
use serde_json::{Value, json};

use crate::{
    medium::{Medium, MediumError},
    superblocks,
};

/// The claims of a disk. Nothing of it has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    image: PathBuf,
    bytes: u64,
    filesystem: Result<erofs::Superblock, erofs::SuperblockError>,
    hash_offset: u64,
    verity: Result<Superblock, SuperblockError>,
}

impl Claims {
    /// Reads the superblocks of an image or block device. Without a hash offset, that of the
    /// tree is looked for after the filesystem, and without one, at the start: where a hash
    /// device has it.
    pub fn read(image: &Path, hash_offset: Option<u64>) -> Result<Self, MediumError> {
        let medium = Medium::open(image)?;
        let filesystem = superblocks::erofs(&medium)?;
        let hash_offset = match (hash_offset, &filesystem) {
            (Some(offset), _) => offset,
            (None, Ok(filesystem)) => superblocks::find_after(&medium, filesystem)?
                .or(hash_offset_candidates(filesystem.bytes()).first().copied())
                .unwrap_or_default(),
            (None, Err(_)) => 0,
        };
        Ok(Self {
            image: image.to_owned(),
            bytes: medium.bytes(),
            filesystem,
            hash_offset,
            verity: superblocks::verity_at(&medium, hash_offset)?,
        })
    }

    /// What would bind the claimed geometry, if the rest verifies.
    fn binding(&self, superblock: &Superblock) -> Option<Binding> {
        let filesystem_bytes = self.filesystem.ok().map(|filesystem| filesystem.bytes());
        Binding::find(&superblock.params, None, filesystem_bytes).ok()
    }

    fn tree_end(&self, superblock: &Superblock) -> Option<u64> {
        let area = HashArea::new(&superblock.params, self.hash_offset, true).ok()?;
        Some(area.end(&TreeLayout::new(&superblock.params)))
    }

    /// As a JSON object. Numbers are bytes or counts.
    pub fn to_json(&self) -> Value {
        let filesystem = self.filesystem.map(|filesystem| {
            json!({
                "type": "erofs",
                "block_size": filesystem.block_size,
                "blocks": filesystem.blocks,
                "bytes": filesystem.bytes(),
                "uuid": filesystem.uuid.to_string(),
            })
        });
        let verity = self.verity.as_ref().map(|superblock| {
            let params = &superblock.params;
            json!({
                "uuid": superblock.uuid.to_string(),
                "hash_type": 1,
                "data_blocks": params.data_blocks(),
                "data_block_size": params.data_block_size().get(),
                "hash_block_size": params.hash_block_size().get(),
                "hash_blocks": TreeLayout::new(params).blocks(),
                "hash_algorithm": params.algorithm().name(),
                "salt": params.salt().to_string(),
                "tree_end": self.tree_end(superblock),
                "bound_by": self.binding(superblock).map(Binding::as_str),
            })
        });
        json!({
            "trusted": false,
            "image_bytes": self.bytes,
            "filesystem": filesystem.as_ref().ok(),
            "filesystem_error": filesystem.as_ref().err().map(ToString::to_string),
            "hash_offset": self.hash_offset,
            "verity": verity.as_ref().ok(),
            "verity_error": verity.as_ref().err().map(ToString::to_string),
        })
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "What {} claims; nothing of it is verified.",
            self.image.display()
        )?;
        writeln!(f, "Size:            \t{}", self.bytes)?;
        match &self.filesystem {
            Ok(filesystem) => {
                writeln!(f, "Filesystem:      \terofs")?;
                writeln!(f, "Filesystem UUID: \t{}", filesystem.uuid)?;
                writeln!(f, "Filesystem size: \t{}", filesystem.bytes())?;
            }
            Err(reason) => writeln!(f, "Filesystem:      \tunknown: {reason}")?,
        }
        writeln!(f, "Hash offset:     \t{}", self.hash_offset)?;
        let superblock = match &self.verity {
            Ok(superblock) => superblock,
            Err(reason) => return writeln!(f, "Verity:          \tnone: {reason}"),
        };
        let params = &superblock.params;
        writeln!(f, "UUID:            \t{}", superblock.uuid)?;
        writeln!(f, "Hash type:       \t1")?;
        writeln!(f, "Data blocks:     \t{}", params.data_blocks())?;
        writeln!(f, "Data block size: \t{}", params.data_block_size())?;
        writeln!(f, "Hash blocks:     \t{}", TreeLayout::new(params).blocks())?;
        writeln!(f, "Hash block size: \t{}", params.hash_block_size())?;
        writeln!(f, "Hash algorithm:  \t{}", params.algorithm())?;
        writeln!(f, "Salt:            \t{}", params.salt())?;
        let bound = match self.binding(superblock) {
            Some(binding) => binding.as_str(),
            None => "nothing: mounting it takes --data-blocks",
        };
        writeln!(f, "Geometry bound by:\t{bound}")
    }
}
