//! Hostile disks: what the mounter says to them before the kernel has a part in it. No privileges
//! are needed. What only the kernel can tell is among the privileged tests.
//!
//! All cases of a class are tried, and how many disks that were is printed in the end.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

mod disk_file;
mod filesystem;
mod partitions;
mod place;
mod publisher;
mod superblock;
mod tree;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let groups: [(&str, &[Test]); 6] = [
        ("superblock", superblock::TESTS),
        ("tree", tree::TESTS),
        ("place", place::TESTS),
        ("filesystem", filesystem::TESTS),
        ("partitions", partitions::TESTS),
        ("publisher", publisher::TESTS),
    ];
    let trials = groups
        .into_iter()
        .flat_map(|(group, tests)| {
            tests.iter().map(move |(name, test)| {
                let test = *test;
                Trial::test(format!("{group}::{name}"), move || {
                    test();
                    Ok(())
                })
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    println!("hostile disks tried: {}\n", disk_file::tried());
    conclusion.exit_code()
}

/// A test's name, and what it does.
type Test = (&'static str, fn());
