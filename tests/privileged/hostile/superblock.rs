//! Superblocks with other fields.

use dm_verity::{BlockSize, Superblock, VerityParams};

use super::Hostile;
use crate::disk::TestDisk;

/// Reasons for a disk with other parameters.
const GEOMETRY: &[&str] = &[
    "cut short",
    "within the data",
    "nothing binds",
    "does not match",
    "data block size",
    "hash block size",
    "are too many",
    "is zero",
];

pub(super) fn superblocks_with_a_changed_bit() {
    for (salt, step) in [(&[][..], 4), (&["--salt", "00"], 1)] {
        let hostile = Hostile::new("changed bits", TestDisk::with(salt));
        let superblock = hostile.image[hostile.disk.data_bytes as usize..].to_vec();
        let once = (0..16).chain(32..64).chain((80..512).step_by(16));
        let often = (64..80).flat_map(|offset| (0..8).map(move |bit| (offset, bit)));
        let changes = once.map(|offset| (offset, 5)).chain(often);
        for (offset, bit) in changes.step_by(step) {
            hostile.set(offset, &[superblock[offset] ^ 1 << bit]);
            let reasons = match offset {
                64..80 => GEOMETRY,
                0..8 => &["no dm-verity superblock"],
                _ => &[
                    "not supported",
                    "hash algorithm",
                    "must be zero",
                    "too long",
                    "does not match",
                    "nothing binds",
                ],
            };
            hostile.is_refused("", 3, reasons);
            hostile.set(offset, &superblock[offset..=offset]);
        }
        // The UUID names a disk, and proves nothing.
        hostile.set(16, &[0xaa; 16]);
        hostile.is_mounted("");
    }
}

/// A superblock with another number of data blocks, of another size.
pub(super) fn with_params(old: &Superblock, (data_blocks, data_block): (u64, u64)) -> Superblock {
    let params = VerityParams::new(
        old.params.algorithm(),
        BlockSize::new(data_block).unwrap(),
        old.params.hash_block_size(),
        data_blocks,
        old.params.salt().clone(),
    );
    Superblock {
        params: params.unwrap(),
        ..old.clone()
    }
}

/// The root block is the same for each of these, and the filesystem fills the data: the first
/// block that the kernel reads tells, or the salt.
pub(super) fn superblocks_with_other_sizes() {
    for (salt, arguments) in [("", false), ("00", false), ("00", true)] {
        let options: &[&str] = if salt.is_empty() {
            &[]
        } else {
            &["--salt", salt]
        };
        let hostile = Hostile::new("other sizes", TestDisk::with(options));
        let old = hostile.disk.superblock();
        let blocks = old.params.data_blocks();
        let options = if arguments {
            format!("--data-blocks {blocks}")
        } else {
            String::new()
        };
        for fewer in [
            1,
            2,
            127,
            128,
            129,
            200,
            blocks / 2,
            blocks - 1,
            blocks + 1,
            128 * 128,
            1 << 40,
        ] {
            hostile
                .disk
                .set_superblock(&with_params(&old, (fewer, 4096)));
            let reasons = [GEOMETRY, &["data blocks, the arguments say"]].concat();
            hostile.is_refused(&options, 3, &reasons);
        }
        for size in [512, 1024, 2048] {
            let same_bytes = blocks * 4096 / size;
            hostile
                .disk
                .set_superblock(&with_params(&old, (same_bytes, size)));
            let reasons = [
                GEOMETRY,
                &["the disk is corrupt", "data blocks, the arguments say"],
            ];
            hostile.is_refused(&options, 3, &reasons.concat());
        }
        // Larger than a page, which no disk for this machine has; but that is not the first fault.
        hostile
            .disk
            .set_superblock(&with_params(&old, (blocks / 2, 8192)));
        let reasons = [GEOMETRY, &["data blocks, the arguments say"]].concat();
        hostile.is_refused(&options, 3, &reasons);
        hostile.restore();
        hostile.is_mounted(&options);
    }
}
