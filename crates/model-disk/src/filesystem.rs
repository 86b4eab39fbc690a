//! The filesystems that a disk may have, and what their superblocks say of their size.
//! Nothing in here does I/O.

use std::{fmt, str::FromStr};

use crate::erofs;

/// How many bytes from the start of a disk are needed to read any superblock.
pub const HEADER_SIZE: usize = 4096;

/// A filesystem type. It is named by the user, never found out from the disk: a disk must not
/// choose the driver that reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsType {
    /// What `disk-builder` makes.
    #[default]
    Erofs,
    /// SquashFS.
    Squashfs,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// The name of a filesystem type that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filesystem type {0:?} is not one of erofs, squashfs, ext4, xfs")]
pub struct UnknownFsType(String);

/// Why the start of a disk is not that of a filesystem of some type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFilesystem {
    /// There is no superblock of the type.
    #[error("its magic is missing")]
    Magic,
    /// The superblock is one of EROFS, but none that can be.
    #[error(transparent)]
    Erofs(erofs::ErofsSuperblockError),
    /// The superblock claims a size that no filesystem has.
    #[error("its superblock claims a size that cannot be")]
    Size,
}

impl From<erofs::ErofsSuperblockError> for NoFilesystem {
    fn from(error: erofs::ErofsSuperblockError) -> Self {
        match error {
            erofs::ErofsSuperblockError::Magic => Self::Magic,
            error => Self::Erofs(error),
        }
    }
}

impl FsType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Erofs, Self::Squashfs, Self::Ext4, Self::Xfs];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// The size of the filesystem in bytes, as its superblock claims it. `header` is the start
    /// of the disk, up to [`HEADER_SIZE`] bytes. An error where there is no such filesystem in it.
    pub fn claimed_bytes(self, header: &[u8]) -> Result<u64, NoFilesystem> {
        let bytes = match self {
            Self::Erofs => return Ok(erofs::ErofsSuperblock::in_header(header)?.bytes()),
            Self::Squashfs => squashfs_bytes(header).map(Some),
            Self::Ext4 => ext4_bytes(header),
            Self::Xfs => xfs_bytes(header),
        };
        bytes.ok_or(NoFilesystem::Magic)?.ok_or(NoFilesystem::Size)
    }

    /// The size of its blocks in bytes, as its superblock claims it, for the filesystems that the
    /// kernel mounts only where the device's sectors are no larger: EROFS and ext4.
    pub fn claimed_block_size(self, header: &[u8]) -> Option<u64> {
        match self {
            Self::Erofs => {
                let superblock = erofs::ErofsSuperblock::in_header(header).ok()?;
                Some(superblock.block_size.into())
            }
            Self::Ext4 => ext4_block_size(header),
            Self::Squashfs | Self::Xfs => None,
        }
    }

    /// The same as [`claimed_bytes`](Self::claimed_bytes), with the zeros that the makers of images pad them with: what is appended to a
    /// filesystem comes after that. An error as above, and where it is more than 64 bits hold.
    pub fn padded_bytes(self, header: &[u8]) -> Result<u64, NoFilesystem> {
        let unit = match self {
            Self::Squashfs => 4096,
            Self::Erofs | Self::Ext4 | Self::Xfs => 512,
        };
        let bytes = self.claimed_bytes(header)?;
        bytes
            .checked_next_multiple_of(unit)
            .ok_or(NoFilesystem::Size)
    }
}

impl FromStr for FsType {
    type Err = UnknownFsType;

    fn from_str(name: &str) -> Result<Self, UnknownFsType> {
        Self::ALL
            .into_iter()
            .find(|fs_type| fs_type.name() == name)
            .ok_or_else(|| UnknownFsType(name.to_owned()))
    }
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// `struct squashfs_super_block`: magic at 0, bytes used at 40.
fn squashfs_bytes(header: &[u8]) -> Option<u64> {
    if &field::<4>(header, 0)? != b"hsqs" {
        return None;
    }
    Some(u64::from_le_bytes(field(header, 40)?))
}

/// `struct ext4_super_block`, at byte 1024.
fn ext4_superblock(header: &[u8]) -> Option<&[u8]> {
    let superblock = header.get(1024..)?;
    (field(superblock, 0x38)? == [0x53, 0xEF]).then_some(superblock)
}

/// None where it is not there, or cannot be.
fn ext4_block_size(header: &[u8]) -> Option<u64> {
    let log_block_size = u32::from_le_bytes(field(ext4_superblock(header)?, 0x18)?);
    (log_block_size <= 6).then(|| 1024 << log_block_size)
}

/// The outer None: it is not there; the inner: its size cannot be.
fn ext4_bytes(header: &[u8]) -> Option<Option<u64>> {
    const INCOMPAT_64BIT: u32 = 0x80;
    let superblock = ext4_superblock(header)?;
    let low = u32::from_le_bytes(field(superblock, 0x4)?);
    let high = match u32::from_le_bytes(field(superblock, 0x60)?) & INCOMPAT_64BIT {
        0 => 0,
        _ => u32::from_le_bytes(field(superblock, 0x150)?),
    };
    let blocks = u64::from(high) << 32 | u64::from(low);
    Some(ext4_block_size(header).and_then(|size| blocks.checked_mul(size)))
}

/// `struct xfs_dsb`, big-endian: magic at 0, block size at 4, blocks at 8. None as above.
fn xfs_bytes(header: &[u8]) -> Option<Option<u64>> {
    if &field::<4>(header, 0)? != b"XFSB" {
        return None;
    }
    let block_size = u32::from_be_bytes(field(header, 4)?);
    let blocks = u64::from_be_bytes(field(header, 8)?);
    Some(blocks.checked_mul(block_size.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut header = vec![0; HEADER_SIZE];
        for (offset, bytes) in fields {
            header[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        header
    }

    #[test]
    fn each_says_its_size_and_only_its_own() {
        let headers = [
            (
                FsType::Erofs,
                header(&[
                    (1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
                    (1036, &[12]),
                    (1060, &[3]),
                ]),
                3 * 4096,
            ),
            (
                FsType::Squashfs,
                header(&[(0, b"hsqs"), (40, &[1, 2])]),
                0x201,
            ),
            (
                FsType::Ext4,
                header(&[
                    (1024 + 0x38, &[0x53, 0xef]),
                    (1024 + 0x18, &[2]),
                    (1024 + 4, &[7]),
                ]),
                7 * 4096,
            ),
            (
                FsType::Xfs,
                header(&[(0, b"XFSB\0\0\x10\0"), (14, &[1, 2])]),
                0x102 * 4096,
            ),
        ];
        for (is, header, bytes) in &headers {
            for asked in FsType::ALL {
                let expected = if asked == *is {
                    Ok(*bytes)
                } else {
                    Err(NoFilesystem::Magic)
                };
                assert_eq!(asked.claimed_bytes(header), expected, "{asked} in {is}");
                let block_size =
                    (asked == *is && matches!(is, FsType::Erofs | FsType::Ext4)).then_some(4096);
                assert_eq!(asked.claimed_block_size(header), block_size);
            }
        }
    }

    #[test]
    fn sizes_of_64_bits() {
        let ext4 = header(&[
            (1024 + 0x38, &[0x53, 0xef]),
            (1024 + 0x60, &[0x80]),
            (1024 + 0x150, &[1]),
        ]);
        assert_eq!(FsType::Ext4.claimed_bytes(&ext4), Ok(1024 << 32));
        let overflowing = header(&[(0, b"XFSB\xff\xff\xff\xff"), (8, &[0xff; 8])]);
        assert_eq!(
            FsType::Xfs.claimed_bytes(&overflowing),
            Err(NoFilesystem::Size)
        );
    }

    #[test]
    fn a_superblock_that_cannot_be() {
        let erofs = |fields: &[(usize, &[u8])]| {
            let magic: (usize, &[u8]) = (1024, &[0xe2, 0xe1, 0xf5, 0xe0]);
            FsType::Erofs.claimed_bytes(&header(&[&[magic], fields].concat()))
        };
        assert_eq!(
            erofs(&[(1036, &[40])]).unwrap_err().to_string(),
            "EROFS block size 2^40 is not from 512 to 65536"
        );
        assert_eq!(
            erofs(&[(1036, &[12])]).unwrap_err().to_string(),
            "the EROFS filesystem claims to have no blocks"
        );
        for log_block_size in [7, 64, u32::MAX] {
            let log_block_size = log_block_size.to_le_bytes();
            let ext4 = header(&[(1024 + 0x38, &[0x53, 0xef]), (1024 + 0x18, &log_block_size)]);
            assert_eq!(FsType::Ext4.claimed_bytes(&ext4), Err(NoFilesystem::Size));
            assert_eq!(FsType::Ext4.claimed_block_size(&ext4), None);
        }
        let padded = header(&[(0, b"hsqs"), (40, &[0xff; 8])]);
        assert_eq!(FsType::Squashfs.claimed_bytes(&padded), Ok(u64::MAX));
        assert_eq!(
            FsType::Squashfs.padded_bytes(&padded),
            Err(NoFilesystem::Size)
        );
    }

    #[test]
    fn a_short_disk_has_no_filesystem() {
        for length in [0, 3, 41, 1023, 1024, 1100, 1151] {
            for fs_type in FsType::ALL {
                let claimed = fs_type.claimed_bytes(&vec![0; length]);
                assert_eq!(claimed, Err(NoFilesystem::Magic));
            }
        }
    }
}
