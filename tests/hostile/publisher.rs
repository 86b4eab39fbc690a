//! Filesystems that are bent, under a root hash that is right: a publisher may be hostile to whoever
//! reads the disk.

use test_support::{
    image::{DiskImage, SaltKind},
    model::{bytes, erofs},
};

use crate::{
    Test,
    disk_file::{DiskFile, Options},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("every_byte_of_the_metadata", every_byte_of_the_metadata),
    ("many_bytes_at_random", many_bytes_at_random),
    ("a_directory_in_itself", a_directory_in_itself),
    ("files_of_any_size", files_of_any_size),
];

fn model() -> Vec<u8> {
    erofs(&[
        ("a/b/deep", bytes(5000, 1)),
        ("a/file", bytes(10, 2)),
        ("config.json", bytes(600, 3)),
        ("empty", Vec::new()),
    ])
}

/// Where the metadata ends: a block of inodes and three directories.
const METADATA: usize = 4 * 4096;

fn try_disk(file: &DiskFile, data: &[u8]) {
    let image = DiskImage::new(data, (4096, 4096), SaltKind::Geometry);
    // Whether it is accepted or not, all that reads it ends well.
    let _ = file.check(
        &image.bytes,
        &image.root_hash,
        Options::at(image.data_end()),
    );
}

fn every_byte_of_the_metadata() {
    let file = DiskFile::new();
    let data = model();
    for at in (1024..METADATA).filter(|at| data[*at] != 0 || at % 61 == 0) {
        for change in [0x01, 0xff] {
            let mut bent = data.clone();
            bent[at] ^= change;
            try_disk(&file, &bent);
        }
    }
}

fn many_bytes_at_random() {
    let file = DiskFile::new();
    let data = model();
    let used: Vec<usize> = (1024..METADATA).filter(|at| data[*at] != 0).collect();
    for seed in 0..300 {
        let mut bent = data.clone();
        for number in bytes(24, seed).chunks_exact(3) {
            let place = usize::from(number[0]) << 8 | usize::from(number[1]);
            // What follows a number that counts may be a number of more digits.
            let at = used[place % used.len()] + place % 3;
            bent[at] = number[2];
        }
        try_disk(&file, &bent);
    }
}

/// Where a name stands in the table of a directory, by the number of its inode.
fn entries_of(data: &[u8], nid: u64) -> Vec<usize> {
    let entry = |at: &usize| data[*at..*at + 8] == nid.to_le_bytes();
    let tables = (4096..METADATA).step_by(4096);
    tables
        .flat_map(|block| (block..block + 12 * 6).step_by(12))
        .filter(entry)
        .collect()
}

fn a_directory_in_itself() {
    let file = DiskFile::new();
    let data = model();
    // The root is inode 36; those after it follow in the order of a walk, 32 bytes each.
    for (directory, inside) in [(36, 37), (36, 38), (37, 38)] {
        for at in entries_of(&data, inside) {
            let mut bent = data.clone();
            bent[at..at + 8].copy_from_slice(&u64::to_le_bytes(directory));
            try_disk(&file, &bent);
        }
    }
}

/// Up to what no file can have: a chunked one, all of it a hole.
fn files_of_any_size() {
    let file = DiskFile::new();
    let data = model();
    let mut tried = 0;
    for inode in (1024..4096 - 64).step_by(32) {
        if data[inode + 4..inode + 6] != [0o244, 0o201] {
            continue;
        }
        for size in [0, 1, 4096, 1 << 20, u32::MAX] {
            for layout in 0..8 {
                for start in [0, 1, u32::MAX] {
                    let mut bent = data.clone();
                    bent[inode] = layout << 1;
                    bent[inode + 8..inode + 12].copy_from_slice(&size.to_le_bytes());
                    bent[inode + 16..inode + 20].copy_from_slice(&start.to_le_bytes());
                    try_disk(&file, &bent);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 300);
}
