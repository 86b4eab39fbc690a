//! Tests on a real Kubernetes node: containerd, runc, a kubelet and a control plane, in the virtual machine
//! that `run.sh` boots.
//!
//! Most pods are files that the kubelet reads, made of what `deploy/kubernetes` says; those of `api` go the
//! whole way, from `kubectl apply -k` on. Tests run beside each other, but for those of `alone`, and each
//! looks whether anything of its pod stayed behind.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

mod alone;
mod api;
mod cluster;
mod corrupt;
mod deletion;
mod disk;
mod endings;
mod machine;
mod manifest;
mod node;
mod pod;
mod release;
mod reset;
mod run;
mod starts;
mod unprivileged;

use std::{
    process::ExitCode,
    sync::{PoisonError, RwLock},
};

use libtest_mimic::{Arguments, Trial};
use node::KubernetesNode;

/// How many tests run at a time: they wait more than they work.
const AT_A_TIME: usize = 2;

/// Held for writing by a test that disturbs all others.
static NODE_IS_SHARED: RwLock<()> = RwLock::new(());

fn main() -> ExitCode {
    let ends_with_reset = match std::env::args().nth(1).as_deref() {
        Some("after-reset") => return reset::after(),
        // All tests.
        first => first == Some("then-reset"),
    };
    let mut arguments = if ends_with_reset {
        Arguments::default()
    } else {
        Arguments::from_args()
    };
    arguments.test_threads = Some(AT_A_TIME);
    let groups: &[(&str, &[Test])] = &[
        // The longest first.
        ("corrupt", corrupt::TESTS),
        ("deletion", deletion::TESTS),
        ("endings", endings::TESTS),
        ("starts", starts::TESTS),
        ("unprivileged", unprivileged::TESTS),
        ("api", api::TESTS),
        ("alone", alone::TESTS),
    ];
    let trials = groups
        .iter()
        .flat_map(|(group, tests)| {
            tests.iter().map(move |(name, test)| {
                let full = format!("{group}::{name}");
                Trial::test(full.clone(), move || {
                    if *group == "alone" {
                        let turn = NODE_IS_SHARED.write();
                        let _turn = turn.unwrap_or_else(PoisonError::into_inner);
                        run::run_test(&full, *test);
                    } else {
                        let turn = NODE_IS_SHARED.read();
                        let _turn = turn.unwrap_or_else(PoisonError::into_inner);
                        run::run_test(&full, *test);
                    }
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
    if !arguments.list && !conclusion.has_failed() {
        machine::wait_until_nothing_is_left();
        if ends_with_reset {
            reset::reset();
        }
    }
    conclusion.exit_code()
}

/// A test's name, and what it does.
type Test = (&'static str, fn());
