//! The node's two daemons.

use std::{
    fs::File,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    cluster::{self, JOIN},
    run::{check, until},
};

/// Where the kubelet looks for its pods.
pub(crate) const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// containerd and the kubelet.
pub(crate) struct KubernetesNode {
    containerd: Daemon,
    kubelet: Daemon,
}

/// That of all tests.
static NODE: Mutex<Option<KubernetesNode>> = Mutex::new(None);

/// Also after a test that has failed.
fn lock() -> MutexGuard<'static, Option<KubernetesNode>> {
    NODE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KubernetesNode {
    /// Starts both, and a control plane, and brings the images.
    pub(crate) fn start() {
        cluster::start();
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
        cluster::start_controllers();
        let kubelet = kubelet("");
        *lock() = Some(Self {
            containerd,
            kubelet,
        });
        cluster::wait_for_node();
    }

    /// Starts the kubelet anew with options more, does something, and starts it again without them.
    pub(crate) fn with_options<T>(options: &str, work: impl FnOnce() -> T) -> T {
        let mut node = lock();
        let node = node.as_mut().unwrap();
        node.kubelet.end();
        node.kubelet = kubelet(options);
        let done = work();
        node.kubelet.end();
        node.kubelet = kubelet("");
        done
    }

    /// Ends the kubelet, does something, and starts it again.
    pub(crate) fn without_kubelet<T>(work: impl FnOnce() -> T) -> T {
        let mut node = lock();
        let node = node.as_mut().unwrap();
        node.kubelet.end();
        let done = work();
        node.kubelet = kubelet("");
        done
    }

    /// Ends containerd, does something, and starts it again.
    pub(crate) fn without_containerd<T>(work: impl FnOnce() -> T) -> T {
        let mut node = lock();
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
        "kubelet --config /etc/kubernetes/kubelet.yaml --hostname-override node --node-ip 10.0.0.1
         {JOIN} {options}"
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
