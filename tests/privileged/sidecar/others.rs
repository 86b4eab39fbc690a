//! Others who use the disk, mount it too or unmount it.

use std::{fs, io::Read};

use nix::sys::signal::Signal;

use crate::{
    disk::{TestDisk, files},
    machine::{drop_caches, mount_line},
    run::{Outcome, check, mounter},
};

use super::{Sidecar, until};

/// Asked once more, it does not wait for those who use the disk.
fn asked_twice(sidecar: Sidecar) -> Outcome {
    sidecar.signal(Signal::SIGTERM);
    until("it has taken the first signal", || {
        u64::from_str_radix(&sidecar.status_field("ShdPnd"), 16).unwrap() == 0
    });
    sidecar.terminate()
}

pub(super) fn a_mount_in_use_is_detached() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    let mut open = fs::File::open(disk.mount_point().join("README.md")).unwrap();
    asked_twice(sidecar).is(0, &["in use and is detached"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
    let mut text = Vec::new();
    open.read_to_end(&mut text).unwrap();
    assert_eq!(text, fs::read(disk.path("model/README.md")).unwrap());
}

/// It is somebody else's, and would go with the disk.
pub(super) fn a_mount_in_the_disk_stays() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    let inner = disk.mount_point().join("1_Pooling");
    check("mount", ["-t", "tmpfs", "theirs", inner.to_str().unwrap()]);
    mounter(&disk.line("unmount")).is(5, &["in use by a mount in it, at", "1_Pooling"]);
    asked_twice(sidecar).is(5, &["in use by a mount in it"]);
    assert_ne!(mount_line(&inner), None);
    check("umount", [&inner]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

pub(super) fn notices_that_somebody_else_unmounted() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    check("umount", [disk.mount_point()]);
    sidecar.end().is(4, &["not mounted any more"]);
}

/// Also where the new mapping has the name and the device number of the old one.
pub(super) fn leaves_a_mount_that_came_after_its_own() {
    let disk = TestDisk::new();
    let other = TestDisk::with(&["--salt", "00"]);
    for options in ["", "--name model"] {
        let line = disk.sidecar_line(options);
        let mut sidecar = Sidecar::start("disk-mounter", &line);
        sidecar.wait_for("ready");
        // It sees nothing of what is between its mount and the other.
        sidecar.signal(Signal::SIGSTOP);
        mounter(&disk.line("unmount")).is(0, &[]);
        let (theirs, ours) = (other.mount_point(), disk.mount_point());
        let line = other.mount_line(options);
        let line = line.replace(theirs.to_str().unwrap(), ours.to_str().unwrap());
        mounter(&line).is(0, &["is mounted at"]);
        sidecar.signal(Signal::SIGCONT);
        let outcome = sidecar.end();
        outcome.is(4, &["not mounted any more"]);
        assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
        mounter(&disk.line("status")).is(0, &["verified", &other.root_hash]);
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

pub(super) fn two_share_an_image() {
    let disk = TestDisk::new();
    let first = Sidecar::ready(&disk);
    let other = disk.path("other");
    let line = format!(
        "sidecar --root-hash {} {} {}",
        disk.root_hash,
        disk.image.display(),
        other.display()
    );
    let mut second = Sidecar::start("disk-mounter", &line);
    second.wait_for("in a mapping that was there");
    second.wait_for("ready");
    first.terminate().is(0, &["in use by another mount"]);
    drop_caches();
    assert_eq!(files(&other), disk.files);
    second.terminate().is(0, &["is unmounted"]);
}

pub(super) fn two_share_a_mount() {
    let disk = TestDisk::new();
    let first = Sidecar::ready(&disk);
    let mut second = Sidecar::start("disk-mounter", &disk.sidecar_line(""));
    second.wait_for("mounted at");
    second.wait_for("ready");
    first.terminate().is(0, &["is unmounted"]);
    second.end().is(4, &["not mounted any more"]);
}
