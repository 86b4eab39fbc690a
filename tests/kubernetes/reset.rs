//! A node that is reset while a pod runs: two boots of one machine.

use std::{fs, process::ExitCode, thread, time::Duration};

use crate::{
    disk::LoopDisk,
    machine::mappings_of,
    manifest::PodManifest,
    node::KubernetesNode,
    pod::{MOUNTER, StaticPod},
    run::check,
};

const POD: &str = "reset";
/// The disk's file, on what outlives the reset, and the device that shows it: a machine's first.
const IMAGE: &str = "/var/lib/reset.img";
const DEVICE: &str = "/dev/loop0";

/// The first boot: resets the machine when the workload reads.
pub(crate) fn reset() {
    let disk = LoopDisk::new(1);
    assert_eq!(disk.device, DEVICE);
    fs::copy(disk.image(), IMAGE).unwrap();
    let _pod = StaticPod::that_reads(POD, &PodManifest::workload(&disk), &disk.sum);
    nix::unistd::sync();
    fs::write("/proc/sysrq-trigger", "b").unwrap();
    thread::sleep(Duration::from_secs(60));
    panic!("the machine is still there");
}

/// The second boot: the pod is started again, and leaves nothing behind when it goes.
pub(crate) fn after() -> ExitCode {
    check(&format!("losetup {DEVICE} {IMAGE}"));
    KubernetesNode::start();
    let pod = StaticPod::find(POD, DEVICE);
    pod.wait_until_ready(true);
    assert_eq!(mappings_of(DEVICE).len(), 1);
    pod.wait_for_description(&[
        (MOUNTER, &["State: Running", "Ready: True"]),
        ("Events", &["SandboxChanged"]),
    ]);
    pod.end();
    println!("the node was reset: 1 passed, 0 failed");
    ExitCode::SUCCESS
}
