//! How a pod starts, and what comes of one that cannot.

use std::{fs, process::Command};

use serde_json::json;

use crate::{
    Test,
    disk::LoopDisk,
    manifest::PodManifest,
    pod::{MOUNTER, StaticPod, WORKLOAD, mappings},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_workload_reads", a_workload_reads),
    ("the_form_of_privatemode", the_form_of_privatemode),
    ("two_pods_with_one_disk", two_pods_with_one_disk),
    ("a_wrong_root_hash", a_wrong_root_hash),
    ("a_disk_that_comes_late", a_disk_that_comes_late),
];

fn a_workload_reads() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("reads", &PodManifest::workload(&disk), &disk.sum);
    pod.wait_until_ready(true);
    // From the first moment on: it has waited for the disk.
    assert_eq!(
        pod.reads(),
        [format!("{}  /mnt/model/disk/weights", disk.sum)]
    );
    pod.end();
}

fn the_form_of_privatemode() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("privatemode", &PodManifest::privatemode(&disk), &disk.sum);
    pod.wait_until_ready(true);
    pod.end();
}

fn two_pods_with_one_disk() {
    let disk = LoopDisk::new(1);
    let manifest = PodManifest::workload(&disk);
    let first = StaticPod::that_reads("first", &manifest, &disk.sum);
    let second = StaticPod::that_reads("second", &manifest, &disk.sum);
    assert_eq!(mappings().len(), 1);
    // The other is not disturbed.
    second.delete();
    second.wait_until_gone();
    first.assert_undisturbed();
    first.wait_until_ready(true);
    first.end();
}

fn a_wrong_root_hash() {
    let (disk, other) = (LoopDisk::new(1), LoopDisk::new(2));
    let mut manifest = PodManifest::workload(&disk);
    let arguments = &mut manifest.container(MOUNTER)["args"];
    arguments[2] = json!(other.root_hash);
    let pod = StaticPod::start("wrong", &manifest);
    let ended = pod.wait_for(MOUNTER, "the sidecar has ended", |container| {
        container["lastState"]["terminated"].is_object()
    });
    let terminated = &ended["lastState"]["terminated"];
    assert_eq!(terminated["exitCode"], 3, "{ended:#}");
    let message = terminated["message"].as_str().unwrap();
    assert!(message.contains("root hash does not match"), "{ended:#}");
    // The workload has never been started.
    let waiting = pod.container(WORKLOAD);
    assert_eq!(
        waiting["state"]["waiting"]["reason"], "PodInitializing",
        "{waiting:#}"
    );
    pod.wait_until_ready(false);
    pod.end();
}

/// A device of the node that is not there yet: the kubelet waits for it.
fn a_disk_that_comes_late() {
    let disk = LoopDisk::new(1);
    let late = "/dev/late";
    let mut manifest = PodManifest::workload(&disk);
    for volume in manifest.spec()["volumes"].as_array_mut().unwrap() {
        if volume["name"] == "model-disk" {
            volume["hostPath"]["path"] = json!(late);
        }
    }
    let pod = StaticPod::start("late", &manifest);
    pod.wait_for_kubelet("hostPath type check failed: /dev/late is not a block device");
    let made = Command::new("cp").args(["-a", &disk.device, late]).status();
    assert!(made.unwrap().success());
    pod.wait_for_log(WORKLOAD, &disk.sum);
    pod.end();
    fs::remove_file(late).unwrap();
}
