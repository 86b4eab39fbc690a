//! The EROFS superblock, read and written.

use zerocopy::{
    FromBytes, FromZeros as _, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

use crc::{CRC_32_ISCSI, Crc};
use uuid::Uuid;

use super::{BLOCK_SIZE, ErofsFeature};

/// Where the superblock starts, in bytes from the start of the filesystem.
pub const SUPERBLOCK_OFFSET: u64 = 1024;

/// The size of the superblock in bytes.
pub const SUPERBLOCK_SIZE: usize = 128;

/// The superblock's first four bytes.
pub const MAGIC: u32 = 0xE0F5_E1E2;

/// The bit of `feature_compat` that says that `checksum` holds: CRC-32C, not
/// inverted at its end, of the block from the superblock on, with the field
/// itself zero.
pub const FEATURE_COMPAT_CHECKSUM: u32 = 1;

/// The bit of `feature_incompat` that says that block addresses can have 48 bits
/// (Linux 6.15). With a `root_nid_long`, the high bits of the number of blocks take
/// the place of `root_nid`; without one all is as before.
pub const FEATURE_INCOMPAT_48BIT: u32 = 0x80;

/// The superblock byte for byte.
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // The names are those of the format.
pub struct RawErofsSuperblock {
    pub magic: U32,
    pub checksum: U32,
    pub feature_compat: U32,
    pub block_size_bits: u8,
    pub extra_slots: u8,
    pub root_nid: U16,
    pub inodes: U64,
    pub build_time: U64,
    pub build_time_nsec: U32,
    pub blocks: U32,
    pub meta_block: U32,
    pub xattr_block: U32,
    pub uuid: [u8; 16],
    pub volume_name: [u8; 16],
    pub feature_incompat: U32,
    pub compression: U16,
    pub extra_devices: U16,
    pub reserved: [u8; 24],
    pub root_nid_long: U64,
    pub reserved2: [u8; 8],
}

#[expect(clippy::disallowed_macros, reason = "known when it is compiled")]
const _: () = assert!(size_of::<RawErofsSuperblock>() == SUPERBLOCK_SIZE);

/// What a superblock says of its filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErofsSuperblock {
    /// The block size in bytes: a power of two from 512 to 65536.
    pub block_size: u32,
    /// How many blocks the filesystem fills; at least one.
    pub blocks: u64,
    /// Its UUID.
    pub uuid: uuid::Uuid,
    /// Where the root directory's inode is: its number.
    pub root_nid: u64,
    /// The block that inode numbers count from.
    pub meta_block: u32,
}

/// Why 128 bytes are no EROFS superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErofsSuperblockError {
    /// The first 4 bytes are others.
    #[error("there is no EROFS filesystem (its magic is missing)")]
    Magic,
    /// 2 to the power of this is no block size.
    #[error("EROFS block size 2^{0} is not from 512 to 65536")]
    BlockSize(u8),
    /// The filesystem has no block.
    #[error("the EROFS filesystem claims to have no blocks")]
    NoBlocks,
    /// Its data is on other devices too: kernels may open those by paths that it names.
    #[error("the EROFS filesystem has data on other devices ({0}), which no hash tree covers")]
    OtherDevices(u16),
}

impl RawErofsSuperblock {
    /// The number of blocks, and that of the root directory's inode: both are longer
    /// in a filesystem that needs it.
    fn blocks_and_root(&self) -> (u64, u64) {
        let low = u64::from(self.blocks.get());
        let long = self.feature_incompat.get() & FEATURE_INCOMPAT_48BIT != 0;
        match self.root_nid_long.get() {
            root_nid if long && root_nid != 0 => {
                (u64::from(self.root_nid.get()) << 32 | low, root_nid)
            }
            _ => (low, self.root_nid.get().into()),
        }
    }
}

impl ErofsSuperblock {
    /// Reads the fields that tell the filesystem's size.
    pub fn parse(bytes: &[u8; SUPERBLOCK_SIZE]) -> Result<Self, ErofsSuperblockError> {
        let fields: &RawErofsSuperblock = zerocopy::transmute_ref!(bytes);
        if fields.magic.get() != MAGIC {
            return Err(ErofsSuperblockError::Magic);
        }
        if !(9..=16).contains(&fields.block_size_bits) {
            return Err(ErofsSuperblockError::BlockSize(fields.block_size_bits));
        }
        let (blocks, root_nid) = fields.blocks_and_root();
        if blocks == 0 {
            return Err(ErofsSuperblockError::NoBlocks);
        }
        if fields.extra_devices.get() != 0 {
            return Err(ErofsSuperblockError::OtherDevices(
                fields.extra_devices.get(),
            ));
        }
        Ok(Self {
            block_size: 1 << fields.block_size_bits,
            blocks,
            uuid: uuid::Uuid::from_bytes(fields.uuid),
            root_nid,
            meta_block: fields.meta_block.get(),
        })
    }

    /// That of a disk which starts with `header`.
    pub fn in_header(header: &[u8]) -> Result<Self, ErofsSuperblockError> {
        let superblock = header.get(SUPERBLOCK_OFFSET as usize..);
        let raw = superblock.and_then(<[u8]>::first_chunk);
        Self::parse(raw.ok_or(ErofsSuperblockError::Magic)?)
    }

    /// What the superblock of a disk which starts with `header` says of that some kernels cannot
    /// read; nothing where there is none.
    pub fn features_in_header(header: &[u8]) -> Vec<ErofsFeature> {
        let superblock = header.get(SUPERBLOCK_OFFSET as usize..);
        let raw = superblock.and_then(<[u8]>::first_chunk::<SUPERBLOCK_SIZE>);
        raw.map(|raw| ErofsFeature::of(zerocopy::transmute_ref!(raw)))
            .unwrap_or_default()
    }

    /// The size of the filesystem in bytes.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a number below 2^48 and a block of at most 2^16 bytes"
    )]
    pub fn bytes(&self) -> u64 {
        self.blocks * u64::from(self.block_size)
    }
}

/// What a superblock says that is not the same in each image.
pub(super) struct NewSuperblock {
    pub(super) root_nid: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
    pub(super) uuid: Uuid,
}

impl NewSuperblock {
    /// Puts it into the first block of an image, in which all else is in place:
    /// the checksum is over what follows the superblock too.
    ///
    /// # Panics
    ///
    /// When `image` is shorter than a block.
    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "an image has a first block"
    )]
    pub(super) fn write(&self, image: &mut [u8]) {
        let mut raw = RawErofsSuperblock::new_zeroed();
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

    fn example() -> [u8; SUPERBLOCK_SIZE] {
        let mut raw = [0; SUPERBLOCK_SIZE];
        raw[..4].copy_from_slice(&MAGIC.to_le_bytes());
        raw[12] = 12;
        raw[36..40].copy_from_slice(&[4, 3, 2, 1]);
        raw[14] = 36;
        raw[40] = 8;
        raw[63] = 9;
        raw
    }

    #[test]
    fn read() {
        let superblock = ErofsSuperblock::parse(&example()).unwrap();
        assert_eq!(superblock.block_size, 4096);
        assert_eq!(superblock.bytes(), 0x0102_0304 * 4096);
        assert_eq!(superblock.uuid, uuid::Uuid::from_u128(9));
        assert_eq!(superblock.root_nid, 36);
        assert_eq!(superblock.meta_block, 8);
    }

    /// The field of the root's number has the high bits of the size just where the
    /// root's number is elsewhere.
    #[test]
    fn addresses_of_48_bits() {
        let with = |flag: u8, root_nid: u64| {
            let mut raw = example();
            raw[80] = flag;
            raw[112..120].copy_from_slice(&root_nid.to_le_bytes());
            let superblock = ErofsSuperblock::parse(&raw).unwrap();
            (superblock.blocks, superblock.root_nid)
        };
        let blocks = 0x0102_0304;
        assert_eq!(with(0, 0), (blocks, 36));
        assert_eq!(with(0x80, 0), (blocks, 36));
        assert_eq!(with(0x7f, 1 << 40), (blocks, 36));
        assert_eq!(with(0x80, 1 << 40), (36 << 32 | blocks, 1 << 40));

        let mut largest = example();
        largest[12] = 16;
        largest[14..16].fill(0xff);
        largest[36..40].fill(0xff);
        largest[80] = 0x80;
        largest[112] = 1;
        let superblock = ErofsSuperblock::parse(&largest).unwrap();
        assert_eq!(superblock.bytes(), u64::MAX - 0xffff);
        largest[14..16].fill(0);
        largest[36..40].fill(0);
        let empty = ErofsSuperblock::parse(&largest);
        assert_eq!(empty, Err(ErofsSuperblockError::NoBlocks));
    }

    #[test]
    fn refused() {
        let with = |offset: usize, byte: u8| {
            let mut raw = example();
            raw[offset] = byte;
            ErofsSuperblock::parse(&raw)
        };
        assert_eq!(with(0, 0), Err(ErofsSuperblockError::Magic));
        for bits in [0, 8, 17, 32, 64, 255] {
            assert_eq!(with(12, bits), Err(ErofsSuperblockError::BlockSize(bits)));
        }
        let mut empty = example();
        empty[36..40].fill(0);
        assert_eq!(
            ErofsSuperblock::parse(&empty),
            Err(ErofsSuperblockError::NoBlocks)
        );
        assert_eq!(with(86, 2), Err(ErofsSuperblockError::OtherDevices(2)));
        assert_eq!(with(87, 1), Err(ErofsSuperblockError::OtherDevices(256)));
    }

    #[test]
    fn known_checksum() {
        // The check value of CRC-32C for these digits is 0xe3069283.
        assert_eq!(checksum(b"123456789"), !0xe306_9283);
    }
}
