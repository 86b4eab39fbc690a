//! Disks that `disk-builder repair` corrects, and what the kernel makes of them.

use crate::{
    Test,
    disk::{Loop, TestDisk, files, in_the_largest_file, noise, write},
    fec::FecDisk,
    run::{Outcome, mounter, run, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "the_kernel_corrects_by_what_was_built",
        the_kernel_corrects_by_what_was_built,
    ),
    ("what_veritysetup_made", what_veritysetup_made),
    ("a_block_device", a_block_device),
    ("a_mounted_device_is_refused", a_mounted_device_is_refused),
];

fn repair(disk: &TestDisk, image: &str) -> Outcome {
    run(
        "disk-builder",
        ["repair", image, "--root-hash", &disk.root_hash],
    )
}

/// Makes nonsense of the block in the middle of the largest file, and tells where it is.
fn spoil(disk: &TestDisk) -> u64 {
    let block = in_the_largest_file(disk) / 4096 * 4096;
    write(&disk.image, block, &noise("spoiled", 4096));
    block
}

/// Mounts it with these options, and all of it is right.
#[track_caller]
fn reads_right(disk: &TestDisk, options: &str) {
    mounter(&disk.mount_line(options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// Parity of `disk-builder` is what the kernel takes, before and after a repair.
fn the_kernel_corrects_by_what_was_built() {
    let disk = TestDisk::with(&["--fec"]);
    let whole = std::fs::read(&disk.image).unwrap();
    let block = spoil(&disk);
    reads_right(&disk, "--fec");
    repair(&disk, text(&disk.image)).is(0, &[]);
    assert!(std::fs::read(&disk.image).unwrap() == whole);
    reads_right(&disk, "");
    write(&disk.image, block + 4096, &noise("again", 4096));
    reads_right(&disk, "--fec");
}

/// As many blocks of a row as there are roots, of a disk that `veritysetup` made.
fn what_veritysetup_made() {
    let made = FecDisk::new();
    let disk = &made.disk;
    let whole = std::fs::read(&disk.image).unwrap();
    made.row().take(2).for_each(|block| made.spoil(block));
    repair(disk, text(&disk.image)).is(0, &[]);
    assert!(std::fs::read(&disk.image).unwrap() == whole);
    reads_right(disk, "");
}

fn a_block_device() {
    let disk = TestDisk::with(&["--fec"]);
    let whole = std::fs::read(&disk.image).unwrap();
    spoil(&disk);
    let device = Loop::new(&disk.image);
    repair(&disk, text(device.path())).is(0, &[]);
    drop(device);
    assert!(std::fs::read(&disk.image).unwrap() == whole);
}

/// What somebody reads is not written to, not even with what is right.
fn a_mounted_device_is_refused() {
    let mut disk = TestDisk::with(&["--fec"]);
    let device = Loop::new(&disk.image);
    disk.image = device.path().into();
    mounter(&disk.mount_line("")).is(0, &[]);
    repair(&disk, text(device.path())).is(5, &["/dev/loop", "is in use", "os error 16"]);
    mounter(&disk.line("unmount")).is(0, &[]);
    repair(&disk, text(device.path())).is(0, &[]);
}
