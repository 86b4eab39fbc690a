//! What stands where a disk is to be mounted, and what keeps it from being unmounted.

use std::{
    fs::{self, File},
    io::Read as _,
};

use crate::{
    disk::TestDisk,
    run::{check, mounter},
};

use super::{all_have_ended, mounted, servers, unmount};

pub(super) fn nothing_is_mounted_of_another_disk() {
    let mut disk = TestDisk::new();
    disk.root_hash = "00".repeat(32);
    mounter(&disk.mount_line("--fuse")).is(3, &["the root hash does not match"]);
    assert!(!disk.mount_point().exists());
    let line = disk.sidecar_line("--fuse");
    mounter(&line).is(3, &["the root hash does not match"]);
    assert!(!disk.mount_point().exists());
    let missing = disk
        .mount_line("--fuse --wait 0")
        .replace("image", "no-image");
    mounter(&missing).is(4, &["no such device or file"]);
    // As with any mount: nothing is covered.
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    fs::write(disk.mount_point().join("file"), "").unwrap();
    mounter(&disk.mount_line("--fuse")).is(5, &["is not empty"]);
    assert_eq!(servers(), []);
}

pub(super) fn what_is_mounted_there_already() {
    let disk = TestDisk::new();
    mounted(&disk);
    mounter(&disk.mount_line("--fuse")).is(0, &["is mounted at", "already"]);
    assert_eq!(servers().len(), 1);
    let line = disk.sidecar_line("--fuse");
    mounter(&line).is(5, &["served by another process"]);
    // No kind of mount becomes the other.
    mounter(&disk.mount_line("")).is(5, &["without dm-verity"]);
    let other = TestDisk::of(|model| fs::write(model.join("another"), "file").unwrap());
    let place = disk.mount_point();
    let line = format!(
        "mount --fuse --root-hash {} {} {}",
        other.root_hash,
        other.image.display(),
        place.display()
    );
    mounter(&line).is(5, &["the disk with the root hash", &disk.root_hash]);
    unmount(&disk);
    all_have_ended();
    mounter(&disk.mount_line("")).is(0, &[]);
    mounter(&disk.mount_line("--fuse")).is(5, &["a filesystem of type erofs"]);
    unmount(&disk);
    check("mount", ["-t", "tmpfs", "none", place.to_str().unwrap()]);
    mounter(&disk.mount_line("--fuse")).is(5, &["a filesystem of type tmpfs"]);
    check("umount", [&place]);
}

pub(super) fn a_disk_in_use() {
    let disk = TestDisk::new();
    mounted(&disk);
    let mut open = File::open(disk.mount_point().join("config.json")).unwrap();
    mounter(&disk.line("unmount")).is(5, &["in use by process"]);
    let mut text = Vec::new();
    open.read_to_end(&mut text).unwrap();
    assert_eq!(text.len(), 612);
    drop(open);
    let inner = disk.mount_point().join("1_Pooling");
    check("mount", ["-t", "tmpfs", "none", inner.to_str().unwrap()]);
    mounter(&disk.line("unmount")).is(5, &["a mount in it"]);
    check("umount", [&inner]);
    unmount(&disk);
    all_have_ended();
}
