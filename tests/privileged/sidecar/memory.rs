//! What is done about memory: the prefetch, and the kernel's reserve. Of `mount` too.

use std::{fs, path::Path};

use super::{Sidecar, control_group::ControlGroup, until};
use crate::{
    disk::TestDisk,
    fault_device::FaultDevice,
    faults::places,
    hangs::hangs,
    run::{check, mounter},
};

/// How many bytes of a file are in the page cache.
fn cached(file: &Path) -> u64 {
    let printed = check(
        "fincore",
        [
            "--bytes",
            "--noheadings",
            "--output",
            "RES",
            file.to_str().unwrap(),
        ],
    );
    printed.trim().parse().unwrap()
}

pub(super) fn prefetch_caches_all_files() {
    let disk = TestDisk::new();
    let weights = disk.mount_point().join("model.safetensors");
    mounter(&disk.mount_line("")).is(0, &[]);
    assert!(cached(&weights) < 1 << 20, "it was read already");
    mounter(&disk.line("unmount")).is(0, &[]);

    mounter(&disk.mount_line("--prefetch")).is(0, &["prefetch: done"]);
    assert_eq!(cached(&weights), 3 << 20);
    mounter(&disk.line("unmount")).is(0, &[]);

    let line = disk.sidecar_line("--prefetch");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("prefetch: done");
    assert_eq!(cached(&weights), 3 << 20);
    sidecar.terminate().is(0, &["is unmounted"]);
}

pub(super) fn prefetch_leaves_memory_to_others() {
    let disk = TestDisk::new();
    let group = ControlGroup::new("memory", 3_000_000);
    Sidecar::spawn(&mut group.mounter(&disk.mount_line("--prefetch")))
        .end()
        .is(0, &["bytes of memory are available"]);
    assert!(cached(&disk.mount_point().join("model.safetensors")) < 3 << 20);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// The second would take what the first has raised for what was there.
pub(super) fn two_runs_raise_the_reserve() {
    const PATH: &str = "/proc/sys/vm/min_free_kbytes";
    let before = fs::read_to_string(PATH).unwrap();
    let more = before.trim().parse::<u64>().unwrap() + 1000;
    let options = format!("--min-free-kbytes {more}");
    let (mut disk, other) = (TestDisk::new(), TestDisk::new());
    let [.., last] = places(&disk);
    // The first one fails in the end, and the second one does not.
    disk.flip(last.start);
    let device = FaultDevice::below(&mut disk);
    device.hang_in(last);
    let line = disk.mount_line(&format!("--wait 600 {options}"));
    let first = Sidecar::start("disk-mounter", &line);
    until("it waits for the disk", || hangs(first.pid()));
    assert_eq!(fs::read_to_string(PATH).unwrap().trim(), more.to_string());
    let holder = format!("another disk-mounter (process {})", first.pid());
    mounter(&other.mount_line(&format!("--wait 0 {options}"))).is(5, &[&holder]);
    let second = Sidecar::start("disk-mounter", &other.mount_line(&options));
    device.answer();
    first.end().is(3, &[]);
    second.end().is(0, &[]);
    assert_eq!(fs::read_to_string(PATH).unwrap().trim(), more.to_string());
    mounter(&other.line("unmount")).is(0, &[]);
    fs::write(PATH, before).unwrap();
}

pub(super) fn the_reserve_of_memory_is_raised() {
    const PATH: &str = "/proc/sys/vm/min_free_kbytes";
    let disk = TestDisk::new();
    let before = fs::read_to_string(PATH).unwrap();
    let more = before.trim().parse::<u64>().unwrap() + 1000;
    let line = disk.mount_line(&format!("--min-free-kbytes {more}"));
    mounter(&line.replace("--root-hash", "--data-blocks 7 --root-hash")).is(3, &[]);
    mounter(&format!("{line} --name ..")).is(2, &[]);
    assert_eq!(
        fs::read_to_string(PATH).unwrap(),
        before,
        "raised and not put back"
    );
    mounter(&line).is(0, &[]);
    assert_eq!(fs::read_to_string(PATH).unwrap().trim(), more.to_string());
    // What is there already is not lowered.
    mounter(&disk.line("unmount")).is(0, &[]);
    mounter(&disk.mount_line("--min-free-kbytes 1")).is(0, &[]);
    assert_eq!(fs::read_to_string(PATH).unwrap().trim(), more.to_string());
    mounter(&disk.line("unmount")).is(0, &[]);
    fs::write(PATH, before).unwrap();
}
