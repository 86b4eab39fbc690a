//! A Deployment of `deploy/kubernetes`, from `kubectl apply -k` to its end.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    cluster::{kubectl, objects},
    disk::LoopDisk,
    machine::{PODS, mappings_of, mounts_below},
    manifest::READER,
    run::until,
};

/// The file of its volume.
const VOLUME: &str = "volume.yaml";

/// A namespace of its own, with the volume of a disk and a kustomization that says all that is to change.
pub(crate) struct ClusterRelease {
    namespace: &'static str,
    /// Where the kustomization is.
    pub(crate) folder: PathBuf,
    /// What a test changes in the Deployment, as a JSON patch.
    pub(crate) changes: Vec<Value>,
    /// A folder of the node that the volume shows, in the place of the disk's device.
    pub(crate) shows: Option<String>,
}

/// What the variants differ in.
struct VariantShape {
    /// The place of the mounter among the init containers.
    mounter: usize,
    probes: &'static [&'static str],
    /// The place of the disk among the volumes.
    disk: usize,
}

impl VariantShape {
    fn of(variant: &str) -> Self {
        let probes = &["startupProbe", "readinessProbe", "livenessProbe"];
        let (mounter, probes, disk): (_, &[_], _) = match variant {
            // In a confidential machine nobody has to unmount.
            "contrast" => (0, probes, 0),
            "init-container" => (1, &[], 0),
            "unprivileged" => (0, &[], 1),
            _ => (1, probes, 0),
        };
        Self {
            mounter,
            probes,
            disk,
        }
    }
}

impl ClusterRelease {
    /// Makes the namespace, of a level of Pod Security.
    pub(crate) fn new(namespace: &'static str, level: &str) -> Self {
        // A kustomization names others by relative paths alone.
        let folder = PathBuf::from(format!("/root/{namespace}"));
        fs::create_dir(&folder).unwrap();
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": namespace,
                "labels": { "pod-security.kubernetes.io/enforce": level }
            }
        });
        let path = folder.join("namespace.json");
        fs::write(&path, object.to_string()).unwrap();
        kubectl(&format!("create --filename {}", path.to_str().unwrap()));
        Self {
            namespace,
            folder,
            changes: Vec::new(),
            shows: None,
        }
    }

    /// Applies a variant, for a disk whose volume and claim have this name.
    pub(crate) fn apply(&self, variant: &str, claim: &str, disk: &LoopDisk) {
        self.apply_with(variant, claim, disk, &disk.root_hash);
    }

    /// The same for a root hash that may be another.
    pub(crate) fn apply_with(&self, variant: &str, claim: &str, disk: &LoopDisk, root_hash: &str) {
        self.write_volume(claim, disk);
        self.write(variant, claim, root_hash, &[VOLUME]);
        self.apply_folder();
    }

    /// Applies a variant without its volume.
    pub(crate) fn apply_before_its_volume(&self, variant: &str, claim: &str, disk: &LoopDisk) {
        self.write(variant, claim, &disk.root_hash, &[]);
        self.apply_folder();
    }

    /// Provides that.
    pub(crate) fn provide_volume(&self, claim: &str, disk: &LoopDisk) {
        let path = self.write_volume(claim, disk);
        kubectl(&format!("create --filename {}", path.to_str().unwrap()));
    }

    fn write_volume(&self, claim: &str, disk: &LoopDisk) -> PathBuf {
        let path = self.shows.as_ref().unwrap_or(&disk.device);
        let text = volume(self.namespace, claim, path, self.mode(), "ReadOnlyMany");
        let path = self.folder.join(VOLUME);
        fs::write(&path, text).unwrap();
        path
    }

    /// What the volume is.
    fn mode(&self) -> &'static str {
        match self.shows {
            Some(_) => "Filesystem",
            None => "Block",
        }
    }

    /// Applies the kustomization.
    pub(crate) fn apply_folder(&self) {
        kubectl(&format!("apply -k {}", self.folder.to_str().unwrap()));
    }

    fn write(&self, variant: &str, claim: &str, root_hash: &str, more: &[&str]) {
        let namespace = self.namespace;
        let VariantShape {
            mounter,
            probes,
            disk,
        } = VariantShape::of(variant);
        let containers = "/spec/template/spec/initContainers";
        let probes = probes.iter().map(|probe| {
            let path = format!("{containers}/{mounter}/{probe}/exec/command/3");
            json!({ "op": "replace", "path": path, "value": root_hash })
        });
        let spec = "/spec/template/spec";
        let replace = |path: &str, value| json!({ "op": "replace", "path": format!("{spec}/{path}"), "value": value });
        let mut patch = vec![
            replace(
                &format!("initContainers/{mounter}/args/2"),
                json!(root_hash),
            ),
            replace(
                &format!("volumes/{disk}/persistentVolumeClaim/claimName"),
                json!(claim),
            ),
            replace("containers/0/resources", json!({})),
            replace("containers/0/args", json!([READER])),
            json!({ "op": "add", "path": format!("{spec}/terminationGracePeriodSeconds"), "value": 20 }),
        ];
        patch.extend(probes);
        patch.extend(self.changes.iter().cloned());
        let claim_patch = json!([
            { "op": "replace", "path": "/metadata/name", "value": claim },
            { "op": "replace", "path": "/spec/volumeMode", "value": self.mode() },
            { "op": "add", "path": "/spec/storageClassName", "value": "" }
        ]);
        let image = |name: &str, of: &str, tag: &str| json!({ "name": name, "newName": format!("docker.io/library/{of}"), "newTag": tag });
        let mut resources = vec![format!("../kubernetes/{variant}")];
        resources.extend(more.iter().map(|&file| file.to_owned()));
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": resources,
            "images": [
                image("disk-mounter", "disk-mounter", env!("CARGO_PKG_VERSION")),
                image("inference-server", "busybox", "node")
            ],
            "patches": [
                {
                    "target": { "kind": "PersistentVolumeClaim" },
                    "options": { "allowNameChange": true },
                    "patch": claim_patch.to_string()
                },
                { "target": { "kind": "Deployment" }, "patch": json!(patch).to_string() }
            ]
        });
        let path = self.folder.join("kustomization.yaml");
        fs::write(path, kustomization.to_string()).unwrap();
    }

    /// What the workloads of it say.
    fn logs(&self) -> String {
        let logs = self.log_folders().into_iter();
        let files = logs.flat_map(|folder| {
            let files = fs::read_dir(folder.join("inference-server"));
            files.into_iter().flatten()
        });
        files
            .filter_map(|file| fs::read_to_string(file.unwrap().path()).ok())
            .collect()
    }

    /// Where the kubelet has the logs of its pods: `NAMESPACE_POD_UID`.
    fn log_folders(&self) -> Vec<PathBuf> {
        let prefix = format!("{}_", self.namespace);
        let folders = fs::read_dir("/var/log/pods").into_iter().flatten();
        folders
            .map(|folder| folder.unwrap())
            .filter(|folder| folder.file_name().to_str().unwrap().starts_with(&prefix))
            .map(|folder| folder.path())
            .collect()
    }

    /// Waits until a workload has read the disk.
    #[track_caller]
    pub(crate) fn wait_until_read(&self, disk: &LoopDisk) {
        until("the workload has read", || {
            self.logs().contains(&disk.sum).then_some(())
        });
    }

    /// The name of its only pod, as soon as it has one.
    #[track_caller]
    pub(crate) fn pod(&self) -> String {
        self.said_of_pod("name")
    }

    /// The UID of its only pod, as soon as it has one.
    #[track_caller]
    pub(crate) fn uid(&self) -> String {
        self.said_of_pod("uid")
    }

    #[track_caller]
    fn said_of_pod(&self, field: &str) -> String {
        until(&format!("there is a pod, with its {field}"), || {
            let pods = objects("pods", self.namespace);
            let [pod] = &pods[..] else {
                return None;
            };
            Some(pod["metadata"][field].as_str()?.to_owned())
        })
    }

    /// Waits until the node has nothing of its pods, and no mapping of the disk.
    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self, disk: &LoopDisk) {
        let pods: BTreeSet<String> = self
            .log_folders()
            .iter()
            .filter_map(|folder| Some(folder.to_str()?.rsplit_once('_')?.1.to_owned()))
            .chain(
                objects("pods", self.namespace)
                    .iter()
                    .filter_map(|pod| Some(pod["metadata"]["uid"].as_str()?.to_owned())),
            )
            .collect();
        until("nothing is left on the node", || {
            let mut folders = pods.iter().map(|uid| Path::new(PODS).join(uid));
            let is_gone =
                folders.all(|folder| !folder.exists() && mounts_below(&folder).is_empty());
            (is_gone && mappings_of(&disk.device).is_empty()).then_some(())
        });
    }

    /// Deletes all of it, and waits until nothing is left.
    #[track_caller]
    pub(crate) fn end(self, disk: &LoopDisk) {
        kubectl(&format!("delete namespace {} --wait=false", self.namespace));
        self.wait_until_nothing_is_left(disk);
    }
}

/// A volume for a claim, on this node.
pub(crate) fn volume(namespace: &str, claim: &str, path: &str, mode: &str, access: &str) -> String {
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
