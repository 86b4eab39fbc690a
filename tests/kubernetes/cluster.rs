//! A control plane on the node, which the kubelet joins: etcd, the API server, the controllers and the
//! scheduler.

use std::{
    fs::{self, File},
    process::{Child, Command},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    node::Daemon,
    run::{check, say, until},
};

/// Whom the administrator and the node say that they are.
const TOKENS: &str = "administrator,admin,1,system:masters\nnode,system:node:node,2,system:nodes\n";

/// How a kubelet joins it.
pub(crate) const JOIN: &str = "--kubeconfig /var/lib/control/node.conf";

/// Starts what takes long; nothing of an earlier boot is in it.
pub(crate) fn start() {
    let _ = fs::remove_dir_all("/var/lib/control/etcd");
    fs::create_dir_all("/var/lib/control").unwrap();
    fs::write("/var/lib/control/tokens.csv", TOKENS).unwrap();
    for who in ["administrator", "node"] {
        fs::write(format!("/var/lib/control/{who}.conf"), configuration(who)).unwrap();
    }
    Daemon::start("etcd --data-dir /var/lib/control/etcd --unsafe-no-fsync --log-level warn");
    Daemon::start(
        "kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 127.0.0.1
         --advertise-address 10.0.0.1 --cert-dir /var/lib/control/certificates
         --token-auth-file /var/lib/control/tokens.csv --authorization-mode Node,RBAC
         --service-cluster-ip-range 10.96.0.0/16 --allow-privileged
         --service-account-issuer https://kubernetes.default.svc
         --service-account-key-file /etc/kubernetes/service-accounts.pem
         --service-account-signing-key-file /etc/kubernetes/service-accounts.pem",
    );
}

/// Starts the rest when that is ready.
pub(crate) fn start_controllers() {
    until("the API server is ready", || {
        succeeds("get --raw /readyz").then_some(())
    });
    Daemon::start(
        "kube-controller-manager --kubeconfig /var/lib/control/administrator.conf --leader-elect=false
         --controllers deployment-controller,replicaset-controller,job-controller,namespace-controller,\
         serviceaccount-controller,root-ca-certificate-publisher-controller,\
         persistentvolume-binder-controller,persistentvolume-protection-controller,\
         persistentvolumeclaim-protection-controller,garbage-collector-controller,\
         node-lifecycle-controller,taint-eviction-controller,disruption-controller
         --service-account-private-key-file /etc/kubernetes/service-accounts.pem
         --cert-dir /var/lib/control/certificates",
    );
    Daemon::start(
        "kube-scheduler --kubeconfig /var/lib/control/administrator.conf --leader-elect=false
         --cert-dir /var/lib/control/certificates",
    );
}

/// Waits until a kubelet has joined it, and pods can come.
pub(crate) fn wait_for_node() {
    until("the node is ready", || {
        succeeds("wait --for condition=Ready node/node --timeout 0").then_some(())
    });
    until("there is a service account", || {
        succeeds("get serviceaccount default").then_some(())
    });
}

/// How a program finds the API server. All of it is one machine, so nobody has to prove who it is.
fn configuration(token: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "node",
        "clusters": [{ "name": "node", "cluster": {
            "server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": true
        }}],
        "users": [{ "name": "node", "user": { "token": token } }],
        "contexts": [{ "name": "node", "context": { "cluster": "node", "user": "node" } }]
    })
    .to_string()
}

const KUBECTL: &str = "kubectl --kubeconfig /var/lib/control/administrator.conf";

/// Whether `kubectl` does it.
fn succeeds(line: &str) -> bool {
    let line = format!("{KUBECTL} {line}");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    output.status.success()
}

/// What `kubectl` prints, words separated by blanks.
#[track_caller]
pub(crate) fn kubectl(line: &str) -> String {
    check(&format!("{KUBECTL} {line}"))
}

/// Objects of a kind in a namespace.
#[track_caller]
pub(crate) fn objects(kind: &str, namespace: &str) -> Vec<Value> {
    let text = kubectl(&format!("get {kind} --namespace {namespace} --output json"));
    let mut list: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(list["items"].take()).unwrap()
}

/// What `kubectl describe` says of an object; empty where there is none.
pub(crate) fn described(object: &str) -> String {
    let line = format!("{KUBECTL} describe {object}");
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until `kubectl describe` says all of this of an object, each word in its part of what it says,
/// blanks put together.
#[track_caller]
pub(crate) fn wait_for_description(object: &str, expected: &[(&str, &[&str])]) {
    let said = until(&format!("describe {object} says {expected:?}"), || {
        let text = described(object);
        let parts = expected
            .iter()
            .map(|(part, words)| (part_of(&text, part), words));
        let parts: Vec<_> = parts.collect();
        if !parts
            .iter()
            .all(|(said, words)| words.iter().all(|word| said.contains(word)))
        {
            // It takes much of an emulated machine to ask.
            thread::sleep(Duration::from_secs(1));
            return None;
        }
        Some(parts)
    });
    for (said, _) in said {
        say(&said);
    }
}

/// The lines below a heading, each run of blanks as one.
fn part_of(text: &str, heading: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let heading = format!("{heading}:");
    let mut lines = text.lines().skip_while(|line| line.trim() != heading);
    let Some(head) = lines.next() else {
        return String::new();
    };
    let below = lines.take_while(|line| line.trim().is_empty() || indent(line) > indent(head));
    let words: Vec<&str> = below.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

/// Notes, as long as it is there, what the API server says of a pod's readiness.
pub(crate) struct ReadinessWatch {
    kubectl: Child,
    file: String,
}

impl ReadinessWatch {
    /// Begins with what is so now.
    pub(crate) fn start(pod: &str) -> Self {
        let file = format!("/tmp/{pod}.ready");
        let mut words = KUBECTL.split(' ');
        let kubectl = Command::new(words.next().unwrap())
            .args(words)
            .args(["get", "pod", pod, "--watch", "--output"])
            .arg("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}{\"\\n\"}")
            .stdout(File::create(&file).unwrap())
            .spawn();
        Self {
            kubectl: kubectl.unwrap(),
            file,
        }
    }

    /// What has come since it was ready first, each state once for each change.
    pub(crate) fn seen(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap();
        let states = text.lines().skip_while(|state| *state != "True");
        let mut states: Vec<String> = states.map(str::to_owned).collect();
        states.dedup();
        states
    }
}

impl Drop for ReadinessWatch {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
