//! What is corrected, of disks of all kinds.

use crate::{
    disk::{Loop, files, flip, in_the_largest_file},
    machine::{Leftovers, drop_caches},
    run::{mounter, text},
};

use super::{FecDevices, FecDisk, counts, spoil};

pub(super) fn corrupt_blocks_are_corrected() {
    let disk = FecDisk::new();
    disk.reads_right();
    // A bit under the mount, then as many whole blocks of a row as there are roots.
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &[]);
    let status = disk.status();
    assert_eq!(status["fec"], true);
    let none = if counts() {
        0.into()
    } else {
        serde_json::Value::Null
    };
    assert_eq!(status["fec_corrected"], none);
    disk.disk.flip(in_the_largest_file(&disk.disk));
    drop_caches();
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    let status = disk.status();
    assert_eq!(status["status"], "verified");
    match status["fec_corrected"].as_u64() {
        None => assert!(!counts(), "{status}"),
        Some(corrected) => assert!(counts() && corrected > 0, "{status}"),
    }
    let words: &[&str] = if counts() {
        &["corrected"]
    } else {
        &["verified"]
    };
    mounter(&disk.disk.line("status")).is(0, words);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    disk.row().take(2).for_each(|block| disk.spoil(block));
    disk.reads_right();
}

pub(super) fn block_sizes_and_roots() {
    for (block_size, roots) in [(4096, 24), (4096, 3), (1024, 8), (512, 2)] {
        let disk = FecDisk::with(block_size, roots, FecDevices::OneImage);
        let blocks: Vec<_> = disk.row().take(roots as usize).collect();
        blocks.iter().for_each(|block| disk.spoil(*block));
        disk.reads_right();
    }
}

pub(super) fn devices_of_its_own() {
    for place in [FecDevices::HashDevice, FecDevices::ThreeDevices] {
        let mut disk = FecDisk::with(4096, 2, place);
        disk.spoil(disk.block);
        disk.reads_right();
        // The same by block devices, which can be read in blocks of the disk alone.
        let (image, tree, fec) = (&disk.disk.image, &disk.hash.0, &disk.fec.0);
        let devices = [image, tree, fec].map(|file| Loop::with(file, &["--sector-size", "4096"]));
        let [image, tree, fec] = devices.each_ref().map(|device| text(device.path()));
        disk.options = format!("--fec --hash-device {tree}");
        if place == FecDevices::ThreeDevices {
            disk.options += &format!(" --fec-device {fec}");
        }
        disk.disk.image = image.into();
        disk.reads_right();
    }
    // On the device of the tree, by its name.
    let mut disk = FecDisk::with(4096, 2, FecDevices::HashDevice);
    let (fec, offset) = disk.fec.clone();
    disk.options += &format!(" --fec-device {} --fec-offset {offset}", text(&fec));
    disk.spoil(disk.block);
    disk.reads_right();
}

/// One of level 0. Where it is itself what blocks of its row are verified by, the kernel calls the disk
/// corrupt while it corrects it; what is read is right all the same.
pub(super) fn a_corrupt_hash_block_is_corrected() {
    let disk = FecDisk::with(512, 2, FecDevices::OneImage);
    // SHA-256 has 16 digests in such a block, and the row of none of its data blocks is that of the block.
    let level = disk.tree.levels()[0];
    let is_apart = |block: &u64| {
        let row = (disk.data_blocks + level.first_block + block) % disk.rows();
        (0..16).all(|child| (block * 16 + child) % disk.rows() != row)
    };
    let block = (disk.block / 16..level.blocks).find(is_apart).unwrap();
    let (hash, start) = &disk.hash;
    flip(hash, start + (level.first_block + block) * 512 + 100);
    disk.reads_right();
    disk.spoil(disk.block);
    disk.reads_right();

    let disk = FecDisk::new();
    let (hash, start) = &disk.hash;
    // The root block comes first.
    flip(hash, start + 4096 + disk.block / 128 * 4096 + 1000);
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    mounter(&disk.disk.line("status")).is(3, &["corrupt"]);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

/// The first block of the data, which tells the size of the filesystem, and so binds the geometry; and the
/// block that the root hash is of. All of the data is verified by that: the kernel calls the disk corrupt
/// while it corrects it, and what is not served by the kernel is served.
pub(super) fn what_a_disk_is_judged_by_is_corrected() {
    let disk = FecDisk::with(4096, 2, FecDevices::HashDevice);
    let (hash, start) = &disk.hash;
    let with = disk.disk.mount_line(&disk.options);
    let without = disk
        .disk
        .mount_line(&format!("--hash-device {}", text(hash)));
    let reads_right = |line: &str, word: &str| {
        mounter(line).is(0, &[word]);
        assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
        mounter(&disk.disk.line("status")).is(0, &["verified"]);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
    };
    disk.spoil(0);
    reads_right(&with, "geometry bound by filesystem");
    mounter(&without).is(3, &["nothing binds"]);
    spoil(hash, *start, 4096);
    let before = Leftovers::look();
    mounter(&with).is(3, &["the disk is corrupt: dm-verity says so"]);
    before.check();
    reads_right(&format!("{with} --fuse"), "by FUSE");
    let other = with.replace(&disk.disk.root_hash, &"7".repeat(64));
    mounter(&other).is(3, &["the root hash does not match"]);
}
