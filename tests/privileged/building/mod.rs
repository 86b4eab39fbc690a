//! `disk-builder` on disks that are full or fail, killed at each of its steps, and many of it at a
//! time. Expected is exit code 1 with the path and the reason, and nothing left of the output.

mod devices;
mod faults;
mod runs;
mod strangers;

use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    Test,
    disk::{Loop, TestDisk, in_the_largest_file, names},
    run::{Outcome, check, run, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_disk_that_gets_full", faults::a_disk_that_gets_full),
    (
        "a_source_that_cannot_be_read",
        faults::a_source_that_cannot_be_read,
    ),
    (
        "a_device_that_cannot_be_written",
        faults::a_device_that_cannot_be_written,
    ),
    (
        "an_output_disk_that_fails",
        faults::an_output_disk_that_fails,
    ),
    ("killed_at_every_call", runs::killed_at_every_call),
    ("many_at_one_output", runs::many_at_one_output),
    (
        "a_tree_over_its_own_data_is_refused",
        devices::a_tree_over_its_own_data_is_refused,
    ),
    (
        "what_is_on_a_device_stays_unless_forced",
        devices::what_is_on_a_device_stays_unless_forced,
    ),
    ("killed_onto_a_device", runs::killed_onto_a_device),
    (
        "a_tree_in_its_data_overwrites_nothing",
        devices::a_tree_in_its_data_overwrites_nothing,
    ),
    (
        "a_device_by_a_link_that_is_roots",
        strangers::a_device_by_a_link_that_is_roots,
    ),
    (
        "a_link_that_a_stranger_made",
        strangers::a_link_that_a_stranger_made,
    ),
    (
        "a_lock_that_a_stranger_has",
        strangers::a_lock_that_a_stranger_has,
    ),
];

/// A file with a filesystem of so many MiB.
fn filesystem(disk: &TestDisk, kind: &str, mib: u64) -> PathBuf {
    let image = disk.path("filesystem");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let options = ["-q", "-b", "4096", "-t", kind];
    check("mke2fs", options.iter().chain([&image.to_str().unwrap()]));
    image
}

/// Mounts a filesystem, `rw` or `ro`, for the time of `work`.
fn mounted<R>(disk: &TestDisk, device: &Path, how: &str, work: impl FnOnce(&Path) -> R) -> R {
    let at = disk.path("at");
    fs::create_dir_all(&at).unwrap();
    check("mount", [Path::new("-o"), Path::new(how), device, &at]);
    let result = work(&at);
    check("umount", [&at]);
    result
}

fn build(model: &Path, output: &Path) -> Outcome {
    let (model, output) = (model.to_str().unwrap(), output.to_str().unwrap());
    run("disk-builder", ["build", model, "--output", output])
}

/// Where a block of the model's largest file lies in this image of a filesystem.
fn block_of_the_largest_file(disk: &TestDisk, image: &Path) -> Range<u64> {
    let mut block = [0; 4096];
    let at = in_the_largest_file(disk) / 4096 * 4096;
    File::open(&disk.image)
        .unwrap()
        .read_exact_at(&mut block, at)
        .unwrap();
    let bytes = fs::read(image).unwrap();
    let found = bytes.chunks(4096).position(|chunk| chunk == block);
    let start = found.unwrap() as u64 * 4096;
    start..start + 4096
}

/// A sparse file of so many MiB, as a block device.
fn empty_device(disk: &TestDisk, mib: u64) -> Loop {
    let image = disk.path("device");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    Loop::new(&image)
}

fn force(model: &Path, output: &Path) -> Outcome {
    let words = ["build", "--force", text(model), "--output", text(output)];
    run("disk-builder", words)
}
