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
    containerd: Daemon,
    kubelet: Daemon,
    /// What the kubelet is told beside its configuration.
    options: &'static str,
}

/// That of all tests.
static NODE: Mutex<Option<KubernetesNode>> = Mutex::new(None);

impl KubernetesNode {
    /// Starts both, and brings the images.
    pub(crate) fn start() {
        let containerd = containerd();
        for image in [
            "disk-mounter.oci.tar",
            "disk-builder.oci.tar",
            "/images/busybox.tar",
        ] {
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
        node.kubelet.end();
        node.options = options;
        node.kubelet = kubelet(options);
    }

    /// Ends the kubelet, does something, and starts it again.
    pub(crate) fn without_kubelet<T>(work: impl FnOnce() -> T) -> T {
        let mut node = NODE.lock().unwrap();
        let node = node.as_mut().unwrap();
        node.kubelet.end();
        let done = work();
        node.kubelet = kubelet(node.options);
        done
    }

    /// Ends containerd, does something, and starts it again.
    pub(crate) fn without_containerd<T>(work: impl FnOnce() -> T) -> T {
        let mut node = NODE.lock().unwrap();
        let node = node.as_mut().unwrap();
        node.containerd.end();
        let done = work();
        node.containerd = containerd();
        done
    }
}

fn containerd() -> Daemon {
    let daemon = Daemon::start("containerd");
    until("containerd answers", || {
        let version = Command::new("ctr").arg("version").output().unwrap();
        version.status.success().then_some(())
    });
    daemon
}

fn kubelet(options: &str) -> Daemon {
    Daemon::start(&format!(
        "kubelet --config /etc/kubernetes/kubelet.yaml --hostname-override node --node-ip 10.0.0.1 {options}"
    ))
}

/// A program that runs, and writes to a log.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it; the words are separated by blanks.
    pub(crate) fn start(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let program = words.next().unwrap();
        let mut log = File::options();
        let log = log.create(true).append(true);
        let log = log.open(format!("/var/log/{program}.log")).unwrap();
        let mut command = Command::new(program);
        command
            .args(words)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().unwrap())
    }

    fn end(&mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}
