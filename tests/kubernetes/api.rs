//! From `kubectl apply -k` on: the manifests as they are, with a control plane.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::{
    Test,
    cluster::{described, kubectl, objects, wait_for_description},
    disk::{LoopDisk, loop_device},
    machine::{PODS, mappings_of, mounts_below},
    pod::MOUNTER,
    release::{ClusterRelease, volume},
    run::{check, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "each_kustomization_is_accepted",
        each_kustomization_is_accepted,
    ),
    (
        "a_deployment_and_the_next_model",
        a_deployment_and_the_next_model,
    ),
    ("the_other_kustomizations_run", the_other_kustomizations_run),
    ("a_volume_that_comes_late", a_volume_that_comes_late),
    (
        "a_deployment_with_a_wrong_root_hash",
        a_deployment_with_a_wrong_root_hash,
    ),
    ("a_job_makes_a_disk", a_job_makes_a_disk),
    ("an_eviction", an_eviction),
    ("a_forced_deletion", a_forced_deletion),
    ("levels_of_pod_security", levels_of_pod_security),
];

/// As they are, but for what a user has to change.
fn each_kustomization_is_accepted() {
    let mut accepted = 0;
    for entry in fs::read_dir("kubernetes").unwrap() {
        let path = entry.unwrap().path();
        let said = kubectl(&format!(
            "apply --dry-run=server -k {}",
            path.to_str().unwrap()
        ));
        assert!(said.contains("created (server dry run)"), "{said}");
        accepted += 1;
    }
    assert_eq!(accepted, 5);
}

fn a_deployment_and_the_next_model() {
    let (disk, next) = (LoopDisk::new(1), LoopDisk::new(2));
    let release = ClusterRelease::new("rollout", "privileged");
    release.apply("workload", "model-disk-1", &disk);
    kubectl("rollout status deployment/inference-server --namespace rollout --timeout 180s");
    release.wait_until_read(&disk);
    // Another model is another claim and another root hash, in one change.
    release.apply("workload", "model-disk-2", &next);
    kubectl("rollout status deployment/inference-server --namespace rollout --timeout 180s");
    release.wait_until_read(&next);
    wait_for_description(
        "deployment inference-server --namespace rollout",
        &[(
            "Conditions",
            &[
                "Available True MinimumReplicasAvailable",
                "Progressing True NewReplicaSetAvailable",
            ],
        )],
    );
    until("nothing of the old pod is left", || {
        (mappings_of(&disk.device).is_empty() && objects("pods", "rollout").len() == 1)
            .then_some(())
    });
    release.end(&next);
}

/// On a node that is no machine of its own: what they say of the runtime is another name for runc here.
fn the_other_kustomizations_run() {
    for (variant, class) in [("init-container", "kata"), ("contrast", "contrast-cc")] {
        let disk = LoopDisk::new(1);
        let path = format!("/tmp/{class}.json");
        let runtime = json!({
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
            "metadata": { "name": class }, "handler": "runc"
        });
        fs::write(&path, runtime.to_string()).unwrap();
        kubectl(&format!("apply --filename {path}"));
        let release = ClusterRelease::new(variant, "privileged");
        release.apply(variant, "model-disk", &disk);
        kubectl(&format!(
            "rollout status deployment/inference-server --namespace {variant} --timeout 180s"
        ));
        release.wait_until_read(&disk);
        if variant == "contrast" {
            kubectl(&format!(
                "delete deployment inference-server --namespace {variant}"
            ));
            // There the mount goes with the machine, and here somebody has to unmount.
            until(
                "the containers have ended, and the disk is unmounted",
                || {
                    let pods = objects("pods", variant);
                    let uid = pods.first()?["metadata"]["uid"].as_str()?.to_owned();
                    let mounts = mounts_below(&Path::new(PODS).join(uid));
                    let mount = mounts.iter().find(|mount| mount.ends_with("/model/disk"))?;
                    let unmounted = Command::new("umount").arg(mount).status().unwrap();
                    unmounted.success().then_some(())
                },
            );
        }
        release.end(&disk);
    }
}

/// The claim waits for it, and the pod for the claim.
fn a_volume_that_comes_late() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("late", "privileged");
    release.apply_before_its_volume("workload", "model-disk", &disk);
    let pod = format!("pod {} --namespace late", release.pod());
    wait_for_description(
        &pod,
        &[(
            "Events",
            &[
                "Warning FailedScheduling",
                "unbound immediate PersistentVolumeClaims",
            ],
        )],
    );
    release.provide_volume("model-disk", &disk);
    release.wait_until_read(&disk);
    wait_for_description(&pod, &[(MOUNTER, &["State: Running", "Ready: True"])]);
    release.end(&disk);
}

fn a_deployment_with_a_wrong_root_hash() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("wrong", "privileged");
    release.apply_with("workload", "model-disk", &disk, &"1a".repeat(32));
    let pod = format!("pod {} --namespace wrong", release.pod());
    wait_for_description(
        &pod,
        &[(MOUNTER, &["Exit Code: 3", "the root hash does not match"])],
    );
    assert!(described("deployment --namespace wrong").contains("1 unavailable"));
    release.end(&disk);
}

/// Onto an empty block volume, from files on another, as the manifests of the Job have it.
fn a_job_makes_a_disk() {
    let release = ClusterRelease::new("build", "restricted");
    for folder in ["model", "manifest"] {
        fs::create_dir_all(format!("/var/lib/build/{folder}")).unwrap();
    }
    fs::write("/var/lib/build/model/weights", vec![7; 3 << 20]).unwrap();
    fs::File::create("/var/lib/build/disk")
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    let device = loop_device("/var/lib/build/disk");
    let volumes = [
        volume(
            "build",
            "model-files",
            "/var/lib/build/model",
            "Filesystem",
            "ReadOnlyMany",
        ),
        volume(
            "build",
            "model-manifest",
            "/var/lib/build/manifest",
            "Filesystem",
            "ReadWriteOnce",
        ),
        volume(
            "build",
            "model-disk-build",
            &device,
            "Block",
            "ReadWriteOnce",
        ),
    ];
    let claim = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: model-files}
spec:
  accessModes: [ReadOnlyMany]
  resources: {requests: {storage: 1Gi}}
";
    fs::write(
        release.folder.join("volumes.yaml"),
        volumes.concat() + claim,
    )
    .unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let kustomization = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: build
resources: [../kubernetes/build, volumes.yaml]
images:
  - {{name: disk-builder, newName: docker.io/library/disk-builder, newTag: {version}}}
patches:
  - target: {{kind: PersistentVolumeClaim}}
    patch: |-
      - {{op: add, path: /spec/storageClassName, value: ''}}
  - target: {{kind: Job}}
    patch: |-
      - {{op: replace, path: /spec/template/spec/containers/0/resources, value: {{}}}}
"
    );
    fs::write(release.folder.join("kustomization.yaml"), kustomization).unwrap();
    release.apply_folder();
    kubectl("wait --for condition=complete job/build-model-disk --namespace build --timeout 300s");
    let expected = check("disk-builder root-hash /var/lib/build/model");
    let said = kubectl("logs job/build-model-disk --namespace build");
    let root_hash = said
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .unwrap();
    assert!(expected.contains(root_hash.trim()), "{said}");
    check(&format!(
        "disk-builder verify {device} --root-hash {}",
        root_hash.trim()
    ));
    assert!(Path::new("/var/lib/build/manifest/model.json").exists());
    kubectl("delete namespace build --wait=false");
    check(&format!("losetup --detach {device}"));
}

/// As `kubectl drain` asks for it, of one pod.
fn an_eviction() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("evicted", "privileged");
    release.apply("workload", "model-disk", &disk);
    release.wait_until_read(&disk);
    let pod = release.pod();
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": "evicted" }
    });
    fs::write("/tmp/eviction.json", eviction.to_string()).unwrap();
    let path = format!("/api/v1/namespaces/evicted/pods/{pod}/eviction");
    kubectl(&format!(
        "create --raw {path} --filename /tmp/eviction.json"
    ));
    wait_for_description(
        &format!("pod {pod} --namespace evicted"),
        &[(
            "Events",
            &["Normal Killing", "Stopping container disk-mounter"],
        )],
    );
    until("its successor is there alone", || {
        let pods = objects("pods", "evicted");
        let is_ready = |pod: &serde_json::Value| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        (pods.len() == 1 && pods[0]["metadata"]["name"] != pod[..] && is_ready(&pods[0]))
            .then_some(())
    });
    release.end(&disk);
}

fn a_forced_deletion() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("forced", "privileged");
    release.apply("workload", "model-disk", &disk);
    release.wait_until_read(&disk);
    kubectl("scale deployment/inference-server --replicas 0 --namespace forced");
    kubectl("delete pods --all --force --grace-period 0 --namespace forced");
    release.wait_until_nothing_is_left(&disk);
    release.end(&disk);
}

/// Only a namespace that may run a privileged container takes it; the message says why.
fn levels_of_pod_security() {
    let disk = LoopDisk::new(1);
    for level in ["baseline", "restricted"] {
        let release = ClusterRelease::new(level, level);
        release.apply("workload", "model-disk", &disk);
        wait_for_description(
            &format!("replicaset --namespace {level}"),
            &[(
                "Events",
                &["Warning FailedCreate", "violates PodSecurity", "privileged"],
            )],
        );
        release.end(&disk);
    }
}
