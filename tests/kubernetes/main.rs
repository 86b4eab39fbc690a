//! Tests on a real Kubernetes node: containerd, runc and a kubelet, in the virtual machine that `run.sh`
//! boots.
//!
//! Most need no API server: each pod is a file that the kubelet reads, made of what `deploy/kubernetes`
//! says. Those of `api` start a control plane beside it, and come last. One test after the other, and
//! each looks whether anything of its pod stayed behind.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

mod api;
mod cluster;
mod corrupt;
mod disk;
mod endings;

mod manifest;
mod node;
mod pod;
mod reset;
mod run;
mod starts;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use node::KubernetesNode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("before-reset") => return reset::before(),
        Some("after-reset") => return reset::after(),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let groups: &[(&str, &[Test])] = &[
        ("starts", starts::TESTS),
        ("endings", endings::TESTS),
        ("corrupt", corrupt::TESTS),
        ("api", api::TESTS),
    ];
    let trials = groups
        .iter()
        .flat_map(|(group, tests)| {
            tests.iter().map(move |(name, test)| {
                Trial::test(format!("{group}::{name}"), || {
                    test();
                    Ok(())
                })
            })
        })
        .collect();
    if !arguments.list {
        KubernetesNode::start();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list && conclusion.num_passed + conclusion.num_failed == 0 {
        eprintln!("No test has a name with this in it.");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// A test's name, and what it does.
type Test = (&'static str, fn());
