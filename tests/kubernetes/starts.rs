//! How a pod starts, and what comes of one that cannot.

use std::{fs, process::Command};

use crate::{
    Test,
    disk::LoopDisk,
    machine::mappings_of,
    manifest::PodManifest,
    pod::{MOUNTER, StaticPod, WORKLOAD},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_workload_reads", a_workload_reads),
    ("the_form_of_privatemode", the_form_of_privatemode),
    (
        "an_init_container_that_mounts",
        an_init_container_that_mounts,
    ),
    ("two_pods_with_one_disk", two_pods_with_one_disk),
    ("a_wrong_root_hash", a_wrong_root_hash),
    ("a_disk_that_comes_late", a_disk_that_comes_late),
    ("a_disk_that_does_not_come", a_disk_that_does_not_come),
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
    pod.wait_for_description(&[
        (
            MOUNTER,
            &["State: Running", "Ready: True", "Restart Count: 0"],
        ),
        ("Conditions", &["Ready True", "ContainersReady True"]),
    ]);
    pod.end();
}

fn the_form_of_privatemode() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("privatemode", &PodManifest::privatemode(&disk), &disk.sum);
    pod.wait_until_ready(true);
    pod.wait_for_description(&[(MOUNTER, &["State: Running", "Ready: True"])]);
    pod.end();
}

/// It has ended before the workload starts; the kubelet unmounts here too.
fn an_init_container_that_mounts() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("init", &PodManifest::init_container(&disk), &disk.sum);
    pod.wait_until_ready(true);
    pod.wait_for_description(&[(
        MOUNTER,
        &["State: Terminated", "Reason: Completed", "Exit Code: 0"],
    )]);
    pod.end();
}

fn two_pods_with_one_disk() {
    let disk = LoopDisk::new(1);
    let manifest = PodManifest::workload(&disk);
    let first = StaticPod::start("first", &manifest);
    let second = StaticPod::that_reads("second", &manifest, &disk.sum);
    first.wait_for_log(WORKLOAD, &disk.sum);
    assert_eq!(mappings_of(&disk.device).len(), 1);
    for pod in [&first, &second] {
        pod.wait_for_description(&[(MOUNTER, &["State: Running", "Ready: True"])]);
    }
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
    manifest.set_root_hash(&other.root_hash);
    let pod = StaticPod::start("wrong", &manifest);
    pod.wait_for_description(&[(
        MOUNTER,
        &[
            "Reason: CrashLoopBackOff",
            "Exit Code: 3",
            "Message:",
            "the root hash does not match",
            "Ready: False",
        ],
    )]);
    // The workload has never been started.
    pod.wait_for_description(&[(
        WORKLOAD,
        &[
            "State: Waiting",
            "Reason: PodInitializing",
            "Restart Count: 0",
        ],
    )]);
    pod.wait_until_ready(false);
    assert_eq!(pod.log(WORKLOAD), "");
    pod.end();
}

/// A device of the node that is not there yet: the kubelet waits for it.
fn a_disk_that_comes_late() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.set_device("/dev/late");
    let pod = StaticPod::start("late", &manifest);
    pod.wait_for_description(&[
        (
            "Events",
            &[
                "Warning FailedMount",
                "hostPath type check failed: /dev/late is not a block device",
            ],
        ),
        (MOUNTER, &["State: Waiting", "Reason: PodInitializing"]),
    ]);
    let made = Command::new("cp")
        .args(["-a", &disk.device, "/dev/late"])
        .status();
    assert!(made.unwrap().success());
    pod.wait_for_log(WORKLOAD, &disk.sum);
    pod.end();
    fs::remove_file("/dev/late").unwrap();
}

/// A device that the runtime does not hand over: the sidecar waits for it, and then says so.
fn a_disk_that_does_not_come() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.let_it_wait(2);
    let pod = StaticPod::start("absent", &manifest);
    pod.wait_for_description(&[(
        MOUNTER,
        &[
            "Exit Code: 4",
            "/dev/absent: no such device or file: timed out after 2 s while waiting for it",
        ],
    )]);
    pod.wait_until_ready(false);
    pod.end();
}
