//! Trees that are not the ones over the data.

use std::fs;

use super::{Hostile, superblock::with_params};
use crate::{
    disk::{TestDisk, flip, root_hash},
    run::check,
};

/// Level 0 as the data, what stands above it as its tree: the root hash fits.
pub(super) fn a_level_of_the_tree_as_data() {
    for salt in [&[][..], &["--salt", "00"]] {
        let hostile = Hostile::new("level as data", TestDisk::with(salt));
        let (start, end) = hostile.disk.levels()[0];
        let (top, _) = hostile.disk.levels()[1];
        let bytes = |start: u64, end: u64| &hostile.image[start as usize..end as usize];
        let level = bytes(start, end);
        let blocks = level.len() as u64 / 4096;
        let superblock = with_params(&hostile.disk.superblock(), (blocks, 4096));
        let disk = |level: &[u8]| {
            let mut slot = superblock.to_bytes().to_vec();
            slot.resize(4096, 0);
            [level, &slot, bytes(top, start)].concat()
        };
        let offset = format!("--hash-offset {}", level.len());
        let right = format!("{offset} --data-blocks {}", hostile.disk.data_bytes / 4096);
        fs::write(&hostile.disk.image, disk(level)).unwrap();
        hostile.is_refused("", 3, &["no erofs filesystem"]);
        hostile.is_refused(&offset, 3, &["nothing binds"]);
        hostile.is_refused(&right, 3, &["data blocks, the arguments say"]);

        // A superblock of a filesystem in it, which claims to fill it.
        let mut forged = level.to_vec();
        forged[1024..1152].copy_from_slice(&hostile.image[1024..1152]);
        forged[1024 + 36..1024 + 40].copy_from_slice(&(blocks as u32).to_le_bytes());
        fs::write(&hostile.disk.image, disk(&forged)).unwrap();
        hostile.is_refused("", 3, &["the disk is corrupt"]);
        hostile.is_refused(&offset, 3, &["the disk is corrupt"]);
        hostile.is_refused(&right, 3, &["data blocks, the arguments say"]);
        hostile.restore();
        hostile.is_mounted("");
    }
}

/// Another model of the same size: its disk, its tree over our data, and our tree over its data.
pub(super) fn trees_of_another_model() {
    for salt in [&[][..], &["--salt", "00"]] {
        let hostile = Hostile::new("another model", TestDisk::with(salt));
        let mut other = TestDisk::filesystem();
        // Its first file's first bytes are others, its filesystem the same.
        flip(&other.image, crate::disk::in_the_largest_file(&other));
        flip(&other.image, 1024 + 48);
        let image = other.image.to_str().unwrap();
        other.root_hash = root_hash(&check("disk-builder", [&["hash", image], salt].concat()));
        let theirs = fs::read(&other.image).unwrap();
        let ours = &hostile.image;
        assert_eq!(ours.len(), theirs.len());
        assert_ne!(hostile.disk.root_hash, other.root_hash);
        let end = hostile.disk.data_bytes as usize;
        let level_0 = hostile.disk.levels()[0].0 as usize;

        for (disk, reason) in [
            (theirs.clone(), "does not match"),
            ([&ours[..end], &theirs[end..]].concat(), "does not match"),
            (
                [&theirs[..end], &ours[end..]].concat(),
                "the disk is corrupt",
            ),
            // Our root block over their level 0, which is right for their data.
            (
                [&theirs[..end], &ours[end..level_0], &theirs[level_0..]].concat(),
                "the disk is corrupt",
            ),
        ] {
            fs::write(&hostile.disk.image, disk).unwrap();
            hostile.is_refused("", 3, &[reason]);
        }
        hostile.restore();
        hostile.is_mounted("");
    }
}

/// The root block is told before the kernel reads it; below it, what the first read needs.
pub(super) fn every_level_with_a_changed_bit() {
    let hostile = Hostile::new("changed levels", TestDisk::new());
    let levels = hostile.disk.levels();
    let (root, first) = (levels[1].0, levels[0].0);
    for (at, reason) in [
        (root, "does not match"),
        (root + 4095, "does not match"),
        (first, "the disk is corrupt"),
        (first + 4095, "the disk is corrupt"),
        (0, "the disk is corrupt"),
        (4095, "the disk is corrupt"),
    ] {
        hostile.disk.flip(at);
        hostile.is_refused("", 3, &[reason]);
        hostile.disk.flip(at);
    }
    hostile.is_mounted("");
}
