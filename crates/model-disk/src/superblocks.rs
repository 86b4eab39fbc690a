//! The superblocks of a disk, found and read. None of it is verified.
//!
//! Where the bytes come from is the caller's: a [`ReadAt`].
//!
//! The parameters of a tree, from the superblock of a disk in memory:
//!
//! ```
//! # use dm_verity::{BlockSize, HashAlgorithm, Salt, Superblock, VerityParams};
//! use model_disk::superblocks::superblock_at;
//!
//! # let size = BlockSize::DEFAULT;
//! # let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 1, Salt::default())?;
//! # let superblock = Superblock { uuid: uuid::Uuid::nil(), params };
//! # let disk = [vec![0; 4096], superblock.to_bytes().to_vec()].concat();
//! let found = superblock_at(&disk[..], 4096)?;
//! let params = found.superblock?.params;
//! assert_eq!((params.data_blocks(), params.data_bytes()), (1, 4096));
//!
//! let nothing = superblock_at(&disk[..], 0)?.superblock.unwrap_err();
//! assert_eq!(
//!     nothing.to_string(),
//!     "there is no dm-verity superblock (its magic is missing)"
//! );
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use crate::{
    ReadAt,
    filesystem::{FsType, HEADER_SIZE, NoFilesystem},
    hash_offset_candidates,
};
use dm_verity::{SUPERBLOCK_SIZE, Superblock, SuperblockError};

/// What stands where a dm-verity superblock can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSuperblock {
    /// The place, in bytes from the start of the disk.
    pub offset: u64,
    /// The superblock, or why there is none.
    pub superblock: Result<Superblock, NoSuperblock>,
}

/// Why there is no dm-verity superblock at a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuperblock {
    /// The disk ends before it would.
    #[error("there is no dm-verity superblock (the disk ends at byte {bytes}, before it would)")]
    Beyond {
        /// How many bytes the disk has.
        bytes: u64,
    },
    /// What stands there is none that is accepted.
    #[error(transparent)]
    Refused(#[from] SuperblockError),
}

impl FoundSuperblock {
    /// Whether there is one, be it a good one or not.
    pub fn has_magic(&self) -> bool {
        !matches!(
            self.superblock,
            Err(NoSuperblock::Beyond { .. } | NoSuperblock::Refused(SuperblockError::Magic))
        )
    }
}

/// The start of a disk, as far as it is needed to read the superblock of any filesystem: up to
/// [`HEADER_SIZE`] bytes.
pub fn header<D: ReadAt + ?Sized>(disk: &D) -> Result<Vec<u8>, D::Error> {
    let mut header = vec![0; disk.bytes().min(HEADER_SIZE as u64) as usize];
    disk.read_exact_at(&mut header, 0)?;
    Ok(header)
}

/// Looks for the dm-verity superblock at byte `offset`. An error is one of reading.
pub fn superblock_at<D: ReadAt + ?Sized>(
    disk: &D,
    offset: u64,
) -> Result<FoundSuperblock, D::Error> {
    let mut raw = [0; SUPERBLOCK_SIZE];
    let bytes = disk.bytes();
    let superblock = if offset.saturating_add(SUPERBLOCK_SIZE as u64) > bytes {
        Err(NoSuperblock::Beyond { bytes })
    } else {
        disk.read_exact_at(&mut raw, offset)?;
        Superblock::parse(&raw).map_err(NoSuperblock::from)
    };
    Ok(FoundSuperblock { offset, superblock })
}

/// Looks for the dm-verity superblock after the filesystem of a disk with this [`header`]. An error
/// is one of reading.
///
/// Of the places where it can be, depending on the block sizes, the first with the magic counts,
/// be it a good superblock or not. Where none has it, the nearest place counts. The inner error
/// says why there is no place.
pub fn superblock_after<D: ReadAt + ?Sized>(
    disk: &D,
    fs_type: FsType,
    header: &[u8],
) -> Result<Result<FoundSuperblock, NoFilesystem>, D::Error> {
    let end = match fs_type.padded_bytes(header) {
        Ok(end) => end,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut nearest = None;
    for offset in hash_offset_candidates(end) {
        let found = superblock_at(disk, offset)?;
        if found.has_magic() {
            return Ok(Ok(found));
        }
        nearest.get_or_insert(found);
    }
    Ok(nearest.ok_or(NoFilesystem::Size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dm_verity::{BlockSize, HashAlgorithm, Salt, VerityParams};

    fn superblock() -> Superblock {
        let size = BlockSize::DEFAULT;
        let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 2, Salt::default());
        Superblock {
            uuid: uuid::Uuid::nil(),
            params: params.unwrap(),
        }
    }

    /// A disk with a SquashFS of so many bytes, and superblocks at these places.
    fn disk(filesystem_bytes: u64, superblocks: &[usize]) -> Vec<u8> {
        let mut disk = vec![0; 32768];
        disk[..4].copy_from_slice(b"hsqs");
        disk[40..48].copy_from_slice(&filesystem_bytes.to_le_bytes());
        for at in superblocks {
            disk[*at..at + SUPERBLOCK_SIZE].copy_from_slice(&superblock().to_bytes());
        }
        disk
    }

    fn after(disk: &[u8]) -> Result<(u64, Result<Superblock, NoSuperblock>), NoFilesystem> {
        let found = superblock_after(disk, FsType::Squashfs, &header(disk).unwrap()).unwrap();
        found.map(|found| (found.offset, found.superblock))
    }

    #[test]
    fn the_first_place_with_the_magic_counts() {
        for at in [12288, 16384] {
            let found = after(&disk(8193, &[8704, at]));
            assert_eq!(found, Ok((at as u64, Ok(superblock()))));
        }
        let mut bad = disk(8193, &[12288, 16384]);
        bad[12288 + 8] = 2;
        let refused = Err(SuperblockError::Version(2).into());
        assert_eq!(after(&bad), Ok((12288, refused)));
    }

    #[test]
    fn where_there_is_none_the_nearest_place_counts() {
        let magic = Err(SuperblockError::Magic.into());
        assert_eq!(after(&disk(8193, &[])), Ok((12288, magic)));
        let beyond = Err(NoSuperblock::Beyond { bytes: 32768 });
        assert_eq!(after(&disk(32768, &[])), Ok((32768, beyond)));
        assert_eq!(after(&disk(u64::MAX, &[])), Err(NoFilesystem::Size));
        assert_eq!(after(&[0; 32768]), Err(NoFilesystem::Magic));
    }

    #[test]
    fn a_superblock_that_the_disk_cuts_off() {
        let last = 32768 - SUPERBLOCK_SIZE;
        let disk = disk(8193, &[last]);
        for (length, whole) in [(32768, true), (32767, false), (last, false), (0, false)] {
            let at = superblock_at(&disk[..length], last as u64).unwrap();
            assert_eq!(at.superblock.is_ok(), whole, "{length}");
        }
        let found = superblock_at(&disk[..], u64::MAX).unwrap();
        assert!(found.superblock.is_err());
    }
}
