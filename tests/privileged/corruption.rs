//! Disks that were changed: before the mount, and under it.

use std::fs;

use crate::{
    Test,
    disk::{TestDisk, files, in_the_largest_file},
    foreign::{format_appended, make_ext4, make_squashfs},
    machine::{Leftovers, drop_caches},
    run::{check, mounter},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_flipped_byte_under_a_mount", a_flipped_byte_under_a_mount),
    (
        "a_flipped_byte_before_the_mount",
        a_flipped_byte_before_the_mount,
    ),
    (
        "the_first_block_of_each_level",
        the_first_block_of_each_level,
    ),
    ("the_last_block_of_each_level", the_last_block_of_each_level),
    (
        "corruption_in_the_first_block",
        corruption_in_the_first_block,
    ),
    (
        "corruption_that_only_a_filesystem_meets",
        corruption_that_only_a_filesystem_meets,
    ),
];

/// A tree of four levels over a small disk.
const DEEP: &[&str] = &["--hash-block-size", "512"];

/// Reads the last file whole.
fn read_last(disk: &TestDisk) -> std::io::Result<()> {
    fs::read(disk.mount_point().join("model.safetensors")).map(|_| ())
}

#[track_caller]
fn is_corrupt(disk: &TestDisk) {
    let error = read_last(disk).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
    mounter(&disk.line("status")).is(3, &["corrupt", &disk.root_hash]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_flipped_byte_under_a_mount() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("")).is(0, &[]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    disk.flip(in_the_largest_file(&disk));
    drop_caches();
    is_corrupt(&disk);
}

fn a_flipped_byte_before_the_mount() {
    let disk = TestDisk::new();
    disk.flip(in_the_largest_file(&disk));
    mounter(&disk.mount_line("")).is(0, &[]);
    mounter(&disk.line("status")).is(0, &["verified"]);
    is_corrupt(&disk);
    let (image, root_hash) = (disk.image.to_str().unwrap(), &*disk.root_hash);
    crate::run::run("disk-builder", ["verify", image, "--root-hash", root_hash]).is(3, &[]);
}

/// The blocks on the way to data block 0 are read before anything is mounted.
fn the_first_block_of_each_level() {
    let disk = TestDisk::with(DEEP);
    let levels = disk.levels();
    assert!(levels.len() >= 3, "{levels:?}");
    for (level, (start, _)) in levels.iter().enumerate() {
        let before = Leftovers::look();
        disk.flip(*start);
        let reason = if level + 1 == levels.len() {
            "does not match"
        } else {
            "the disk is corrupt"
        };
        mounter(&disk.mount_line("")).is(3, &[reason]);
        before.check();
        disk.flip(*start);
    }
    mounter(&disk.mount_line("")).is(0, &[]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// The others are read when the data below them is.
fn the_last_block_of_each_level() {
    let disk = TestDisk::with(DEEP);
    let levels = disk.levels();
    // The root level has one block, which is the first as well.
    for (start, end) in &levels[..levels.len() - 1] {
        let last = end - 512;
        assert_ne!(last, *start, "a level of one block");
        disk.flip(last);
        mounter(&disk.mount_line("")).is(0, &[]);
        let error = files_error(&disk);
        assert_eq!(error, Some(nix::libc::EIO));
        mounter(&disk.line("status")).is(3, &["corrupt"]);
        mounter(&disk.line("unmount")).is(0, &[]);
        disk.flip(last);
    }
}

/// Reads every block of the mapping.
fn files_error(disk: &TestDisk) -> Option<i32> {
    let name = mounter(&disk.line("status --json")).stdout;
    let name = serde_json::from_str::<serde_json::Value>(&name).unwrap()["name"]
        .as_str()
        .unwrap()
        .to_owned();
    check("dmsetup", ["mknodes", &name]);
    let device = format!("/dev/mapper/{name}");
    let error = fs::read(&device)
        .err()
        .and_then(|error| error.raw_os_error());
    fs::remove_file(device).unwrap();
    error
}

fn corruption_in_the_first_block() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    // A byte that no superblock needs.
    disk.flip(0);
    mounter(&disk.mount_line("")).is(3, &["corrupt"]);
    before.check();
}

/// Blocks that are read for the first time while the filesystem is mounted: the tables at the end
/// of a SquashFS, the group descriptors of an ext4.
fn corruption_that_only_a_filesystem_meets() {
    for (fs_type, make) in [
        ("squashfs", make_squashfs as fn(&mut TestDisk)),
        ("ext4", make_ext4),
    ] {
        let mut disk = TestDisk::filesystem();
        make(&mut disk);
        format_appended(&mut disk, &[]);
        let block = match fs_type {
            "squashfs" => disk.data_bytes - 4096,
            _ => 4096,
        };
        disk.flip(block);
        let before = Leftovers::look();
        let line = disk.mount_line(&format!("--fs-type {fs_type}"));
        mounter(&line).is(3, &["the disk is corrupt"]);
        before.check();
    }
}
