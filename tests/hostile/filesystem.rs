//! Filesystems that claim more or less than the data area.

use model_disk::{Binding, filesystem::FsType};

use test_support::image::{DiskImage, SaltKind, claim_erofs, data};

use crate::{
    Test,
    disk_file::{DiskFile, Options},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "every_size_that_erofs_can_claim",
        every_size_that_erofs_can_claim,
    ),
    (
        "every_byte_of_the_erofs_superblock",
        every_byte_of_the_erofs_superblock,
    ),
    ("an_erofs_with_other_devices", an_erofs_with_other_devices),
    (
        "an_erofs_with_48_bit_addresses",
        an_erofs_with_48_bit_addresses,
    ),
    ("other_filesystems", other_filesystems),
    (
        "a_filesystem_that_is_not_named",
        a_filesystem_that_is_not_named,
    ),
];

/// The tree is made over what the filesystem claims, so that all else is right: as a publisher's
/// mistake, or another's disk with room after its filesystem.
fn every_size_that_erofs_can_claim() {
    let file = DiskFile::new();
    for bits in 0..=255 {
        for blocks in (0..=41).chain([80, 127, 1 << 16, 1 << 31, u32::MAX - 1, u32::MAX]) {
            let mut model = data(40 * 512, 30);
            claim_erofs(&mut model, bits, blocks);
            let fits = (9..=16).contains(&bits) && u64::from(blocks) << bits == 40 * 512;
            for salt in [SaltKind::Zero, SaltKind::Geometry] {
                let image = DiskImage::new(&model, (512, 512), salt);
                let at = Options::at(image.data_end());
                match salt {
                    // One that cannot be is refused, whatever binds.
                    _ if !(9..=16).contains(&bits) || blocks == 0 => {
                        let reasons = &["is not from 512 to 65536", "claims to have no blocks"];
                        file.refuses(&image.bytes, &image.root_hash, at, reasons);
                    }
                    // What binds already needs no filesystem.
                    SaltKind::Geometry => file.accepts(&image, at),
                    _ if fits => file.accepts(&image, at),
                    _ => file.refuses(&image.bytes, &image.root_hash, at, &["nothing binds"]),
                }
            }
        }
    }
}

/// Changed after the tree was made. What passes here is what leaves the size as it is, or finds
/// the superblock at its place all the same: the first block that the kernel reads is corrupt.
fn every_byte_of_the_erofs_superblock() {
    let file = DiskFile::new();
    for salt in [SaltKind::Geometry, SaltKind::Zero] {
        let image = DiskImage::new(&data(40 * 512, 31), (512, 512), salt);
        for offset in 0..128 {
            for bit in 0..8 {
                let mut disk = image.bytes.clone();
                disk[1024 + offset] ^= 1 << bit;
                match file.check(&disk, &image.root_hash, Options::default()) {
                    Ok(checked) => {
                        let other_size = matches!(offset, 12 | 36..40);
                        assert!(!other_size || checked.binding() == Binding::GeometrySalt);
                        assert!(offset >= 4, "the magic is needed");
                    }
                    Err(error) => {
                        assert!(matches!(offset, 0..4 | 12 | 36..40 | 86..88), "{error}");
                    }
                }
            }
        }
    }
}

/// Of data on other devices the tree knows nothing, whatever binds the rest.
fn an_erofs_with_other_devices() {
    let file = DiskFile::new();
    for devices in [1u16, 2, 256, u16::MAX] {
        for salt in [SaltKind::Geometry, SaltKind::Zero] {
            let mut model = data(40 * 512, 33);
            claim_erofs(&mut model, 9, 40);
            model[1024 + 86..][..2].copy_from_slice(&devices.to_le_bytes());
            let image = DiskImage::new(&model, (512, 512), salt);
            let said = format!("data on other devices ({devices})");
            for blocks in [None, Some(40)] {
                let at = Options {
                    data_blocks: blocks,
                    ..Options::at(image.data_end())
                };
                file.refuses(&image.bytes, &image.root_hash, at, &[&said]);
            }
        }
    }
}

/// The high bits of its size stand where other filesystems have the number of their root.
fn an_erofs_with_48_bit_addresses() {
    let file = DiskFile::new();
    for (flag, root_nid, high, fits) in [
        (0x80u32, 1u64 << 20, 0u16, true),
        (0x80, 1 << 20, 1, false),
        (0x80, 1, 0xffff, false),
        // The root's number is where it always was.
        (0x80, 0, 36, true),
        (0x40, 1 << 20, 36, true),
    ] {
        let mut model = data(40 * 512, 34);
        model[1024 + 14..][..2].copy_from_slice(&high.to_le_bytes());
        model[1024 + 80..][..4].copy_from_slice(&flag.to_le_bytes());
        model[1024 + 112..][..8].copy_from_slice(&root_nid.to_le_bytes());
        let image = DiskImage::new(&model, (512, 512), SaltKind::Zero);
        let at = Options::at(image.data_end());
        let after = Options::default();
        if fits {
            file.accepts(&image, at);
            file.accepts(&image, after);
        } else {
            file.refuses(&image.bytes, &image.root_hash, at, &["nothing binds"]);
            file.refuses(&image.bytes, &image.root_hash, after, &["is cut short"]);
        }
    }
}

type Fields<'a> = &'a [(usize, &'a [u8])];

fn with(bytes: usize, fields: Fields<'_>) -> Vec<u8> {
    let mut model = data(bytes, 32);
    model[..2048].fill(0);
    for (offset, field) in fields {
        model[*offset..offset + field.len()].copy_from_slice(field);
    }
    model
}

fn other_filesystems() {
    let file = DiskFile::new();
    let max = &[0xff; 8][..];
    // The size claimed, and whether it is that of 16 KiB in blocks of 4096 bytes.
    let cases: &[(FsType, Fields<'_>, bool)] = &[
        (FsType::Squashfs, &[(0, b"hsqs"), (40, &[0, 64])], true),
        (FsType::Squashfs, &[(0, b"hsqs"), (40, &[1, 48])], true),
        (FsType::Squashfs, &[(0, b"hsqs"), (40, &[0, 48])], false),
        (FsType::Squashfs, &[(0, b"hsqs"), (40, &[1, 64])], false),
        (FsType::Squashfs, &[(0, b"hsqs")], false),
        (FsType::Squashfs, &[(0, b"hsqs"), (40, max)], false),
        (FsType::Squashfs, &[(0, b"sqsh"), (40, &[0, 64])], false),
        (FsType::Ext4, &[(1080, &[0x53, 0xef]), (1028, &[16])], true),
        (
            FsType::Ext4,
            &[(1080, &[0x53, 0xef]), (1048, &[2]), (1028, &[4])],
            true,
        ),
        (FsType::Ext4, &[(1080, &[0x53, 0xef]), (1028, &[17])], false),
        (FsType::Ext4, &[(1080, &[0x53, 0xef]), (1028, &[12])], false),
        (FsType::Ext4, &[(1080, &[0x53, 0xef])], false),
        (
            FsType::Ext4,
            &[(1080, &[0x53, 0xef]), (1048, &[7]), (1028, &[4])],
            false,
        ),
        (
            FsType::Ext4,
            &[(1080, &[0x53, 0xef]), (1048, &max[..4]), (1028, &[4])],
            false,
        ),
        (
            FsType::Ext4,
            &[
                (1080, &[0x53, 0xef]),
                (1028, &[16]),
                (1120, &[0x80]),
                (1360, &[1]),
            ],
            false,
        ),
        (
            FsType::Ext4,
            &[
                (1080, &[0x53, 0xef]),
                (1028, max),
                (1120, &[0x80]),
                (1360, max),
                (1048, &[6, 0, 0, 0]),
            ],
            false,
        ),
        (FsType::Xfs, &[(0, b"XFSB\0\0\x10\0"), (15, &[4])], true),
        (FsType::Xfs, &[(0, b"XFSB\0\0\x10\0"), (15, &[5])], false),
        (FsType::Xfs, &[(0, b"XFSB\0\0\x10\0"), (15, &[3])], false),
        (FsType::Xfs, &[(0, b"XFSB\0\0\x10\0")], false),
        (FsType::Xfs, &[(0, b"XFSB"), (15, &[4])], false),
        (
            FsType::Xfs,
            &[(0, b"XFSB\xff\xff\xff\xff"), (8, max)],
            false,
        ),
    ];
    for (fs_type, fields, fits) in cases {
        let image = DiskImage::new(&with(16384, fields), (4096, 4096), SaltKind::Zero);
        let options = Options {
            fs_type: *fs_type,
            ..Options::at(image.data_end())
        };
        if *fits {
            file.accepts(&image, options);
        } else {
            file.refuses(
                &image.bytes,
                &image.root_hash,
                options,
                &["nothing binds", "is refused"],
            );
        }
        // Where the superblock is to be found by the claim.
        let options = Options {
            hash_offset: None,
            ..options
        };
        if *fits {
            file.accepts(&image, options);
        } else {
            let reasons = &[
                "nothing binds",
                "filesystem, which would tell",
                "is refused",
                "cut short",
                "no dm-verity superblock",
            ];
            file.refuses(&image.bytes, &image.root_hash, options, reasons);
        }
    }
}

/// Its size counts for nothing.
fn a_filesystem_that_is_not_named() {
    let file = DiskFile::new();
    let image = DiskImage::new(&data(16384, 33), (4096, 4096), SaltKind::Zero);
    file.accepts(&image, Options::default());
    for fs_type in [FsType::Squashfs, FsType::Ext4, FsType::Xfs] {
        let options = Options {
            fs_type,
            ..Options::default()
        };
        file.refuses(
            &image.bytes,
            &image.root_hash,
            options,
            &["filesystem, which would tell"],
        );
        let options = Options {
            fs_type,
            ..Options::at(image.data_end())
        };
        file.refuses(&image.bytes, &image.root_hash, options, &["nothing binds"]);
    }
}
