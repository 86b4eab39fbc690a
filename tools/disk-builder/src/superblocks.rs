//! Reads the superblocks of a disk. All they say is a claim.

use disk_mounter::{
    erofs,
    verity::{self, hash_offset_candidates},
};

use crate::medium::{Medium, MediumError};

/// The EROFS superblock. A medium that ends before it has none.
pub fn erofs(
    medium: &Medium,
) -> Result<Result<erofs::Superblock, erofs::SuperblockError>, MediumError> {
    let bytes = medium.read(erofs::SUPERBLOCK_OFFSET)?;
    Ok(match bytes {
        Some(bytes) => erofs::Superblock::parse(&bytes),
        None => Err(erofs::SuperblockError::Magic),
    })
}

/// The dm-verity superblock at an offset. A medium that ends before it has none.
pub fn verity_at(
    medium: &Medium,
    offset: u64,
) -> Result<Result<verity::Superblock, verity::SuperblockError>, MediumError> {
    Ok(match medium.read(offset)? {
        Some(bytes) => verity::Superblock::parse(&bytes),
        None => Err(verity::SuperblockError::Magic),
    })
}

/// Where the hash area after an EROFS filesystem starts: at the first place that has a dm-verity
/// superblock, be it a good one or not.
pub fn find_after(
    medium: &Medium,
    filesystem: &erofs::Superblock,
) -> Result<Option<u64>, MediumError> {
    for offset in hash_offset_candidates(filesystem.bytes()) {
        if verity_at(medium, offset)? != Err(verity::SuperblockError::Magic) {
            return Ok(Some(offset));
        }
    }
    Ok(None)
}
