//! A corrupt disk: what is told of it, and who may have mounted it.

use std::fs;

use crate::{
    disk::{TestDisk, in_the_largest_file, on_the_way_to_the_last_block},
    machine::{Leftovers, drop_caches, mount_line},
    run::mounter,
};

use super::{Sidecar, read};

pub(super) fn tells_the_corrupt_block_and_its_file() {
    let disk = TestDisk::new();
    let mut sidecar = Sidecar::ready(&disk);
    let offset = in_the_largest_file(&disk);
    disk.flip(offset);
    drop_caches();
    read(&disk).unwrap_err();
    let block = format!("data block {} of", offset / 4096);
    sidecar.wait_for("stays mounted until");
    // Nothing else is uncovered: what is not corrupt can be read, and what is cannot.
    read(&disk).unwrap_err();
    let readme = fs::read(disk.mount_point().join("README.md")).unwrap();
    assert_eq!(readme, fs::read(disk.path("model/README.md")).unwrap());
    mounter(&disk.line("status")).is(3, &["corrupt"]);
    let outcome = sidecar.terminate();
    outcome.is(
        3,
        &[
            "is corrupt",
            &block,
            "it lies in model.safetensors",
            "is unmounted",
        ],
    );
    assert_eq!(
        outcome.stderr.matches("is corrupt").count(),
        1,
        "{outcome:?}"
    );
}

pub(super) fn tells_the_corrupt_hash_block() {
    let disk = TestDisk::new();
    // Before the start, as the kernel reads hash blocks ahead.
    let offset = on_the_way_to_the_last_block(&disk);
    disk.flip(offset);
    let mut sidecar = Sidecar::ready(&disk);
    read(&disk).unwrap_err();
    sidecar.wait_for("stays mounted until");
    sidecar.terminate().is(
        3,
        &["is corrupt", &format!("hash block {} of", offset / 4096)],
    );
}

pub(super) fn a_corrupt_disk_that_is_mounted_already() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    // As a sidecar that was killed leaves it.
    mounter(&disk.mount_line("")).is(0, &[]);
    disk.flip(in_the_largest_file(&disk));
    read(&disk).unwrap_err();
    let line = disk.sidecar_line("");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("is corrupt");
    sidecar.wait_for("was mounted by an earlier run");
    assert_ne!(mount_line(&disk.mount_point()), None);
    sidecar.terminate().is(3, &["is unmounted"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
    before.check();
}

/// The corruption is the error, and is told once.
pub(super) fn a_corrupt_disk_that_somebody_else_unmounts() {
    let disk = TestDisk::new();
    let mut sidecar = Sidecar::ready(&disk);
    disk.flip(in_the_largest_file(&disk));
    drop_caches();
    read(&disk).unwrap_err();
    sidecar.wait_for("stays mounted until");
    mounter(&disk.line("unmount")).is(0, &[]);
    let outcome = sidecar.end();
    outcome.is(3, &["warning", "not mounted any more"]);
    assert_eq!(
        outcome.stderr.matches("is corrupt").count(),
        1,
        "{outcome:?}"
    );
}
