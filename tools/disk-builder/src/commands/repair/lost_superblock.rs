//! A superblock that is corrupt, which no parity covers, made again from what it must have said.

use std::os::unix::fs::FileExt;

use dm_verity::{BlockSize, HashArea, RootHash, Superblock, VerityParams};
use model_disk::{
    BackingFile, FileError, ParamsSource, ReadAt, derived_uuid, geometry_salt,
    superblocks::{header, superblock_after, superblock_at},
};

use super::Repair;

/// What stood in the place of a superblock that says something else, if the root hash agrees.
#[derive(Debug)]
pub(super) struct LostSuperblock {
    params: VerityParams,
    area: HashArea,
}

impl LostSuperblock {
    /// None where there is none to be, or what it said is not known: the salt must be the one that the
    /// geometry gives, or the arguments name the number of data blocks.
    pub(super) fn find(
        repair: &Repair,
        data: &BackingFile,
        hash: Option<&BackingFile>,
    ) -> Result<Option<Self>, FileError> {
        let ParamsSource::Superblock {
            hash_offset,
            expected,
        } = &repair.params
        else {
            return Ok(None);
        };
        let found = match (hash_offset, hash) {
            (Some(offset), hash) => superblock_at(hash.unwrap_or(data), *offset)?,
            (None, Some(hash)) => superblock_at(hash, 0)?,
            (None, None) => match superblock_after(data, repair.fs_type, &header(data)?)? {
                Ok(found) => found,
                Err(_) => return Ok(None),
            },
        };
        if expected.salt.is_some() && expected.data_blocks.is_none() {
            return Ok(None);
        }
        let data_block_size = expected.data_block_size.unwrap_or(BlockSize::DEFAULT);
        let hash_block_size = expected.hash_block_size.unwrap_or(BlockSize::DEFAULT);
        // The tree comes right after what it covers, or it covers all of another device.
        let data_bytes = hash.map_or(found.offset, |_| data.bytes());
        let in_bytes = data_bytes / data_block_size.bytes();
        let data_blocks = expected.data_blocks.unwrap_or(in_bytes);
        let algorithm = repair.root_hash.algorithm();
        let salt = expected.salt.clone().unwrap_or_else(|| {
            geometry_salt(algorithm, data_block_size, hash_block_size, data_blocks)
        });
        let params = VerityParams::new(
            algorithm,
            data_block_size,
            hash_block_size,
            data_blocks,
            salt,
        );
        Ok(params.ok().and_then(|params| {
            let area = HashArea::new(&params, found.offset, true).ok()?;
            Some(Self { params, area })
        }))
    }

    /// The parameters that it had.
    pub(super) fn params(&self) -> ParamsSource {
        ParamsSource::Arguments {
            params: self.params.clone(),
            hash_area: self.area,
        }
    }

    /// Where it stands, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.area.offset()
    }

    /// Writes it. The top of the tree has been verified with its parameters.
    pub(super) fn write(&self, file: &BackingFile, root_hash: &RootHash) -> Result<(), FileError> {
        let superblock = Superblock {
            uuid: derived_uuid(root_hash),
            params: self.params.clone(),
        };
        let mut slot = superblock.to_bytes().to_vec();
        slot.resize((self.area.block_offset(0) - self.offset()) as usize, 0);
        file.file()
            .write_all_at(&slot, self.offset())
            .and_then(|()| file.file().sync_data())
            .map_err(FileError::new("write the superblock to", file.path()))
    }
}
