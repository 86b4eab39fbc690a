//! A control plane on the node, which the kubelet joins: etcd, the API server, the controllers and the
//! scheduler.

use std::{fs, process::Command, sync::Once};

use serde_json::Value;

use crate::{
    node::{Daemon, KubernetesNode},
    run::{check, until},
};

/// Whom the administrator and the node say that they are.
const TOKENS: &str = "administrator,admin,1,system:masters\nnode,system:node:node,2,system:nodes\n";

/// Starts it, where it does not run yet.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
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
        until("the API server is ready", || succeeds("get --raw /readyz").then_some(()));
        Daemon::start(
            "kube-controller-manager --kubeconfig /var/lib/control/administrator.conf --leader-elect=false
             --service-account-private-key-file /etc/kubernetes/service-accounts.pem
             --cert-dir /var/lib/control/certificates",
        );
        Daemon::start(
            "kube-scheduler --kubeconfig /var/lib/control/administrator.conf --leader-elect=false
             --cert-dir /var/lib/control/certificates",
        );
        KubernetesNode::join("--kubeconfig /var/lib/control/node.conf");
        until("the node is ready", || {
            succeeds("wait --for condition=Ready node/node --timeout 0").then_some(())
        });
        until("there is a service account", || succeeds("get serviceaccount default").then_some(()));
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
