//! Every field of the dm-verity superblock, wrong in every way.

use dm_verity::{RootHash, SUPERBLOCK_SIZE};
use model_disk::{ExitCode, HasExitCode};

use test_support::image::{DiskImage, SaltKind, data};

use crate::{
    Test,
    disk_file::{DiskFile, Options},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("every_value_of_every_byte", every_value_of_every_byte),
    ("the_limits_of_block_sizes", the_limits_of_block_sizes),
    ("the_limits_of_the_salt", the_limits_of_the_salt),
    ("every_number_of_data_blocks", every_number_of_data_blocks),
    ("the_limits_of_data_blocks", the_limits_of_data_blocks),
    ("all_bytes_the_same", all_bytes_the_same),
];

const SALTS: [SaltKind; 3] = [SaltKind::Geometry, SaltKind::Zero, SaltKind::Empty];

/// Why a superblock with other bytes at this place is refused.
fn reasons(offset: usize) -> &'static [&'static str] {
    const GEOMETRY: &[&str] = &[
        "cut short",
        "within the data",
        "nothing binds",
        "data blocks, the arguments say",
        "does not match",
        "too many",
        "is zero",
    ];
    match offset {
        0..8 => &["has no dm-verity superblock"],
        8..12 => &["superblock version"],
        12..16 => &["hash type"],
        32..64 => &["hash algorithm", "after the algorithm's name"],
        64..68 => &[
            "data block size",
            "cut short",
            "within the data",
            "nothing binds",
            "does not match",
        ],
        68..72 => &[
            "hash block size",
            "cut short",
            "nothing binds",
            "does not match",
        ],
        72..80 => GEOMETRY,
        80..82 => &[
            "bytes after the salt",
            "is too long",
            "nothing binds",
            "does not match",
        ],
        82..88 => &["reserved bytes"],
        88..344 => &["bytes after the salt", "nothing binds", "does not match"],
        344.. => &["padding"],
        16..32 => panic!("every UUID is accepted"),
    }
}

/// Each byte takes each value. The UUID alone means nothing to the mounter, and so any is
/// accepted.
///
/// This holds for a salt that binds nothing too, where the filesystem does: another number of
/// blocks is not the one that it fills; another salt or block size gives the root block another
/// digest. An empty salt made of `00` by its length alone is such another salt.
fn every_value_of_every_byte() {
    let file = DiskFile::new();
    let model = data(20 * 512, 1);
    for (salt, data_blocks) in [
        (SaltKind::Geometry, None),
        (SaltKind::Zero, None),
        (SaltKind::Empty, Some(20)),
    ] {
        let image = DiskImage::new(&model, (512, 512), salt);
        let options = Options {
            data_blocks,
            ..Options::default()
        };
        file.accepts(&image, options);
        for offset in 0..SUPERBLOCK_SIZE {
            let right = image.bytes[image.data_end() + offset];
            for value in (0..=255).filter(|value| *value != right) {
                let disk = image.with_superblock_bytes(offset, &[value]);
                if (16..32).contains(&offset) {
                    file.check(&disk, &image.root_hash, options).unwrap();
                } else {
                    file.refuses(&disk, &image.root_hash, options, reasons(offset));
                }
            }
        }
    }
}

/// Sizes that no block has, and sizes that others have.
fn the_limits_of_block_sizes() {
    let file = DiskFile::new();
    let sizes = (0..32).flat_map(|bits| {
        let power = 1u32 << bits;
        [power - 1, power, power.wrapping_add(1)]
    });
    let sizes: Vec<u32> = sizes
        .chain([u32::MAX, u32::MAX - 1, 131_072, 4095])
        .collect();
    for salt in SALTS {
        let image = DiskImage::new(&data(16 * 4096, 2), (4096, 4096), salt);
        for offset in [64, 68] {
            for size in sizes.iter().copied().filter(|size| *size != 4096) {
                let disk = image.with_superblock_bytes(offset, &size.to_le_bytes());
                file.refuses(&disk, &image.root_hash, Options::default(), reasons(offset));
                // With the number of blocks that makes the same number of bytes of it.
                if offset == 64 && size != 0 {
                    let blocks = 16 * 4096 / u64::from(size);
                    let mut disk = disk;
                    let at = image.data_end() + 72;
                    disk[at..at + 8].copy_from_slice(&blocks.to_le_bytes());
                    refused_or_unreadable(&file, &disk, &image);
                }
            }
        }
    }
}

/// Where data blocks take another size and their number another value, so that all else fits, the
/// tree's first block alone cannot tell: the blocks below it can, and the kernel reads these. It
/// is sound all the same: no size but the right one gives the digest of the first data block.
fn refused_or_unreadable(file: &DiskFile, disk: &[u8], image: &DiskImage) {
    match file.check(disk, &image.root_hash, Options::default()) {
        Ok(checked) => {
            let size = checked.params().data_block_size().as_usize();
            let first = test_support::image::digest(checked.params(), &disk[..size]);
            assert_ne!(first, image.levels[0][..first.len()]);
        }
        // Blocks larger than a page, on this machine.
        Err(error) => assert!(
            matches!(
                error.exit_code(),
                ExitCode::Integrity | ExitCode::Unsupported
            ),
            "{error}"
        ),
    }
}

fn the_limits_of_the_salt() {
    let file = DiskFile::new();
    for salt in SALTS {
        let image = DiskImage::new(&data(20 * 512, 3), (512, 512), salt);
        let right = image.params.salt().as_bytes().len();
        let sizes = (0..1024).chain((10..16).flat_map(|bits| [(1 << bits) + 1, 1 << bits]));
        for size in sizes
            .chain([u16::MAX])
            .filter(|size| usize::from(*size) != right)
        {
            let disk = image.with_superblock_bytes(80, &size.to_le_bytes());
            file.refuses(&disk, &image.root_hash, Options::default(), reasons(80));
        }
    }
}

/// All that need as many levels as the right number have the same root block: only the binding
/// stands against them.
fn every_number_of_data_blocks() {
    let file = DiskFile::new();
    for salt in SALTS {
        for (n, blocks) in [
            (1, (4096, 512)),
            (2, (1024, 512)),
            (16, (512, 512)),
            (17, (512, 512)),
            (300, (512, 512)),
        ] {
            let image = DiskImage::new(&data(n * blocks.0 as usize, 4), blocks, salt);
            let n = n as u64;
            for claimed in (0..=3 * n + 40).filter(|claimed| *claimed != n) {
                let disk = image.with_superblock_bytes(72, &claimed.to_le_bytes());
                for options in [
                    Options::default(),
                    Options::at(image.data_end()),
                    Options::at(image.data_end()).data_blocks(n),
                ] {
                    // Where no filesystem fits into the data, its place is needed.
                    if options.hash_offset.is_none() && image.data_end() < 2048 {
                        continue;
                    }
                    file.refuses(&disk, &image.root_hash, options, reasons(72));
                }
            }
            file.accepts(&image, Options::at(image.data_end()).data_blocks(n));
        }
    }
}

fn the_limits_of_data_blocks() {
    let file = DiskFile::new();
    for salt in SALTS {
        for blocks in [(4096, 4096), (512, 4096), (4096, 512)] {
            let image = DiskImage::new(&data(40 * 4096, 5), blocks, salt);
            let right = image.params.data_blocks();
            let numbers = (0..64).flat_map(|bits| {
                let power = 1u64 << bits;
                [power - 1, power, power + 1, power.wrapping_neg()]
            });
            for claimed in numbers.chain([u64::MAX]).filter(|n| *n != right) {
                let disk = image.with_superblock_bytes(72, &claimed.to_le_bytes());
                for options in [
                    Options::default(),
                    Options::at(image.data_end()).data_blocks(right),
                ] {
                    file.refuses(&disk, &image.root_hash, options, reasons(72));
                }
            }
        }
    }
}

fn all_bytes_the_same() {
    let file = DiskFile::new();
    let root: RootHash = "00".repeat(32).parse().unwrap();
    for value in 0..=255 {
        for length in [0, 1, 511, 512, 1024, 1151, 1152, 4096, 8192, 8703] {
            let disk = vec![value; length];
            file.refuses(&disk, &root, Options::default(), &["no erofs filesystem"]);
            file.refuses(
                &disk,
                &root,
                Options::at(0),
                &["cut short", "magic", "no dm-verity superblock"],
            );
        }
    }
}
