//! What happens where a part of the node or the pod ends.

use std::{fs::File, thread, time::Duration};

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::{
    Test,
    disk::LoopDisk,
    manifest::PodManifest,
    node::KubernetesNode,
    pod::{MOUNTER, StaticPod},
    run::{check, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_killed_sidecar", a_killed_sidecar),
    (
        "a_killed_sidecar_whose_pod_goes",
        a_killed_sidecar_whose_pod_goes,
    ),
    (
        "a_sidecar_that_is_asked_to_end",
        a_sidecar_that_is_asked_to_end,
    ),
    (
        "without_what_unmounts_at_the_end",
        without_what_unmounts_at_the_end,
    ),
    ("a_sidecar_that_unmounts", a_sidecar_that_unmounts),
    (
        "an_init_container_that_mounts",
        an_init_container_that_mounts,
    ),
    ("a_mount_in_use_on_the_node", a_mount_in_use_on_the_node),
    ("kubelet_and_containerd", kubelet_and_containerd),
    ("deleted_at_any_moment", deleted_at_any_moment),
];

/// Waits until the sidecar was started again, this many times in all, and is ready.
fn wait_for_restart(pod: &StaticPod, times: u64) {
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
    pod.assert_undisturbed();
    pod.end();
}

/// Nobody is there to unmount, but for the kubelet.
fn a_killed_sidecar_whose_pod_goes() {
    let disk = LoopDisk::new(1);
    let manifest = PodManifest::workload(&disk);
    let pod = StaticPod::that_reads("orphan", &manifest, &disk.sum);
    pod.delete();
    pod.kill(SIGKILL);
    pod.end();
    // A kubelet that has just been started, and knows the pod from its folder alone.
    let pod = StaticPod::that_reads("forgotten", &manifest, &disk.sum);
    KubernetesNode::without_kubelet(|| {
        pod.kill(SIGKILL);
        pod.delete();
    });
    pod.end();
}

/// What that would be without its init container: why it is there.
fn without_what_unmounts_at_the_end() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    manifest.remove("unmount-at-end");
    let pod = StaticPod::that_reads("stuck", &manifest, &disk.sum);
    KubernetesNode::without_kubelet(|| {
        pod.kill(SIGKILL);
        pod.delete();
    });
    pod.wait_for_kubelet("read-only file system");
    // Somebody on the node does what docs/troubleshooting.md says.
    check(&format!("umount {}", pod.disk().to_str().unwrap()));
    pod.end();
}

/// The workload goes on with the mount that it has.
fn a_sidecar_that_is_asked_to_end() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("asked", &PodManifest::workload(&disk), &disk.sum);
    pod.kill(SIGTERM);
    wait_for_restart(&pod, 1);
    pod.wait_until_ready(true);
    pod.assert_undisturbed();
    let ended = pod.container(MOUNTER);
    assert_eq!(ended["lastState"]["terminated"]["exitCode"], 0, "{ended:#}");
    pod.end();
}

/// A sidecar that unmounts when it is asked to end: the workload has no disk until the next is there.
fn a_sidecar_that_unmounts() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    let arguments = manifest.container(MOUNTER)["args"].as_array_mut().unwrap();
    arguments.retain(|argument| argument != "--leave-mounted");
    let pod = StaticPod::that_reads("unmounts", &manifest, &disk.sum);
    pod.kill(SIGTERM);
    wait_for_restart(&pod, 1);
    pod.wait_until_ready(true);
    until("the workload reads again", || {
        pod.reads()
            .last()
            .unwrap()
            .starts_with(&disk.sum)
            .then_some(())
    });
    pod.end();
}

/// The kubelet unmounts here too.
fn an_init_container_that_mounts() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("init", &PodManifest::init_container(&disk), &disk.sum);
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

/// Whatever was going on just then.
fn deleted_at_any_moment() {
    let disk = LoopDisk::new(1);
    let manifest = PodManifest::workload(&disk);
    for seconds in (0..16).step_by(3) {
        let pod = StaticPod::start(&format!("moment-{seconds}"), &manifest);
        thread::sleep(Duration::from_secs(seconds));
        pod.end();
    }
}

fn kubelet_and_containerd() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("daemons", &PodManifest::workload(&disk), &disk.sum);
    KubernetesNode::without_kubelet(|| ());
    pod.wait_until_ready(true);
    KubernetesNode::without_containerd(|| ());
    pod.wait_until_ready(true);
    KubernetesNode::without_kubelet(|| pod.kill(SIGKILL));
    wait_for_restart(&pod, 1);
    pod.assert_undisturbed();
    pod.end();
}
