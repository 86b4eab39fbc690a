//! Disks that are corrupt, fail or are cut short.

use std::fs::File;

use crate::{
    disk::{TestDisk, files, in_the_largest_file, on_the_way_to_the_last_block},
    fault_device::FaultDevice,
    machine::drop_caches,
    run::mounter,
    sidecar::Sidecar,
};

use super::{all_have_ended, is_io_error, mounted, read_last, status, unmount};

pub(super) fn a_corrupt_data_block() {
    let disk = TestDisk::new();
    mounted(&disk);
    assert_eq!(files(&disk.mount_point()), disk.files);
    // Under the mount.
    let place = in_the_largest_file(&disk);
    disk.flip(place);
    drop_caches();
    is_io_error(read_last(&disk));
    status(&disk).is(
        3,
        &["corrupt", "data block", "is not what the root hash says"],
    );
    // What was found stays known when the byte is right again, and what is well can be read.
    disk.flip(place);
    status(&disk).is(3, &["corrupt"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.mount_line("--fuse")).is(3, &["is corrupt"]);
    unmount(&disk);
    all_have_ended();
}

pub(super) fn a_corrupt_hash_block() {
    let disk = TestDisk::new();
    disk.flip(on_the_way_to_the_last_block(&disk));
    mounted(&disk);
    is_io_error(read_last(&disk));
    status(&disk).is(3, &["corrupt", "hash block"]);
    unmount(&disk);
    all_have_ended();
}

/// Nothing is wrong with the disk then.
pub(super) fn a_device_that_fails() {
    let mut disk = TestDisk::new();
    let at = in_the_largest_file(&disk) / 4096 * 4096;
    let device = FaultDevice::below(&mut disk);
    let line = disk.sidecar_line("--fuse");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    device.fail_in(at..at + 4096);
    drop_caches();
    is_io_error(read_last(&disk));
    sidecar.wait_for("reads of it fail");
    status(&disk).is(0, &["verified"]);
    device.recover();
    drop_caches();
    assert_eq!(files(&disk.mount_point()), disk.files);
    sidecar.terminate().is(0, &["is unmounted"]);
}

pub(super) fn a_disk_that_is_cut_short() {
    let disk = TestDisk::new();
    mounted(&disk);
    let at = in_the_largest_file(&disk);
    File::options()
        .write(true)
        .open(&disk.image)
        .unwrap()
        .set_len(at)
        .unwrap();
    drop_caches();
    is_io_error(read_last(&disk));
    status(&disk).is(3, &["corrupt"]);
    unmount(&disk);
    all_have_ended();
}
