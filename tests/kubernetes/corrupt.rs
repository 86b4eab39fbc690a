//! A disk that fails under a pod.

use serde_json::json;

use crate::{
    Test,
    cluster::ReadinessWatch,
    disk::LoopDisk,
    manifest::{LOOKER, PodManifest},
    pod::{MOUNTER, StaticPod, WORKLOAD},
    run::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[("a_corrupt_block", a_corrupt_block)];

/// The pod is not ready from then on, whatever becomes of its sidecar, until it is replaced.
fn a_corrupt_block() {
    let disk = LoopDisk::new(1);
    let mut manifest = PodManifest::workload(&disk);
    // Sooner than for a user, so that several sidecars come and go.
    manifest.set_periods(5, 4);
    manifest.container(MOUNTER)["startupProbe"]["failureThreshold"] = json!(8);
    // It reads again and again, and all that is not corrupt is there all the time.
    let reads = "while :; do sha256sum /mnt/model/disk/weights; sleep 1; done &";
    manifest.set_script(&format!("{reads}{LOOKER}"));
    let pod = StaticPod::that_reads("corrupt", &manifest, &disk.sum);
    pod.wait_until_ready(true);
    let watch = ReadinessWatch::start(&pod.name());
    until("the API server knows that it is ready", || {
        (watch.seen() == ["True"]).then_some(())
    });
    disk.flip();
    pod.wait_for_log(MOUNTER, "it lies in weights");
    pod.wait_until_ready(false);
    pod.wait_for_description(&[
        ("Conditions", &["Ready False"]),
        (
            "Events",
            &["Warning Unhealthy", "Readiness probe failed:", "corrupt"],
        ),
    ]);
    pod.wait_for(MOUNTER, "the sidecar is started again", |container| {
        container["restartCount"] == 1
    });
    pod.wait_for_description(&[(
        MOUNTER,
        &[
            "Exit Code: 3",
            "Message:",
            "it lies in weights",
            "Restart Count: 1",
        ],
    )]);
    pod.wait_for(MOUNTER, "the next has ended too", |container| {
        container["restartCount"] == 3
    });
    pod.wait_for_description(&[(MOUNTER, &["Exit Code: 3", "is corrupt: dm-verity says so"])]);
    let seen = watch.seen();
    assert_eq!(seen, ["True", "False"]);
    let said = pod.log(WORKLOAD);
    assert!(
        said.contains("looking") && !said.contains("missing"),
        "{said}"
    );
    pod.end();
    // The next pod finds the disk as it is by then.
    disk.flip();
    let next = StaticPod::that_reads("mended", &manifest, &disk.sum);
    next.wait_until_ready(true);
    next.end();
}
