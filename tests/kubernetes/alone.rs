//! Tests that disturb all pods of the node, and so run one at a time.

use std::fs;

use nix::sys::signal::Signal::SIGKILL;
use serde_json::json;

use crate::{
    Test,
    cluster::{kubectl, wait_for_description},
    disk::LoopDisk,
    endings::wait_for_restart,
    machine::mappings_of,
    manifest::PodManifest,
    node::KubernetesNode,
    pod::{MOUNTER, StaticPod},
    release::ClusterRelease,
    run::{check, until},
    unprivileged::{VARIANT, remove, replace, restricted},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("kubelet_and_containerd", kubelet_and_containerd),
    (
        "a_pod_that_the_kubelet_has_forgotten",
        a_pod_that_the_kubelet_has_forgotten,
    ),
    (
        "without_what_unmounts_at_the_end",
        without_what_unmounts_at_the_end,
    ),
    ("too_little_memory", too_little_memory),
    ("a_copy_that_takes_too_much", a_copy_that_takes_too_much),
    (
        "a_runtime_that_gives_devices_to_users",
        a_runtime_that_gives_devices_to_users,
    ),
];

fn kubelet_and_containerd() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("daemons", &PodManifest::workload(&disk), &disk.sum);
    KubernetesNode::without_kubelet(|| ());
    pod.wait_until_ready(true);
    KubernetesNode::without_containerd(|| ());
    pod.wait_until_ready(true);
    pod.wait_for_description(&[(
        MOUNTER,
        &["State: Running", "Ready: True", "Restart Count: 0"],
    )]);
    KubernetesNode::without_kubelet(|| pod.kill(SIGKILL));
    wait_for_restart(&pod, 1);
    pod.assert_undisturbed();
    pod.wait_for_description(&[(MOUNTER, &["Exit Code: 137", "Restart Count: 1"])]);
    pod.end();
}

/// A kubelet that has just been started, and knows the pod from its folder alone.
fn a_pod_that_the_kubelet_has_forgotten() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("forgotten", &PodManifest::workload(&disk), &disk.sum);
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

/// The kubelet kills all containers of the pod at once, and asks nobody.
fn too_little_memory() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("pressed", "privileged");
    release.apply("workload", "model-disk", &disk);
    release.wait_until_read(&disk);
    let pod = release.pod();
    // Without a look at filesystems it looks at no memory either.
    let options = "--eviction-hard memory.available<90% --local-storage-capacity-isolation=true";
    KubernetesNode::with_options(options, || {
        let status = "jsonpath={.status.reason}";
        until("the pod is evicted", || {
            let said = kubectl(&format!(
                "get pod {pod} --namespace pressed --output {status}"
            ));
            (said == "Evicted").then_some(())
        });
        let pod = format!("pod {pod} --namespace pressed");
        wait_for_description(
            &pod,
            &[(
                "Events",
                &["Warning Evicted", "The node was low on resource: memory"],
            )],
        );
        // The Deployment's next pod must not come meanwhile: it would be evicted as well.
        kubectl("scale deployment/inference-server --replicas 0 --namespace pressed");
        // The folder stays for as long as the API server has the pod.
        until("the kubelet has unmounted", || {
            mappings_of(&disk.device).is_empty().then_some(())
        });
    });
    release.end(&disk);
}

/// The kubelet looks what is in the volume, and evicts the pod.
fn a_copy_that_takes_too_much() {
    let disk = LoopDisk::new(1);
    let mut release = restricted("full");
    let change = replace("volumes/0/emptyDir/sizeLimit", &json!("512Ki"));
    release.changes.push(change);
    KubernetesNode::with_options("--local-storage-capacity-isolation=true", || {
        release.apply(VARIANT, "model-disk", &disk);
        wait_for_description(
            &format!("pod {} --namespace full", release.pod()),
            &[(
                "Events",
                &[
                    "Warning Evicted",
                    "Usage of EmptyDir volume \"model\" exceeds the limit",
                ],
            )],
        );
        kubectl("scale deployment/inference-server --replicas 0 --namespace full");
    });
    release.end(&disk);
}

/// The group is not needed then.
fn a_runtime_that_gives_devices_to_users() {
    let disk = LoopDisk::new(1);
    let mut release = restricted("owner");
    release.changes.push(remove("securityContext"));
    let path = "/etc/containerd/config.toml";
    let configuration = fs::read_to_string(path).unwrap();
    let table = "[plugins.'io.containerd.cri.v1.runtime']\n";
    let more = format!("{configuration}{table}device_ownership_from_security_context = true\n");
    KubernetesNode::without_containerd(|| fs::write(path, more).unwrap());
    release.apply(VARIANT, "model-disk", &disk);
    release.wait_until_read(&disk);
    release.end(&disk);
    KubernetesNode::without_containerd(|| fs::write(path, configuration).unwrap());
}
