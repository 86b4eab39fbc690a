//! Tests on a real kernel, as root: in the virtual machine of `testvm`, or on a machine of which
//! nothing else is asked meanwhile.
//!
//! One after the other, since each looks whether anything stayed behind. What is needed and not
//! there is a failure, never a test left out. Disks are small and made here, but for one with a
//! real model, which the environment names (see `real_model`).

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

mod building;
mod built;
mod commands;
mod container;
mod corruption;
mod disk;
mod fault_device;
mod faults;
mod fec;
mod fetched;
mod foreign;
mod fuse;
mod geometry;
mod hangs;
mod hostile;
mod kernels;
mod machine;
mod mounting;
mod neighbour;
mod oci;
mod others;
mod partitions;
mod power;
mod races;
mod real_model;
mod recorder;
mod reflink;
mod refusal;
mod repair;
mod restart;
mod run;
mod sidecar;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use machine::Leftovers;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let groups: &[(&str, &[Test])] = &[
        ("mounting", mounting::TESTS),
        ("refusal", refusal::TESTS),
        ("repair", repair::TESTS),
        ("others", others::TESTS),
        ("neighbour", neighbour::TESTS),
        ("corruption", corruption::TESTS),
        ("geometry", geometry::TESTS),
        ("hostile", hostile::TESTS),
        ("container", container::TESTS),
        ("sidecar", sidecar::TESTS),
        ("fec", fec::TESTS),
        ("fuse", fuse::TESTS),
        ("restart", restart::TESTS),
        ("foreign", foreign::TESTS),
        ("partitions", partitions::TESTS),
        ("faults", faults::TESTS),
        ("hangs", hangs::TESTS),
        ("races", races::TESTS),
        ("kernels", kernels::TESTS),
        ("oci", oci::TESTS),
        ("built", built::TESTS),
        ("commands", commands::TESTS),
        ("building", building::TESTS),
        ("fetched", fetched::TESTS),
        ("reflink", reflink::TESTS),
        ("power", power::TESTS),
        ("real_model", real_model::TESTS),
    ];
    let trials = groups
        .iter()
        .flat_map(|(group, tests)| {
            tests.iter().map(move |(name, test)| {
                Trial::test(format!("{group}::{name}"), move || leaving_nothing(*test))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list && conclusion.num_passed + conclusion.num_failed == 0 {
        eprintln!("No test has a name with this in it.");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// A test's name, and what it does.
type Test = (&'static str, fn());

/// Runs a test, and checks that it took back all that it made.
fn leaving_nothing(test: fn()) -> Result<(), Failed> {
    let before = Leftovers::look();
    test();
    before.check();
    Ok(())
}
