//! A disk that fails under a pod.

use crate::{
    Test,
    disk::LoopDisk,
    manifest::PodManifest,
    pod::{MOUNTER, StaticPod},
    run::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[("a_corrupt_block", a_corrupt_block)];

/// The pod gets no requests from then on; the sidecar is started again, and mounts what is well by then.
fn a_corrupt_block() {
    let disk = LoopDisk::new(1);
    let pod = StaticPod::that_reads("corrupt", &PodManifest::workload(&disk), &disk.sum);
    pod.wait_until_ready(true);
    disk.flip();
    pod.wait_for_log(MOUNTER, "it lies in weights");
    pod.wait_until_ready(false);
    disk.flip();
    pod.wait_for(MOUNTER, "the sidecar is started again", |container| {
        container["restartCount"] == 1
    });
    let ended = pod.container(MOUNTER);
    let terminated = &ended["lastState"]["terminated"];
    assert_eq!(terminated["exitCode"], 3, "{ended:#}");
    assert!(
        terminated["message"]
            .as_str()
            .unwrap()
            .contains("it lies in weights"),
        "{ended:#}"
    );
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
