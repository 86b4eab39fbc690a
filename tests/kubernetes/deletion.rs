//! Pods that are deleted while they start, fail, or start again: nothing of them stays on the node, at
//! whatever moment that is.

use std::{thread, time::Duration};

use nix::sys::signal::Signal::SIGKILL;

use crate::{
    Test,
    disk::LoopDisk,
    machine::{mappings_of, mounts_below},
    manifest::PodManifest,
    pod::{MOUNTER, StaticPod},
    run::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("at_any_second", at_any_second),
    ("before_its_disk_is_there", before_its_disk_is_there),
    ("before_its_containers", before_its_containers),
    ("when_its_folder_is_bound", when_its_folder_is_bound),
    ("while_the_sidecar_waits", while_the_sidecar_waits),
    (
        "as_soon_as_there_is_a_mapping",
        as_soon_as_there_is_a_mapping,
    ),
    ("as_soon_as_it_is_mounted", as_soon_as_it_is_mounted),
    ("as_soon_as_it_is_ready", as_soon_as_it_is_ready),
    ("while_it_is_not_ready", while_it_is_not_ready),
    (
        "in_the_back_off_of_its_sidecar",
        in_the_back_off_of_its_sidecar,
    ),
    (
        "before_its_sidecar_is_there_again",
        before_its_sidecar_is_there_again,
    ),
    ("while_its_sidecar_is_killed", while_its_sidecar_is_killed),
];

/// Whatever is going on just then.
fn at_any_second() {
    let disk = LoopDisk::new(1);
    let manifest = PodManifest::workload(&disk);
    for seconds in (0..16).step_by(5) {
        let pod = StaticPod::start(&format!("moment-{seconds}"), &manifest);
        thread::sleep(Duration::from_secs(seconds));
        pod.end();
    }
}

fn before_its_disk_is_there() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.set_device("/dev/never");
    let pod = StaticPod::start("no-disk", &manifest);
    pod.wait_for_description(&[("Events", &["/dev/never is not a block device"])]);
    pod.end();
}

fn before_its_containers() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::start("folder", &PodManifest::workload(&disk));
    until("there is its folder", || {
        pod.folder().exists().then_some(())
    });
    pod.end();
}

/// For the container that has nothing to do but that.
fn when_its_folder_is_bound() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::start("bound", &PodManifest::workload(&disk));
    let bound = pod.folder().join("volume-subpaths");
    until("its folder is bound", || {
        (!mounts_below(&bound).is_empty()).then_some(())
    });
    pod.end();
}

/// For a device, until it is there.
fn while_the_sidecar_waits() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.let_it_wait(600);
    let pod = StaticPod::start("waits", &manifest);
    pod.wait_for(MOUNTER, "the sidecar runs", |container| {
        container["state"]["running"].is_object()
    });
    pod.wait_for_description(&[(MOUNTER, &["State: Running", "Ready: False"])]);
    pod.end();
}

fn as_soon_as_there_is_a_mapping() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::start("mapping", &PodManifest::workload(&disk));
    until("there is a mapping", || {
        (!mappings_of(&disk.device).is_empty()).then_some(())
    });
    pod.end();
}

fn as_soon_as_it_is_mounted() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::start("mounted", &PodManifest::workload(&disk));
    until("there is a mount", || {
        (!mounts_below(&pod.disk()).is_empty()).then_some(())
    });
    pod.end();
}

fn as_soon_as_it_is_ready() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::start("ready", &PodManifest::workload(&disk));
    pod.wait_until_ready(true);
    pod.end();
}

fn while_it_is_not_ready() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.set_periods(5, 60);
    let pod = StaticPod::that_reads("not-ready", &manifest, &disk.sum);
    pod.wait_until_ready(true);
    disk.flip();
    pod.wait_until_ready(false);
    pod.end();
}

fn in_the_back_off_of_its_sidecar() {
    let (disk, other) = (LoopDisk::new(1), LoopDisk::new(2));
    let mut manifest = PodManifest::workload(&disk);
    manifest.set_root_hash(&other.root_hash);
    let pod = StaticPod::start("back-off", &manifest);
    pod.wait_for(MOUNTER, "the sidecar is backed off", |container| {
        container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    pod.end();
}

/// Nobody is there to unmount, but for the kubelet.
fn before_its_sidecar_is_there_again() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("orphan", &PodManifest::workload(&disk), &disk.sum);
    pod.kill(SIGKILL);
    pod.delete();
    pod.end();
}

/// In the middle of its end.
fn while_its_sidecar_is_killed() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("killed-too", &PodManifest::workload(&disk), &disk.sum);
    pod.delete();
    pod.kill(SIGKILL);
    pod.end();
}
