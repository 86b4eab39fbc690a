//! `inspect`: what the superblocks of a disk claim. Nothing of it is verified.

use std::{fmt, path::Path, time::Duration};

use super::{
    device::{Device, DeviceError},
    disk::{DiskError, header, read_superblock, superblock_after_filesystem},
    pause::{Deadline, sleep},
};
use crate::{
    filesystem::FsType,
    verity::{Binding, Superblock},
};

/// What a disk claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The filesystems whose superblocks are there, with their sizes in bytes.
    pub filesystems: Vec<(FsType, u64)>,
    /// The dm-verity superblock with its place in bytes, or why there is none.
    pub verity: Result<(u64, Superblock), String>,
}

/// Reads the superblocks of a disk: the dm-verity one at `hash_offset` bytes or, if that is not
/// given, right after the filesystem; on a disk without a filesystem, at its start.
pub fn inspect(path: &Path, hash_offset: Option<u64>) -> Result<Claims, DeviceError> {
    let device = Device::find(path, &Deadline::after(Duration::ZERO), &sleep)?;
    let header = header(&device)?;
    let filesystems: Vec<_> = FsType::ALL
        .into_iter()
        .filter_map(|fs_type| Some((fs_type, fs_type.claimed_bytes(&header)?)))
        .collect();
    let verity = match (hash_offset, filesystems.first()) {
        (None, Some((fs_type, _))) => superblock_after_filesystem(&device, *fs_type),
        (offset, _) => {
            let offset = offset.unwrap_or(0);
            read_superblock(&device, offset).map(|superblock| (offset, superblock))
        }
    };
    match verity {
        Err(DiskError::Device(error)) => Err(error),
        verity => Ok(Claims {
            filesystems,
            verity: verity.map_err(|error| error.to_string()),
        }),
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Claims of the disk, not verified:")?;
        for (fs_type, bytes) in &self.filesystems {
            writeln!(f, "Filesystem:      \t{fs_type}, {bytes} bytes")?;
        }
        match &self.verity {
            Err(error) => write!(f, "Verity:          \tnone: {error}"),
            Ok((offset, Superblock { uuid, params })) => {
                writeln!(f, "Hash offset:     \t{offset}")?;
                writeln!(f, "UUID:            \t{uuid}")?;
                writeln!(f, "Hash type:       \t1")?;
                writeln!(f, "Data blocks:     \t{}", params.data_blocks())?;
                writeln!(f, "Data block size: \t{}", params.data_block_size())?;
                writeln!(f, "Hash block size: \t{}", params.hash_block_size())?;
                writeln!(f, "Hash algorithm:  \t{}", params.algorithm())?;
                writeln!(f, "Salt:            \t{}", params.salt())?;
                write!(
                    f,
                    "Geometry salt:   \t{}",
                    if self.has_geometry_salt() {
                        "yes"
                    } else {
                        "no"
                    }
                )
            }
        }
    }
}

impl Claims {
    /// Whether the salt would bind the geometry.
    fn has_geometry_salt(&self) -> bool {
        self.verity.as_ref().is_ok_and(|(_, superblock)| {
            Binding::find(&superblock.params, None, None) == Ok(Binding::GeometrySalt)
        })
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let filesystems: Vec<_> = self
            .filesystems
            .iter()
            .map(|(fs_type, bytes)| serde_json::json!({ "type": fs_type.name(), "bytes": bytes }))
            .collect();
        let verity = match &self.verity {
            Err(error) => serde_json::json!({ "error": error }),
            Ok((offset, Superblock { uuid, params })) => serde_json::json!({
                "hash_offset": offset,
                "uuid": uuid.to_string(),
                "hash_type": 1,
                "data_blocks": params.data_blocks(),
                "data_block_size": params.data_block_size().get(),
                "hash_block_size": params.hash_block_size().get(),
                "hash_algorithm": params.algorithm().name(),
                "salt": params.salt().to_string(),
                "geometry_salt": self.has_geometry_salt(),
            }),
        };
        serde_json::json!({ "verified": false, "filesystems": filesystems, "verity": verity })
    }
}
