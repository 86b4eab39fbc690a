//! A node that is reset while a pod runs: two boots of one machine.

use std::{fs, process::ExitCode, thread, time::Duration};

use crate::{
    disk::LoopDisk,
    manifest::PodManifest,
    node::KubernetesNode,
    pod::{StaticPod, mappings},
    run::check,
};

const POD: &str = "reset";
/// The disk's file, on what outlives the reset, and the device that shows it: a machine's first.
const IMAGE: &str = "/var/lib/reset.img";
const DEVICE: &str = "/dev/loop0";

/// The first boot: resets the machine when the workload reads.
pub(crate) fn before() -> ExitCode {
    let disk = LoopDisk::new(1);
    assert_eq!(disk.device, DEVICE);
    fs::copy(disk.image(), IMAGE).unwrap();
    KubernetesNode::start();
    let _pod = StaticPod::that_reads(POD, &PodManifest::workload(&disk), &disk.sum);
    nix::unistd::sync();
    fs::write("/proc/sysrq-trigger", "b").unwrap();
    thread::sleep(Duration::from_secs(60));
    ExitCode::FAILURE
}

/// The second boot: the pod is started again, and leaves nothing behind when it goes.
pub(crate) fn after() -> ExitCode {
    check(&format!("losetup {DEVICE} {IMAGE}"));
    KubernetesNode::start();
    let pod = StaticPod::find(POD);
    pod.wait_until_ready(true);
    assert_eq!(mappings().len(), 1);
    pod.end();
    println!("the node was reset: 1 passed, 0 failed");
    ExitCode::SUCCESS
}
