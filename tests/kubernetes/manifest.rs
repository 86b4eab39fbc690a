//! Pods as `deploy/kubernetes` has them, for a kubelet that is alone.

use std::{process::Command, sync::OnceLock};

use serde_json::{Deserializer, Value, json};

use crate::{
    disk::LoopDisk,
    pod::{MOUNTER, WORKLOAD},
};

/// What the manifests have in the place of a root hash.
const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Says which bytes the large file has, and each time that they change; ends when it is asked to.
pub(crate) const READER: &str = "
    trap 'echo asked to end; exit 0' TERM
    while :; do
        now=$(sha256sum /mnt/model/disk/weights 2>&1)
        [ \"$now\" = \"$last\" ] || echo \"read: $now\"
        last=$now
        sleep 1 & wait $!
    done";

/// Looks at the disk's folder all the time, and says so where there is no model in it.
pub(crate) const LOOKER: &str = "
    trap 'exit 0' TERM
    echo looking
    while :; do
        [ -s /mnt/model/disk/weights ] || echo missing
        usleep 20000
    done";

/// A kustomization's Deployment, as its pod.
pub(crate) struct PodManifest {
    spec: Value,
    /// The disk's device.
    device: String,
}

impl PodManifest {
    /// That of `deploy/kubernetes/workload`, for a disk, with a workload that reads it all the time.
    pub(crate) fn workload(disk: &LoopDisk) -> Self {
        static RENDERED: OnceLock<String> = OnceLock::new();
        Self::of(RENDERED.get_or_init(|| rendered("workload")), disk)
    }

    /// Lets the kubelet look at the disk less often than for a user, or more.
    pub(crate) fn set_periods(&mut self, readiness: u32, liveness: u32) {
        let mounter = self.container(MOUNTER);
        for (probe, seconds) in [("readinessProbe", readiness), ("livenessProbe", liveness)] {
            if mounter[probe].is_object() {
                mounter[probe]["periodSeconds"] = json!(seconds);
            }
        }
    }

    /// The same as Privatemode calls it: `NAME INDEX ROOT_HASH`, which says where device and disk are.
    pub(crate) fn privatemode(disk: &LoopDisk) -> Self {
        let mut manifest = Self::workload(disk);
        let place = "modelweights-llama-3-0";
        let mounter = manifest.container(MOUNTER);
        mounter["args"] = json!(["llama-3", "0", disk.root_hash]);
        mounter["volumeMounts"] = json!([
            { "name": "model", "mountPath": "/mnt", "mountPropagation": "Bidirectional" },
            { "name": "model-disk", "mountPath": format!("/dev/{place}") }
        ]);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            mounter[probe]["exec"]["command"][4] = json!(format!("/mnt/{place}"));
        }
        let workload = manifest.container(WORKLOAD);
        workload["volumeMounts"][0]["mountPath"] = json!("/mnt");
        workload["args"] = json!([READER.replace("model/disk", place)]);
        manifest
    }

    /// That of `deploy/kubernetes/init-container`, without its runtime class.
    pub(crate) fn init_container(disk: &LoopDisk) -> Self {
        static RENDERED: OnceLock<String> = OnceLock::new();
        let mut manifest = Self::of(RENDERED.get_or_init(|| rendered("init-container")), disk);
        manifest
            .spec
            .as_object_mut()
            .unwrap()
            .remove("runtimeClassName");
        manifest
    }

    fn of(rendered: &str, disk: &LoopDisk) -> Self {
        let text = rendered.replace(PLACEHOLDER, &disk.root_hash);
        let objects = Deserializer::from_str(&text)
            .into_iter()
            .map(Result::unwrap);
        let mut deployments = objects.filter(|object: &Value| object["kind"] == "Deployment");
        let mut spec = deployments.next().unwrap()["spec"]["template"]["spec"].take();
        // What a kubelet alone cannot do: volumes that are claimed, and images from a registry.
        for volume in spec["volumes"].as_array_mut().unwrap() {
            if volume["name"] == "model-disk" {
                *volume = json!({
                    "name": "model-disk",
                    "hostPath": { "path": disk.device, "type": "BlockDevice" }
                });
            }
        }
        for list in ["initContainers", "containers"] {
            for container in spec[list].as_array_mut().unwrap() {
                adapt(container);
            }
        }
        spec["terminationGracePeriodSeconds"] = json!(20);
        let mut manifest = Self {
            spec,
            device: disk.device.clone(),
        };
        // Each look is a process in the container: much for an emulated machine.
        manifest.set_periods(15, 60);
        manifest
    }

    /// The device of its disk.
    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    /// Lets it have another device of the node than its disk's.
    pub(crate) fn set_device(&mut self, path: &str) {
        for volume in self.spec["volumes"].as_array_mut().unwrap() {
            if volume["name"] == "model-disk" {
                volume["hostPath"]["path"] = json!(path);
            }
        }
    }

    /// Lets the sidecar wait for a device that does not come.
    pub(crate) fn let_it_wait(&mut self, seconds: u32) {
        let arguments = self.container(MOUNTER)["args"].as_array_mut().unwrap();
        arguments[3] = json!("/dev/absent");
        arguments.extend([json!("--wait"), json!(seconds.to_string())]);
    }

    /// Lets the workload run another script.
    pub(crate) fn set_script(&mut self, script: &str) {
        self.container(WORKLOAD)["args"] = json!([script]);
    }

    /// Lets the sidecar expect another root hash.
    pub(crate) fn set_root_hash(&mut self, root_hash: &str) {
        let mounter = self.container(MOUNTER);
        mounter["args"][2] = json!(root_hash);
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            mounter[probe]["exec"]["command"][3] = json!(root_hash);
        }
    }

    /// The container of this name, to be changed.
    pub(crate) fn container(&mut self, name: &str) -> &mut Value {
        let lists = self.spec.as_object_mut().unwrap().iter_mut();
        lists
            .filter(|(key, _)| ["initContainers", "containers"].contains(&key.as_str()))
            .flat_map(|(_, list)| list.as_array_mut().unwrap())
            .find(|container| container["name"] == name)
            .unwrap()
    }

    /// Leaves an init container out.
    pub(crate) fn remove(&mut self, name: &str) {
        let containers = self.spec["initContainers"].as_array_mut().unwrap();
        containers.retain(|container| container["name"] != name);
    }

    /// The text of a static pod.
    pub(crate) fn text(&self, name: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "default" },
            "spec": self.spec
        })
        .to_string()
    }
}

/// An image that is there, a device as a file of the node, and a workload that tells what it reads.
fn adapt(container: &mut Value) {
    let container = container.as_object_mut().unwrap();
    let is_workload = container["name"] == WORKLOAD;
    let image = if is_workload {
        "busybox:node"
    } else {
        concat!("disk-mounter:", env!("CARGO_PKG_VERSION"))
    };
    container.insert("image".into(), json!(image));
    container.insert("imagePullPolicy".into(), json!("Never"));
    if is_workload {
        container.insert("args".into(), json!([READER]));
        container.insert("resources".into(), json!({}));
    }
    let Some(devices) = container.remove("volumeDevices") else {
        return;
    };
    let mounts = container["volumeMounts"].as_array_mut().unwrap();
    mounts.extend(
        devices
            .as_array()
            .unwrap()
            .iter()
            .map(|device| json!({ "name": device["name"], "mountPath": device["devicePath"] })),
    );
}

/// What `kubectl apply -k` would send, as JSON.
fn rendered(variant: &str) -> String {
    let script = format!(
        "kubectl kustomize kubernetes/{variant} |
         kubectl label --local --filename - --output json tests=node"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
    String::from_utf8(output.stdout).unwrap()
}
