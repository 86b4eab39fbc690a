//! Where the tree of a disk is, and its parameters: by the arguments, or by the superblock.

use dm_verity::{HashArea, SUPERBLOCK_SIZE, Superblock, VerityParams};
use uuid::Uuid;

use super::DiskError;
use crate::{
    BackingFile, DiskArguments, ParamsSource,
    filesystem::{FsType, NoFilesystem},
    superblocks::{FoundSuperblock, NoSuperblock, superblock_after, superblock_at},
};

/// What is known of a tree before anything of it has been checked.
pub(super) struct Tree {
    pub(super) params: VerityParams,
    pub(super) hash_area: HashArea,
    pub(super) uuid: Option<Uuid>,
    pub(super) data_blocks: Option<u64>,
}

impl Tree {
    pub(super) fn find(
        data: &BackingFile,
        hash: Option<&BackingFile>,
        header: &[u8],
        arguments: &DiskArguments,
    ) -> Result<Self, DiskError> {
        let (hash_offset, expected) = match &arguments.params {
            ParamsSource::Arguments { params, hash_area } => {
                return Ok(Self {
                    data_blocks: Some(params.data_blocks()),
                    params: params.clone(),
                    hash_area: *hash_area,
                    uuid: None,
                });
            }
            ParamsSource::Superblock {
                hash_offset,
                expected,
            } => (*hash_offset, expected),
        };
        let hash_file = hash.unwrap_or(data);
        let found = match (hash_offset, hash) {
            (Some(offset), _) => superblock_at(hash_file, offset)?,
            (None, Some(hash)) => superblock_at(hash, 0)?,
            (None, None) => after_filesystem(data, arguments.fs_type, header)?,
        };
        let offset = found.offset;
        let superblock = accepted(hash_file, found)?;
        let params = superblock.params;
        expected.check(&params)?;
        let hash_area =
            HashArea::new(&params, offset, true).map_err(|source| DiskError::HashArea {
                path: hash_file.path().to_owned(),
                source,
            })?;
        Ok(Self {
            params,
            hash_area,
            uuid: Some(superblock.uuid),
            data_blocks: expected.data_blocks,
        })
    }
}

fn after_filesystem(
    data: &BackingFile,
    fs_type: FsType,
    header: &[u8],
) -> Result<FoundSuperblock, DiskError> {
    let path = || data.path().to_owned();
    match superblock_after(data, fs_type, header)? {
        Ok(found) if found.has_magic() => Ok(found),
        Ok(FoundSuperblock {
            offset,
            superblock: Err(NoSuperblock::Beyond { bytes }),
        }) => Err(DiskError::CutShort {
            path: path(),
            what: "the superblock",
            end: offset.saturating_add(SUPERBLOCK_SIZE as u64),
            bytes,
        }),
        Ok(FoundSuperblock { offset, .. }) => Err(DiskError::NoHashArea {
            path: path(),
            fs_type,
            offset,
        }),
        Err(source @ (NoFilesystem::Magic | NoFilesystem::Size)) => Err(DiskError::NoFilesystem {
            path: path(),
            fs_type,
            source,
        }),
        Err(source) => Err(DiskError::Filesystem {
            path: path(),
            source,
        }),
    }
}

/// The superblock that was found, or why the disk is refused for what is there.
fn accepted(file: &BackingFile, found: FoundSuperblock) -> Result<Superblock, DiskError> {
    let (path, offset) = (file.path().to_owned(), found.offset);
    found.superblock.map_err(|reason| match reason {
        NoSuperblock::Beyond { bytes } => DiskError::CutShort {
            path,
            what: "the superblock",
            end: offset.saturating_add(SUPERBLOCK_SIZE as u64),
            bytes,
        },
        NoSuperblock::Refused(source) => DiskError::Superblock {
            path,
            offset,
            source,
        },
    })
}
