//! What happens where the sidecar ends, and where a pod does.

use std::fs::File;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    Test,
    disk::LoopDisk,
    manifest::{LOOKER, PodManifest},
    pod::{MOUNTER, StaticPod, WORKLOAD},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_killed_sidecar", a_killed_sidecar),
    (
        "a_sidecar_that_is_asked_to_end",
        a_sidecar_that_is_asked_to_end,
    ),
    ("a_sidecar_that_unmounts", a_sidecar_that_unmounts),
    ("a_sandbox_that_is_killed", a_sandbox_that_is_killed),
    ("a_mount_in_use_on_the_node", a_mount_in_use_on_the_node),
];

/// Waits until the sidecar was started again, this many times in all, and is ready.
pub(crate) fn wait_for_restart(pod: &StaticPod, times: u64) {
    pod.wait_for(MOUNTER, "the sidecar is there again", |container| {
        container["restartCount"] == times && container["ready"] == true
    });
}

/// The mount survives, and the next sidecar finds it.
fn a_killed_sidecar() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("killed", &PodManifest::workload(&disk), &disk.sum);
    pod.kill(SIGKILL);
    wait_for_restart(&pod, 1);
    pod.wait_until_ready(true);
    pod.wait_for_log(MOUNTER, "is mounted at /mnt/model/disk already");
    pod.assert_undisturbed();
    pod.wait_for_description(&[(
        MOUNTER,
        &[
            "Last State: Terminated",
            "Exit Code: 137",
            "Restart Count: 1",
        ],
    )]);
    pod.end();
}

/// The workload goes on with the mount that it has, and never finds an empty folder.
fn a_sidecar_that_is_asked_to_end() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.set_script(LOOKER);
    let pod = StaticPod::that_reads("asked", &manifest, "looking");
    pod.wait_until_ready(true);
    pod.kill(SIGTERM);
    wait_for_restart(&pod, 1);
    pod.wait_until_ready(true);
    pod.wait_for_description(&[(
        MOUNTER,
        &[
            "Last State: Terminated",
            "Reason: Completed",
            "Exit Code: 0",
            "Restart Count: 1",
        ],
    )]);
    assert!(!pod.log(WORKLOAD).contains("missing"));
    pod.end();
}

/// A sidecar that unmounts when it is asked to end: the workload has no disk until the next is there.
fn a_sidecar_that_unmounts() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.set_script(LOOKER);
    let arguments = manifest.container(MOUNTER)["args"].as_array_mut().unwrap();
    arguments.retain(|argument| argument != "--leave-mounted");
    let pod = StaticPod::that_reads("unmounts", &manifest, "looking");
    pod.wait_until_ready(true);
    pod.kill(SIGTERM);
    pod.wait_for_log(WORKLOAD, "missing");
    wait_for_restart(&pod, 1);
    pod.wait_until_ready(true);
    pod.end();
}

/// All containers of the pod end with it, and all are started again, over the mount that has stayed.
fn a_sandbox_that_is_killed() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("sandbox", &PodManifest::workload(&disk), &disk.sum);
    pod.wait_until_ready(true);
    pod.kill_sandbox();
    pod.wait_for_description(&[("Events", &["SandboxChanged"])]);
    wait_for_restart(&pod, 1);
    pod.wait_for_log(MOUNTER, "is mounted at /mnt/model/disk already");
    pod.wait_until_ready(true);
    pod.end();
}

/// Such as a shell: the kubelet waits until it has gone.
fn a_mount_in_use_on_the_node() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("in-use", &PodManifest::workload(&disk), &disk.sum);
    let file = File::open(pod.disk().join("weights")).unwrap();
    pod.delete();
    pod.wait_for_kubelet("target is busy");
    drop(file);
    pod.end();
}
