//! The node's two daemons.

use std::{
    fs::File,
    process::{Child, Command},
    sync::Mutex,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::run::{check, until};

/// Where the kubelet looks for its pods.
pub(crate) const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// containerd and the kubelet.
pub(crate) struct KubernetesNode {
    containerd: Child,
    kubelet: Child,
    /// What the kubelet is told beside its configuration.
    options: &'static str,
}

/// That of all tests.
static NODE: Mutex<Option<KubernetesNode>> = Mutex::new(None);

impl KubernetesNode {
    /// Starts both, and brings the images.
    pub(crate) fn start() {
        let containerd = containerd();
        for image in ["disk-mounter.oci.tar", "/images/busybox.tar"] {
            check(&format!(
                "ctr --namespace k8s.io images import --local {image}"
            ));
        }
        let kubelet = kubelet("");
        *NODE.lock().unwrap() = Some(Self {
            containerd,
            kubelet,
            options: "",
        });
    }

    /// Starts the kubelet anew, with these options from now on.
    pub(crate) fn join(options: &'static str) {
        let mut node = NODE.lock().unwrap();
        let node = node.as_mut().unwrap();
        end(&mut node.kubelet);
        node.options = options;
        node.kubelet = kubelet(options);
    }

    /// Ends the kubelet, does something, and starts it again.
    pub(crate) fn without_kubelet<T>(work: impl FnOnce() -> T) -> T {
        let mut node = NODE.lock().unwrap();
        let node = node.as_mut().unwrap();
        end(&mut node.kubelet);
        let done = work();
        node.kubelet = kubelet(node.options);
        done
    }

    /// Ends containerd, does something, and starts it again.
    pub(crate) fn without_containerd<T>(work: impl FnOnce() -> T) -> T {
        let mut node = NODE.lock().unwrap();
        let node = node.as_mut().unwrap();
        end(&mut node.containerd);
        let done = work();
        node.containerd = containerd();
        done
    }
}

fn containerd() -> Child {
    let daemon = daemon("containerd");
    until("containerd answers", || {
        let version = Command::new("ctr").arg("version").output().unwrap();
        version.status.success().then_some(())
    });
    daemon
}

fn kubelet(options: &str) -> Child {
    daemon(&format!(
        "kubelet --config /etc/kubernetes/kubelet.yaml --hostname-override node --node-ip 10.0.0.1 {options}"
    ))
}

/// Starts a program that writes to a log.
pub(crate) fn daemon(line: &str) -> Child {
    let mut words = line.split_ascii_whitespace();
    let program = words.next().unwrap();
    let mut log = File::options();
    let log = log
        .create(true)
        .append(true)
        .open(format!("/var/log/{program}.log"))
        .unwrap();
    let mut command = Command::new(program);
    command
        .args(words)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap()
}

fn end(daemon: &mut Child) {
    kill(Pid::from_raw(daemon.id() as i32), Signal::SIGTERM).unwrap();
    daemon.wait().unwrap();
}
