//! The superblock of an image.

use crc::{CRC_32_ISCSI, Crc};
use disk_mounter::erofs::{
    FEATURE_COMPAT_CHECKSUM, MAGIC, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, SuperblockFields,
};
use uuid::Uuid;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::BLOCK_SIZE;

/// What a superblock says that is not the same in each image.
pub(super) struct Superblock {
    pub(super) root_nid: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
    pub(super) uuid: Uuid,
}

impl Superblock {
    /// Puts it into the first block of an image, in which all else is in place:
    /// the checksum is over what follows the superblock too.
    ///
    /// # Panics
    ///
    /// When `image` is shorter than a block.
    pub(super) fn write(&self, image: &mut [u8]) {
        let mut raw = SuperblockFields::new_zeroed();
        raw.magic = MAGIC.into();
        raw.feature_compat = FEATURE_COMPAT_CHECKSUM.into();
        raw.block_size_bits = BLOCK_SIZE.ilog2() as u8;
        raw.root_nid = self.root_nid.into();
        raw.inodes = self.inodes.into();
        raw.blocks = self.blocks.into();
        raw.uuid = self.uuid.into_bytes();

        let block = &mut image[SUPERBLOCK_OFFSET as usize..BLOCK_SIZE as usize];
        block[..SUPERBLOCK_SIZE].copy_from_slice(raw.as_bytes());
        raw.checksum = checksum(block).into();
        block[..SUPERBLOCK_SIZE].copy_from_slice(raw.as_bytes());
    }
}

/// CRC-32C as EROFS has it: without the inversion at its end.
fn checksum(bytes: &[u8]) -> u32 {
    !Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksum() {
        // The check value of CRC-32C for these digits is 0xe3069283.
        assert_eq!(checksum(b"123456789"), !0xe306_9283);
    }
}
