//! `--leave-mounted`: a disk that stays where it is.

use nix::sys::signal::Signal;

use crate::{
    disk::{TestDisk, in_the_largest_file},
    machine::{drop_caches, mount_line},
    run::{check, mounter},
};

use super::{Sidecar, read, takes_signals};

/// For the next one, which finds it, well or corrupt.
pub(super) fn leaves_a_disk_where_it_is() {
    let disk = TestDisk::new();
    let offset = in_the_largest_file(&disk);
    let line = disk.sidecar_line("--leave-mounted");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    let mounted = mount_line(&disk.mount_point());
    sidecar
        .terminate()
        .is(0, &["stays mounted (--leave-mounted)"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    mounter(&disk.line("status")).is(0, &["verified"]);
    let mut next = Sidecar::start("disk-mounter", &line);
    next.wait_for("ready:");
    // In the last moment: it takes no step in between.
    next.signal(Signal::SIGSTOP);
    disk.flip(offset);
    drop_caches();
    read(&disk).unwrap_err();
    next.signal(Signal::SIGTERM);
    next.signal(Signal::SIGCONT);
    let words = ["it lies in model.safetensors", "stays mounted (--leave"];
    next.end().is(3, &words);
    // Also where it is well by then: nobody could tell.
    disk.flip(offset);
    let mut last = Sidecar::start("disk-mounter", &line);
    last.wait_for("was mounted by an earlier run");
    last.terminate()
        .is(3, &["is corrupt", "stays mounted (--leave"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// What has come to the place of its mount since it looked last.
pub(super) fn leaves_nothing_that_is_not_its_own() {
    let start = |disk: &TestDisk| {
        let line = disk.sidecar_line("--leave-mounted");
        let mut sidecar = Sidecar::start("disk-mounter", &line);
        sidecar.wait_for("ready:");
        sidecar.signal(Signal::SIGSTOP);
        sidecar
    };
    // It may have been stopped while it looked: then that look is the one that finds out, with 4.
    let end = |sidecar: Sidecar, code, words| {
        sidecar.signal(Signal::SIGTERM);
        sidecar.signal(Signal::SIGCONT);
        let outcome = sidecar.end();
        assert!(!outcome.stderr.contains("--leave-mounted"), "{outcome:?}");
        outcome.is(if outcome.code == 4 { 4 } else { code }, words);
    };
    // Another mount upon it: that is not touched, and is not taken for the disk.
    let disk = TestDisk::new();
    let sidecar = start(&disk);
    let at = disk.mount_point();
    check("mount", ["-t", "tmpfs", "theirs", at.to_str().unwrap()]);
    end(sidecar, 5, &["another mount covers the disk"]);
    check("umount", [&at]);
    mounter(&disk.line("unmount")).is(0, &[]);

    // Another disk in its place.
    let (disk, other) = (TestDisk::new(), TestDisk::with(&["--salt", "00"]));
    let sidecar = start(&disk);
    mounter(&disk.line("unmount")).is(0, &[]);
    let (theirs, ours) = (other.mount_point(), disk.mount_point());
    let line = other.mount_line("");
    mounter(&line.replace(theirs.to_str().unwrap(), ours.to_str().unwrap())).is(0, &[]);
    end(sidecar, 0, &[]);
    mounter(&disk.line("status")).is(0, &["verified", &other.root_hash]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// One that is asked to end before it has found the mount that an earlier one has left.
pub(super) fn leaves_a_mount_also_at_its_start() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("")).is(0, &[]);
    let mounted = mount_line(&disk.mount_point());
    let line = disk.sidecar_line("--wait 600 --leave-mounted");
    let absent = disk.path("absent");
    let line = line.replace(disk.image.to_str().unwrap(), absent.to_str().unwrap());
    let start = || {
        let sidecar = Sidecar::start("disk-mounter", &line);
        takes_signals(&sidecar);
        sidecar
    };
    start()
        .terminate()
        .is(0, &["stays mounted (--leave-mounted)"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    disk.flip(in_the_largest_file(&disk));
    drop_caches();
    read(&disk).unwrap_err();
    start()
        .terminate()
        .is(3, &["is corrupt", "stays mounted (--leave"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    mounter(&disk.line("unmount")).is(0, &[]);
}
