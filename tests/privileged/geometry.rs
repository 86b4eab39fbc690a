//! What binds the geometry, and what does not.

use std::fs;

use dm_verity::{Superblock, VerityParams};

use crate::{
    Test,
    disk::{TestDisk, files, root_hash},
    machine::Leftovers,
    run::{check, mounter, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "a_superblock_with_fewer_data_blocks",
        a_superblock_with_fewer_data_blocks,
    ),
    ("the_filesystem_binds", the_filesystem_binds),
    ("the_arguments_bind", the_arguments_bind),
    ("no_superblock_at_all", no_superblock_at_all),
    (
        "no_superblock_on_a_hash_device",
        no_superblock_on_a_hash_device,
    ),
    ("nothing_binds", nothing_binds),
    ("one_data_block", one_data_block),
];

fn with_data_blocks(disk: &TestDisk, data_blocks: u64) {
    let superblock = disk.superblock();
    let old = &superblock.params;
    let params = VerityParams::new(
        old.algorithm(),
        old.data_block_size(),
        old.hash_block_size(),
        data_blocks,
        old.salt().clone(),
    );
    disk.set_superblock(&Superblock {
        params: params.unwrap(),
        ..superblock
    });
}

#[track_caller]
fn refused(line: &str, words: &[&str]) {
    let before = Leftovers::look();
    mounter(line).is(3, words);
    before.check();
}

#[track_caller]
fn mounts(disk: &TestDisk, options: &str, binding: &str) {
    mounter(&disk.mount_line(options)).is(0, &[&format!("geometry bound by {binding}")]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_superblock_with_fewer_data_blocks() {
    for salt in [&[][..], &["--salt", "00"], &["--salt", "-"]] {
        let disk = TestDisk::with(salt);
        let data_blocks = disk.data_bytes / 4096;
        // So few that the tree has as many levels as before: the root hash still fits.
        for fewer in [data_blocks - 1, 200, 129] {
            with_data_blocks(&disk, fewer);
            refused(
                &disk.mount_line(""),
                &["nothing binds the number of data blocks"],
            );
            refused(
                &disk.mount_line(&format!("--data-blocks {data_blocks}")),
                &[&format!("claims {fewer} data blocks")],
            );
        }
        with_data_blocks(&disk, data_blocks);
        mounter(&disk.mount_line("")).is(0, &[]);
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

fn the_filesystem_binds() {
    mounts(&TestDisk::with(&["--salt", "00"]), "", "filesystem");
    mounts(&TestDisk::with(&["--salt", "-"]), "", "filesystem");
    mounts(&TestDisk::new(), "", "geometry salt");
}

fn the_arguments_bind() {
    let disk = TestDisk::with(&["--salt", "00"]);
    mounts(
        &disk,
        &format!("--data-blocks {}", disk.data_bytes / 4096),
        "arguments",
    );
}

fn no_superblock_at_all() {
    let disk = TestDisk::with(&["--salt", "0badc0de"]);
    let blocks = disk.data_bytes / 4096;
    let tree = disk.data_bytes + 4096;
    let options =
        format!("--no-superblock --salt 0badc0de --data-blocks {blocks} --hash-offset {tree}");
    mounts(&disk, &options, "arguments");
    // It is not even read.
    crate::disk::write(&disk.image, disk.data_bytes, &[0xa5; 4096]);
    mounts(&disk, &options, "arguments");
    refused(&disk.mount_line(""), &["no dm-verity superblock"]);
    refused(
        &disk.mount_line(&options.replace("0badc0de", "0badc0df")),
        &["does not match"],
    );
    // The root block of fewer blocks is the same; the first of them is not.
    refused(
        &disk.mount_line(&options.replace(&format!(" {blocks} "), " 100 ")),
        &["the disk is corrupt"],
    );
    refused(
        &disk.mount_line(&options.replace(&tree.to_string(), "4096")),
        &["within the data"],
    );
}

/// The tree starts where nothing else is said: with the device.
fn no_superblock_on_a_hash_device() {
    let mut disk = TestDisk::filesystem();
    let (image, tree) = (disk.image.clone(), disk.path("tree"));
    let (image, tree) = (text(&image), text(&tree));
    let tree_alone = ["--hash-device", tree, "--no-superblock", "--salt", "0bad"];
    disk.root_hash = root_hash(&check(
        "disk-builder",
        [&["hash", image][..], &tree_alone].concat(),
    ));
    let blocks = disk.data_bytes / 4096;
    let options = format!("{} --data-blocks {blocks}", tree_alone.join(" "));
    mounts(&disk, &options, "arguments");
}

fn nothing_binds() {
    let mut disk = TestDisk::filesystem();
    // A filesystem that is smaller than its disk.
    fs::File::options()
        .write(true)
        .open(&disk.image)
        .unwrap()
        .set_len(disk.data_bytes + 8192)
        .unwrap();
    let image = disk.image.display().to_string();
    disk.root_hash = root_hash(&check("disk-builder", ["hash", &image, "--salt", "00"]));
    let offset = format!("--hash-offset {}", disk.data_bytes + 8192);
    refused(
        &disk.mount_line(&offset),
        &["nothing binds", "--data-blocks"],
    );
    mounts(
        &disk,
        &format!("{offset} --data-blocks {}", disk.data_bytes / 4096 + 2),
        "arguments",
    );
}

fn one_data_block() {
    let mut disk = TestDisk::filesystem();
    let tiny = disk.path("tiny");
    fs::create_dir(&tiny).unwrap();
    fs::write(tiny.join("a"), "b").unwrap();
    check(
        "mkfs.erofs",
        [
            "--quiet",
            "-T0",
            disk.image.to_str().unwrap(),
            tiny.to_str().unwrap(),
        ],
    );
    assert_eq!(fs::metadata(&disk.image).unwrap().len(), 4096);
    disk.files = files(&tiny);
    disk.root_hash = root_hash(&check(
        "disk-builder",
        ["hash", disk.image.to_str().unwrap()],
    ));
    mounts(&disk, "", "geometry salt");
    refused(
        &disk
            .mount_line("")
            .replace(&disk.root_hash, &"7".repeat(64)),
        &[&disk.root_hash],
    );
}
