//! With an API server: the manifests as they are, from `kubectl apply -k` on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Test,
    cluster::{self, kubectl, objects},
    disk::LoopDisk,
    manifest::READER,
    pod::{mappings, mounts_below},
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
    (
        "what_describe_says_of_a_wrong_root_hash",
        what_describe_says_of_a_wrong_root_hash,
    ),
    ("a_job_makes_a_disk", a_job_makes_a_disk),
    ("an_eviction", an_eviction),
    ("a_forced_deletion", a_forced_deletion),
    ("levels_of_pod_security", levels_of_pod_security),
];

fn each_kustomization_is_accepted() {
    cluster::start();
    for entry in fs::read_dir("kubernetes").unwrap() {
        let path = entry.unwrap().path();
        let said = kubectl(&format!(
            "apply --dry-run=server -k {}",
            path.to_str().unwrap()
        ));
        assert!(said.contains("created (server dry run)"), "{said}");
    }
}

/// A namespace of its own, with a volume of a disk and a kustomization that says all that is to change.
struct ClusterRelease {
    namespace: String,
    folder: PathBuf,
}

impl ClusterRelease {
    fn new(namespace: &str, level: &str) -> Self {
        cluster::start();
        kubectl(&format!("create namespace {namespace}"));
        kubectl(&format!(
            "label namespace {namespace} pod-security.kubernetes.io/enforce={level}"
        ));
        // A kustomization names others by relative paths alone.
        let folder = PathBuf::from(format!("/root/{namespace}"));
        fs::create_dir(&folder).unwrap();
        Self {
            namespace: namespace.to_owned(),
            folder,
        }
    }

    /// Applies the workload, for a disk whose volume and claim have this name.
    fn apply(&self, claim: &str, device: &str, root_hash: &str) {
        let namespace = &self.namespace;
        fs::write(
            self.folder.join("volume.yaml"),
            volume(namespace, claim, device, "Block", "ReadOnlyMany"),
        )
        .unwrap();
        let probes = ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| {
            format!(
                "
      - {{op: replace, path: /spec/template/spec/initContainers/1/{probe}/exec/command/3, value: '{root_hash}'}}"
            )
        });
        let version = env!("CARGO_PKG_VERSION");
        let reader = serde_json::json!(READER);
        fs::write(
            self.folder.join("kustomization.yaml"),
            format!(
                "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [../kubernetes/workload, volume.yaml]
images:
  - {{name: disk-mounter, newName: docker.io/library/disk-mounter, newTag: {version}}}
  - {{name: inference-server, newName: docker.io/library/busybox, newTag: node}}
patches:
  - target: {{kind: PersistentVolumeClaim}}
    options: {{allowNameChange: true}}
    patch: |-
      - {{op: replace, path: /metadata/name, value: {claim}}}
      - {{op: add, path: /spec/storageClassName, value: ''}}
  - target: {{kind: Deployment}}
    patch: |-
      - {{op: replace, path: /spec/template/spec/initContainers/1/args/2, value: '{root_hash}'}}{}
      - {{op: replace, path: /spec/template/spec/volumes/0/persistentVolumeClaim/claimName, value: {claim}}}
      - {{op: add, path: /spec/template/spec/terminationGracePeriodSeconds, value: 20}}
      - {{op: replace, path: /spec/template/spec/containers/0/resources, value: {{}}}}
      - {{op: replace, path: /spec/template/spec/containers/0/args, value: [{reader}]}}
",
                probes.concat()
            ),
        )
        .unwrap();
        kubectl(&format!("apply -k {}", self.folder.to_str().unwrap()));
    }

    /// What the workloads of it say.
    fn logs(&self) -> String {
        let pattern = format!("/var/log/pods/{}_*/inference-server/*", self.namespace);
        let files = glob(&pattern);
        files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect()
    }

    fn wait_until_read(&self, disk: &LoopDisk) {
        until("the workload has read", || {
            self.logs().contains(&disk.sum).then_some(())
        });
    }

    /// Deletes all of it, and waits until nothing is left on the node.
    fn end(self) {
        kubectl(&format!(
            "delete -k {} --wait=false",
            self.folder.to_str().unwrap()
        ));
        wait_until_nothing_is_left();
        kubectl(&format!("delete namespace {} --wait=false", self.namespace));
    }
}

/// A volume for a claim, on this node.
fn volume(namespace: &str, claim: &str, path: &str, mode: &str, access: &str) -> String {
    format!(
        "apiVersion: v1
kind: PersistentVolume
metadata: {{name: {namespace}-{claim}}}
spec:
  capacity: {{storage: 100Gi}}
  volumeMode: {mode}
  accessModes: [{access}]
  storageClassName: ''
  claimRef: {{namespace: {namespace}, name: {claim}}}
  local: {{path: {path}}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [node]}}]
---
"
    )
}

fn glob(pattern: &str) -> Vec<PathBuf> {
    let listed = std::process::Command::new("sh")
        .args(["-c", &format!("ls {pattern}")])
        .output()
        .unwrap();
    String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(PathBuf::from)
        .collect()
}

fn wait_until_nothing_is_left() {
    let pods = PathBuf::from("/var/lib/kubelet/pods");
    until("nothing is left on the node", || {
        let is_empty = fs::read_dir(&pods).unwrap().next().is_none();
        (is_empty && mounts_below(&pods).is_empty() && mappings().is_empty()).then_some(())
    });
}

fn a_deployment_and_the_next_model() {
    let (disk, next) = (LoopDisk::new(1), LoopDisk::new(2));
    let release = ClusterRelease::new("rollout", "privileged");
    release.apply("model-disk-1", &disk.device, &disk.root_hash);
    kubectl("rollout status deployment/inference-server --namespace rollout --timeout 180s");
    release.wait_until_read(&disk);
    // Another model is another claim and another root hash, in one change.
    release.apply("model-disk-2", &next.device, &next.root_hash);
    kubectl("rollout status deployment/inference-server --namespace rollout --timeout 180s");
    release.wait_until_read(&next);
    until("nothing of the old pod is left", || {
        (mappings().len() == 1).then_some(())
    });
    assert_eq!(objects("pods", "rollout").len(), 1);
    release.end();
}

fn what_describe_says_of_a_wrong_root_hash() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("wrong", "privileged");
    release.apply("model-disk", &disk.device, &"1a".repeat(32));
    let said = until("describe tells the reason", || {
        let said = kubectl("describe pods --namespace wrong");
        said.contains("root hash does not match").then_some(said)
    });
    println!("{said}");
    assert!(said.contains("Exit Code:    3"), "{said}");
    release.end();
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
    let device = check("losetup --find --show /var/lib/build/disk");
    let device = device.trim();
    // As udev leaves the nodes of block devices.
    check(&format!("chown 0:6 {device}"));
    check(&format!("chmod 0660 {device}"));
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
            device,
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
    kubectl(&format!("apply -k {}", release.folder.to_str().unwrap()));
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
    release.end();
    check(&format!("losetup --detach {device}"));
}

fn an_eviction() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("evicted", "privileged");
    release.apply("model-disk", &disk.device, &disk.root_hash);
    release.wait_until_read(&disk);
    kubectl("drain node --delete-emptydir-data --timeout 180s");
    wait_until_nothing_is_left();
    kubectl("uncordon node");
    release.end();
}

fn a_forced_deletion() {
    let disk = LoopDisk::new(1);
    let release = ClusterRelease::new("forced", "privileged");
    release.apply("model-disk", &disk.device, &disk.root_hash);
    release.wait_until_read(&disk);
    kubectl("scale deployment/inference-server --replicas 0 --namespace forced");
    kubectl("delete pods --all --force --grace-period 0 --namespace forced");
    wait_until_nothing_is_left();
    release.end();
}

/// Only a namespace that may run a privileged container takes it; the message says why.
fn levels_of_pod_security() {
    let disk = LoopDisk::new(1);
    for level in ["baseline", "restricted"] {
        let release = ClusterRelease::new(level, level);
        release.apply("model-disk", &disk.device, &disk.root_hash);
        until("the pod is refused", || {
            let sets = objects("replicasets", level);
            let message = sets.first()?["status"]["conditions"][0]["message"]
                .as_str()?
                .to_owned();
            (message.contains("violates PodSecurity") && message.contains("privileged"))
                .then_some(())
        });
        release.end();
    }
}
