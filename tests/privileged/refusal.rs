//! What is refused: with its exit code and a reason, and nothing left behind.

use std::{fs, path::Path};

use crate::{
    Test,
    disk::{Loop, TestDisk},
    machine::{Leftovers, half_made},
    run::{check, mounter},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "a_wrong_root_hash_is_told_with_both",
        a_wrong_root_hash_is_told_with_both,
    ),
    (
        "another_disk_at_the_mount_point",
        another_disk_at_the_mount_point,
    ),
    (
        "another_filesystem_at_the_mount_point",
        another_filesystem_at_the_mount_point,
    ),
    ("a_name_with_another_table", a_name_with_another_table),
    (
        "a_half_made_mapping_is_made_anew",
        a_half_made_mapping_is_made_anew,
    ),
    (
        "a_device_that_is_mounted_without_verification",
        a_device_that_is_mounted_without_verification,
    ),
    ("a_device_without_a_medium", a_device_without_a_medium),
    ("blocks_larger_than_a_page", blocks_larger_than_a_page),
    ("a_device_that_is_cut_short", a_device_that_is_cut_short),
    (
        "another_filesystem_than_named",
        another_filesystem_than_named,
    ),
    (
        "a_filesystem_that_the_kernel_refuses",
        a_filesystem_that_the_kernel_refuses,
    ),
    ("a_mount_point_that_is_a_file", a_mount_point_that_is_a_file),
    (
        "what_is_not_verity_is_not_touched",
        what_is_not_verity_is_not_touched,
    ),
];

/// Runs a line that must be refused.
#[track_caller]
fn refused(line: &str, code: i32, words: &[&str]) {
    let before = Leftovers::look();
    mounter(line).is(code, words);
    before.check();
}

fn a_wrong_root_hash_is_told_with_both() {
    let disk = TestDisk::new();
    let wrong = "0".repeat(64);
    let line = disk.mount_line("").replace(&disk.root_hash, &wrong);
    refused(
        &line,
        3,
        &["root hash does not match", &disk.root_hash, &wrong],
    );
    assert!(
        !disk.mount_point().exists(),
        "the mount point was made and left behind"
    );
    let line = disk
        .mount_line("")
        .replace(&disk.root_hash, &"0".repeat(128));
    refused(&line, 3, &["sha256", "sha512"]);
    let device = Loop::new(&disk.image);
    let line = disk.mount_line("").replace(
        disk.image.to_str().unwrap(),
        device.path().to_str().unwrap(),
    );
    refused(
        &line.replace(&disk.root_hash, &wrong),
        3,
        &[&disk.root_hash, &wrong],
    );
}

fn another_disk_at_the_mount_point() {
    let disk = TestDisk::new();
    let other = TestDisk::with(&["--salt", "00"]);
    mounter(&disk.mount_line("")).is(0, &[]);
    let line = format!(
        "mount --root-hash {} {} {}",
        other.root_hash,
        other.image.display(),
        disk.mount_point().display()
    );
    refused(&line, 5, &["mounted there already", &disk.root_hash]);
    // The same disk with a wrong root hash is refused for that first.
    refused(
        &disk
            .mount_line("")
            .replace(&disk.root_hash, &other.root_hash),
        3,
        &["does not match"],
    );
    // The same model on another device is another disk.
    let copy = disk.path("copy");
    fs::copy(&disk.image, &copy).unwrap();
    let line = disk
        .mount_line("")
        .replace(disk.image.to_str().unwrap(), copy.to_str().unwrap());
    refused(&line, 5, &["mounted there already"]);
    refused(
        &disk.mount_line("--on-corruption panic"),
        5,
        &["mounted there already"],
    );
    refused(
        &disk.mount_line("--name other"),
        5,
        &["through the mapping"],
    );
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn another_filesystem_at_the_mount_point() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    check(
        "mount",
        [
            Path::new("-ttmpfs"),
            Path::new("tmpfs"),
            &disk.mount_point(),
        ],
    );
    refused(
        &disk.mount_line(""),
        5,
        &["tmpfs without dm-verity is mounted there already"],
    );
    check("umount", [disk.mount_point()]);
}

fn a_name_with_another_table() {
    let disk = TestDisk::new();
    check("dmsetup", ["create", "taken", "--table", "0 8 error"]);
    refused(&disk.mount_line("--name taken"), 5, &["taken"]);
    check("dmsetup", ["remove", "taken"]);

    let other = TestDisk::with(&["--salt", "00"]);
    mounter(&other.mount_line("--name taken")).is(0, &[]);
    refused(
        &disk.mount_line("--name taken"),
        5,
        &["taken", "another table", &other.root_hash],
    );
    mounter(&other.line("unmount")).is(0, &[]);
}

fn a_half_made_mapping_is_made_anew() {
    let disk = TestDisk::new();
    half_made("half");
    mounter(&disk.mount_line("--name half")).is(0, &["mapping half"]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_device_that_is_mounted_without_verification() {
    let disk = TestDisk::new();
    let device = Loop::new(&disk.image);
    let plain = disk.path("plain");
    fs::create_dir(&plain).unwrap();
    check(
        "mount",
        [
            Path::new("-terofs"),
            Path::new("-oro"),
            device.path(),
            &plain,
        ],
    );
    let line = disk.mount_line("").replace(
        disk.image.to_str().unwrap(),
        device.path().to_str().unwrap(),
    );
    refused(&line, 5, &["in use by a mount without verification at"]);
    check("umount", [plain]);
}

fn a_device_without_a_medium() {
    let disk = TestDisk::new();
    let device = check("losetup", ["--find"]);
    let line = disk
        .mount_line("--wait 0")
        .replace(disk.image.to_str().unwrap(), device.trim());
    refused(
        &line,
        4,
        &["a block device of size 0", "timed out after 0 s"],
    );
    refused(
        &format!("inspect {device}"),
        4,
        &["a block device of size 0"],
    );
}

/// A good disk, for machines with larger pages.
fn blocks_larger_than_a_page() {
    let disk = TestDisk::with(&["--data-block-size", "8K"]);
    refused(&disk.mount_line(""), 6, &["8192", "this machine's pages"]);
}

fn a_device_that_is_cut_short() {
    let disk = TestDisk::new();
    let length = fs::metadata(&disk.image).unwrap().len();
    for (length, what) in [
        (length - 4096, "the hash tree"),
        (disk.data_bytes + 4096, "the hash tree"),
        (disk.data_bytes + 100, "the superblock"),
        (disk.data_bytes, "the superblock"),
        (8192, "the superblock"),
        (4096, "the superblock"),
    ] {
        fs::File::options()
            .write(true)
            .open(&disk.image)
            .unwrap()
            .set_len(length)
            .unwrap();
        refused(&disk.mount_line(""), 3, &["cut short", what]);
    }
    for length in [1100, 512, 1, 0] {
        fs::File::options()
            .write(true)
            .open(&disk.image)
            .unwrap()
            .set_len(length)
            .unwrap();
        refused(&disk.mount_line(""), 3, &["no erofs filesystem"]);
    }
}

fn another_filesystem_than_named() {
    let disk = TestDisk::new();
    refused(
        &disk.mount_line("--fs-type ext4"),
        3,
        &["no ext4 filesystem"],
    );
    let offset = format!("--fs-type squashfs --hash-offset {}", disk.data_bytes);
    refused(
        &disk.mount_line(&offset),
        1,
        &["squashfs filesystem cannot be mounted"],
    );
}

fn a_filesystem_that_the_kernel_refuses() {
    let mut disk = TestDisk::filesystem();
    // An incompatible feature that does not exist; the tree is made over it.
    crate::disk::write(&disk.image, 1024 + 80, &[0xff; 4]);
    disk.root_hash =
        crate::disk::root_hash(&check("disk-builder", [Path::new("hash"), &disk.image]));
    refused(
        &disk.mount_line(""),
        1,
        &["erofs filesystem cannot be mounted"],
    );
}

fn a_mount_point_that_is_a_file() {
    let disk = TestDisk::new();
    fs::write(disk.mount_point(), "").unwrap();
    refused(&disk.mount_line(""), 1, &["cannot mount onto"]);
    fs::remove_file(disk.mount_point()).unwrap();
    let line = format!("{}/deep/er", disk.mount_line(""));
    let wrong = line.replace(&disk.root_hash, &"1".repeat(64));
    refused(&wrong, 3, &["does not match"]);
    mounter(&line).is(0, &[]);
    mounter(&format!("{}/deep/er", disk.line("unmount"))).is(0, &[]);
}

fn what_is_not_verity_is_not_touched() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    refused(&disk.line("status"), 4, &["not mounted"]);
    refused(&disk.line("unmount"), 4, &["not mounted"]);
    check(
        "mount",
        [
            Path::new("-ttmpfs"),
            Path::new("tmpfs"),
            &disk.mount_point(),
        ],
    );
    refused(&disk.line("status"), 3, &["without dm-verity"]);
    refused(&disk.line("unmount"), 5, &["without dm-verity"]);
    check("umount", [disk.mount_point()]);
}
