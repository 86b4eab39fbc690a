//! The dm-verity superblock.
//!
//! The layout is that of cryptsetup's `struct verity_sb`. The kernel never reads it and the root
//! hash does not cover it: everything in it is a claim until something else binds it.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U32, U64},
};

use super::{
    BlockSize, BlockSizeError, HashAlgorithm, MAX_SALT_SIZE, ParamsError, Salt, SaltError,
    UnknownAlgorithm, VerityParams,
};
use alloc::string::String;

/// The size of a superblock in bytes. It stands in a hash block of its own, the
/// rest of which is zero.
pub const SUPERBLOCK_SIZE: usize = 512;

const MAGIC: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
const HASH_TYPE_NORMAL: u32 = 1;

/// The superblock byte for byte.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    version: U32,
    hash_type: U32,
    uuid: [u8; 16],
    algorithm: [u8; 32],
    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,
    salt_size: U16,
    reserved: [u8; 6],
    salt: [u8; MAX_SALT_SIZE],
    padding: [u8; 168],
}

#[expect(clippy::disallowed_macros, reason = "known when it is compiled")]
const _: () = assert!(size_of::<Raw>() == SUPERBLOCK_SIZE);

/// A superblock, version 1, hash type 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The UUID of the hash device; all zeros is legal and in use.
    pub uuid: uuid::Uuid,
    /// The parameters of the tree.
    pub params: VerityParams,
}

/// Why 512 bytes are no superblock that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// The first 8 bytes are others.
    #[error("there is no dm-verity superblock (its magic is missing)")]
    Magic,
    /// A version of the format that does not exist yet.
    #[error("dm-verity superblock version {0} is not supported: only version 1 is")]
    Version(u32),
    /// Chromium OS's type 0, or one that does not exist.
    #[error("dm-verity hash type {0} is not supported: only type 1 is")]
    HashType(u32),
    /// An algorithm that is not allowed.
    #[error(transparent)]
    Algorithm(#[from] UnknownAlgorithm),
    /// The data block size is none.
    #[error("the data block size cannot be")]
    DataBlockSize(#[source] BlockSizeError),
    /// The hash block size is none.
    #[error("the hash block size cannot be")]
    HashBlockSize(#[source] BlockSizeError),
    /// The salt does not fit.
    #[error(transparent)]
    Salt(#[from] SaltError),
    /// The parameters do not go together.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Bytes that the format leaves zero are not. They could carry data past
    /// whoever compares the parameters.
    #[error("the superblock's {0} must be zero, and is not")]
    NotZero(&'static str),
}

impl Superblock {
    /// Reads and checks a superblock. Every byte counts: what the format leaves
    /// zero must be zero.
    pub fn parse(bytes: &[u8; SUPERBLOCK_SIZE]) -> Result<Self, SuperblockError> {
        let raw: &Raw = zerocopy::transmute_ref!(bytes);
        if raw.magic != MAGIC {
            return Err(SuperblockError::Magic);
        }
        if raw.version.get() != VERSION {
            return Err(SuperblockError::Version(raw.version.get()));
        }
        if raw.hash_type.get() != HASH_TYPE_NORMAL {
            return Err(SuperblockError::HashType(raw.hash_type.get()));
        }
        let algorithm = algorithm(&raw.algorithm)?;
        let data_block_size = BlockSize::new(raw.data_block_size.get().into())
            .map_err(SuperblockError::DataBlockSize)?;
        let hash_block_size = BlockSize::new(raw.hash_block_size.get().into())
            .map_err(SuperblockError::HashBlockSize)?;
        let salt_size = usize::from(raw.salt_size.get());
        let (salt, after_salt) = raw
            .salt
            .split_at_checked(salt_size)
            .ok_or(SaltError::TooLong(salt_size))?;
        for (name, bytes) in [
            ("reserved bytes", &raw.reserved[..]),
            ("bytes after the salt", after_salt),
            ("padding", &raw.padding[..]),
        ] {
            if bytes.iter().any(|byte| *byte != 0) {
                return Err(SuperblockError::NotZero(name));
            }
        }
        let params = VerityParams::new(
            algorithm,
            data_block_size,
            hash_block_size,
            raw.data_blocks.get(),
            Salt::new(salt)?,
        )?;
        Ok(Self {
            uuid: uuid::Uuid::from_bytes(raw.uuid),
            params,
        })
    }

    /// The superblock's bytes.
    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "names of algorithms and salts fit into their fields"
    )]
    pub fn to_bytes(&self) -> [u8; SUPERBLOCK_SIZE] {
        let params = &self.params;
        let name = params.algorithm().name().as_bytes();
        let salt = params.salt().as_bytes();
        let mut raw = Raw {
            magic: MAGIC,
            version: VERSION.into(),
            hash_type: HASH_TYPE_NORMAL.into(),
            uuid: self.uuid.into_bytes(),
            algorithm: [0; 32],
            data_block_size: params.data_block_size().get().into(),
            hash_block_size: params.hash_block_size().get().into(),
            data_blocks: params.data_blocks().into(),
            salt_size: (salt.len() as u16).into(),
            reserved: [0; 6],
            salt: [0; MAX_SALT_SIZE],
            padding: [0; 168],
        };
        raw.algorithm[..name.len()].copy_from_slice(name);
        raw.salt[..salt.len()].copy_from_slice(salt);
        zerocopy::transmute!(raw)
    }
}

/// A name ends at its first NUL, and has nothing but NULs after it.
fn algorithm(field: &[u8; 32]) -> Result<HashAlgorithm, SuperblockError> {
    let length = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    let (name, rest) = field.split_at_checked(length).unwrap_or((field, &[]));
    if rest.iter().any(|byte| *byte != 0) {
        return Err(SuperblockError::NotZero("bytes after the algorithm's name"));
    }
    Ok(String::from_utf8_lossy(name).parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Superblock {
        let params = VerityParams::new(
            HashAlgorithm::Sha256,
            BlockSize::DEFAULT,
            BlockSize::new(1024).unwrap(),
            0x0102_0304_0506,
            Salt::new(&[0xee; 32]).unwrap(),
        );
        Superblock {
            uuid: uuid::Uuid::from_u128(7),
            params: params.unwrap(),
        }
    }

    fn with(offset: usize, bytes: &[u8]) -> Result<Superblock, SuperblockError> {
        let mut raw = example().to_bytes();
        raw[offset..offset + bytes.len()].copy_from_slice(bytes);
        Superblock::parse(&raw)
    }

    #[test]
    fn there_and_back() {
        assert_eq!(Superblock::parse(&example().to_bytes()), Ok(example()));
    }

    #[test]
    fn fields_stand_where_the_format_says() {
        let raw = example().to_bytes();
        assert_eq!(raw[..8], *b"verity\0\0");
        assert_eq!(raw[8..16], [1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(raw[31], 7);
        assert_eq!(raw[32..39], *b"sha256\0");
        assert_eq!(raw[64..72], [0, 16, 0, 0, 0, 4, 0, 0]);
        assert_eq!(raw[72..80], [6, 5, 4, 3, 2, 1, 0, 0]);
        assert_eq!(raw[80..88], [32, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(raw[88..121], [[0xee; 32].as_slice(), &[0]].concat());
    }

    #[test]
    fn refused_with_a_reason() {
        use SuperblockError as E;
        assert_eq!(with(0, b"V"), Err(E::Magic));
        assert_eq!(with(7, b"1"), Err(E::Magic));
        assert_eq!(with(8, &[2]), Err(E::Version(2)));
        assert_eq!(with(12, &[0]), Err(E::HashType(0)));
        assert_eq!(with(12, &[2]), Err(E::HashType(2)));
        assert!(matches!(with(32, b"sha1\0\0"), Err(E::Algorithm(_))));
        assert!(matches!(with(32, b"SHA256"), Err(E::Algorithm(_))));
        assert!(matches!(with(32, &[b'a'; 32]), Err(E::Algorithm(_))));
        assert_eq!(
            with(40, b"x"),
            Err(E::NotZero("bytes after the algorithm's name"))
        );
        assert_eq!(
            with(64, &[0, 0, 0, 0]),
            Err(E::DataBlockSize(BlockSizeError(0)))
        );
        assert_eq!(
            with(64, &[1, 16, 0, 0]),
            Err(E::DataBlockSize(BlockSizeError(4097)))
        );
        assert_eq!(
            with(68, &[0, 0, 2, 0]),
            Err(E::HashBlockSize(BlockSizeError(131072)))
        );
        assert_eq!(
            with(68, &[0, 1, 0, 0]),
            Err(E::HashBlockSize(BlockSizeError(256)))
        );
        assert_eq!(with(72, &[0; 8]), Err(E::Params(ParamsError::NoData)));
        assert!(matches!(
            with(72, &[0xff; 8]),
            Err(E::Params(ParamsError::TooLarge { .. }))
        ));
        assert_eq!(with(80, &[1, 1]), Err(E::Salt(SaltError::TooLong(257))));
        assert_eq!(
            with(80, &[0xff, 0xff]),
            Err(E::Salt(SaltError::TooLong(65535)))
        );
        assert_eq!(with(80, &[31, 0]), Err(E::NotZero("bytes after the salt")));
        assert_eq!(with(82, &[1]), Err(E::NotZero("reserved bytes")));
        assert_eq!(with(511, &[1]), Err(E::NotZero("padding")));
    }

    #[test]
    fn a_salt_of_every_length() {
        for size in 0..=MAX_SALT_SIZE {
            let mut superblock = example();
            superblock.params = VerityParams::new(
                HashAlgorithm::Sha512,
                BlockSize::DEFAULT,
                BlockSize::DEFAULT,
                1,
                Salt::new(&vec![1; size]).unwrap(),
            )
            .unwrap();
            assert_eq!(Superblock::parse(&superblock.to_bytes()), Ok(superblock));
        }
    }
}
