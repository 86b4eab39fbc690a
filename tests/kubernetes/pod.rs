//! A pod that the kubelet runs.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    cluster::{described, wait_for_description},
    machine::{PODS, disk_of, mappings_of, mounts_below},
    manifest::PodManifest,
    node::MANIFESTS,
    run::{check, say, until},
};

/// The container that mounts.
pub(crate) const MOUNTER: &str = "disk-mounter";
/// The container that reads.
pub(crate) const WORKLOAD: &str = "inference-server";

/// A pod, which is deleted at the end.
pub(crate) struct StaticPod {
    name: String,
    uid: String,
    /// The device of its disk.
    device: String,
}

impl StaticPod {
    /// Gives the kubelet a pod.
    pub(crate) fn start(name: &str, manifest: &PodManifest) -> Self {
        // A file that is half written would be read.
        let partial = format!("/tmp/{name}");
        fs::write(&partial, manifest.text(name)).unwrap();
        fs::copy(partial, file_of(name)).unwrap();
        Self::find(name, manifest.device())
    }

    /// Waits until the kubelet knows a pod that it was given.
    pub(crate) fn find(name: &str, device: &str) -> Self {
        let uid = until("the kubelet knows the pod", || {
            let pods = pods()?;
            let pod = pods
                .into_iter()
                .find(|pod| pod["metadata"]["name"] == format!("{name}-node"))?;
            Some(pod["metadata"]["uid"].as_str()?.to_owned())
        });
        Self {
            name: name.to_owned(),
            uid,
            device: device.to_owned(),
        }
    }

    /// Gives the kubelet a pod, and waits until its workload has read this.
    pub(crate) fn that_reads(name: &str, manifest: &PodManifest, sum: &str) -> Self {
        let pod = Self::start(name, manifest);
        pod.wait_for_log(WORKLOAD, sum);
        pod
    }

    /// What the kubelet says of it; None where it does not know it.
    pub(crate) fn status(&self) -> Option<Value> {
        let mut pods = pods()?.into_iter();
        let mut pod = pods.find(|pod| pod["metadata"]["uid"] == *self.uid)?;
        Some(pod["status"].take())
    }

    /// What the kubelet says of one of its containers; null where that is nothing yet.
    pub(crate) fn container(&self, name: &str) -> Value {
        let status = self.status().unwrap_or_default();
        let lists = ["initContainerStatuses", "containerStatuses"]
            .map(|list| status[list].as_array().cloned());
        let mut containers = lists.into_iter().flatten().flatten();
        containers
            .find(|container| container["name"] == name)
            .unwrap_or_default()
    }

    /// Waits until something is so of a container.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.container(name)).filter(&is_so))
    }

    /// Waits until the kubelet holds the whole pod for ready, or not.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self, is_ready: bool) {
        let expected = if is_ready { "True" } else { "False" };
        until(&format!("Ready is {expected}"), || {
            let status = self.status()?;
            let conditions = status["conditions"].as_array()?;
            let ready = conditions
                .iter()
                .find(|condition| condition["type"] == "Ready")?;
            (ready["status"] == expected).then_some(())
        });
    }

    /// Sends a signal to the first process of its sidecar.
    #[track_caller]
    pub(crate) fn kill(&self, signal: Signal) {
        kill_mounter(&self.uid, signal).expect("the sidecar does not run");
    }

    /// Kills what holds its containers together.
    pub(crate) fn kill_sandbox(&self) {
        kill_sandbox(&self.uid);
    }

    /// All that a container has said, also before it was started again.
    pub(crate) fn log(&self, name: &str) -> String {
        let folder = format!(
            "/var/log/pods/default_{}-node_{}/{name}",
            self.name, self.uid
        );
        let files = fs::read_dir(folder).into_iter().flatten();
        let files: BTreeSet<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect()
    }

    /// Waits until a container has said this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, name: &str, word: &str) {
        until(&format!("{name} says {word:?}"), || {
            self.log(name).contains(word).then_some(())
        });
    }

    /// Waits until `kubectl describe pod`, which is what a user sees, says all of this: each word in the
    /// part of a container, or another.
    #[track_caller]
    pub(crate) fn wait_for_description(&self, expected: &[(&str, &[&str])]) {
        wait_for_description(&format!("pod {}", self.name()), expected);
    }

    /// Its name for `kubectl`.
    pub(crate) fn name(&self) -> String {
        format!("{}-node", self.name)
    }

    /// What the workload has read, each line once for each change.
    pub(crate) fn reads(&self) -> Vec<String> {
        let log = self.log(WORKLOAD);
        let lines = log.lines().filter_map(|line| line.split_once("read: "));
        lines.map(|(_, read)| read.to_owned()).collect()
    }

    /// The workload has read the same all the time.
    #[track_caller]
    pub(crate) fn assert_undisturbed(&self) {
        let reads = self.reads();
        assert_eq!(reads.len(), 1, "the workload was disturbed: {reads:?}");
    }

    /// Waits until the kubelet has said this of it.
    #[track_caller]
    pub(crate) fn wait_for_kubelet(&self, word: &str) {
        until(&format!("the kubelet says {word:?}"), || {
            let log = fs::read_to_string("/var/log/kubelet.log").unwrap();
            let mut lines = log.lines().filter(|line| line.contains(&self.uid));
            lines.any(|line| line.contains(word)).then_some(())
        });
    }

    /// Where the node has its disk mounted.
    pub(crate) fn disk(&self) -> PathBuf {
        disk_of(&self.uid)
    }

    /// Where the kubelet keeps its things.
    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(PODS).join(&self.uid)
    }

    /// Takes the pod from the kubelet.
    pub(crate) fn delete(&self) {
        let _ = fs::remove_file(file_of(&self.name));
    }

    /// Takes the pod from the kubelet, and waits until nothing of it is left on the node.
    #[track_caller]
    pub(crate) fn end(self) {
        self.delete();
        self.wait_until_gone();
        until("no mapping is left", || {
            mappings_of(&self.device).is_empty().then_some(())
        });
    }

    /// Waits until the kubelet has forgotten it, with all that it had for it.
    #[track_caller]
    pub(crate) fn wait_until_gone(&self) {
        until("nothing of the pod is left", || {
            (self.status().is_none() && !self.folder().exists()).then_some(())
        });
        assert_eq!(mounts_below(&self.folder()), Vec::<String>::new());
    }
}

impl Drop for StaticPod {
    /// Shows what a failed test has left, and takes out of the way of the next what it can.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for name in [MOUNTER, WORKLOAD] {
            say(&format!("{name} said:\n{}", self.log(name)));
        }
        say(&described(&format!("pod {}", self.name())));
        self.delete();
        for mount in mounts_below(&self.folder()).iter().rev() {
            say(&format!("mounted: {mount}"));
            let _ = Command::new("umount").args(["-l", mount]).status();
        }
    }
}

/// Sends a signal to the first process of the mounter's container of a pod, past all who would tell the
/// kubelet of it. None where it does not run.
pub(crate) fn kill_mounter(uid: &str, signal: Signal) -> Option<()> {
    let entries = fs::read_dir("/proc").unwrap();
    let mut first = entries.filter_map(|entry| {
        let folder = entry.unwrap().path();
        let group = fs::read_to_string(folder.join("cgroup")).ok()?;
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let is_first = status
            .lines()
            .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"));
        let program = format!("Name:\t{MOUNTER}\n");
        (group.contains(uid) && is_first && status.starts_with(&program))
            .then(|| folder.file_name()?.to_str()?.parse().ok())?
    });
    let process = first.next()?;
    assert_eq!(first.next(), None, "there is not one {MOUNTER}");
    say(&format!("{signal} to {MOUNTER}"));
    kill(Pid::from_raw(process), signal).unwrap();
    Some(())
}

/// Kills what holds the containers of a pod together.
pub(crate) fn kill_sandbox(uid: &str) {
    let list = "ctr --namespace k8s.io containers list --quiet";
    let of_pod = format!("labels.\"io.kubernetes.pod.uid\"=={uid}");
    let kind = "labels.\"io.cri-containerd.kind\"==sandbox";
    let sandbox = check(&format!("{list} {of_pod},{kind}"));
    check(&format!(
        "ctr --namespace k8s.io tasks kill --signal SIGKILL {sandbox}"
    ));
}

/// The file that makes the kubelet run a pod.
fn file_of(name: &str) -> PathBuf {
    Path::new(MANIFESTS).join(format!("{name}.json"))
}

/// All that the kubelet runs; None while it does not answer.
fn pods() -> Option<Vec<Value>> {
    let mut stream = TcpStream::connect("127.0.0.1:10255").ok()?;
    stream
        .write_all(b"GET /pods HTTP/1.0\r\nHost: node\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let mut pods: Value = serde_json::from_str(body).ok()?;
    serde_json::from_value(pods["items"].take()).unwrap_or_default()
}
