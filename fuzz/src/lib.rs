//! What the fuzzers run: each module takes any bytes, hands them to a reader of untrusted bytes,
//! and checks what must hold of the outcome. A panic is a finding.
//!
//! `make fuzz` runs them under libFuzzer. The test `replay` runs them over the corpus, on any
//! toolchain, and so does every `make check`; the example `seeds` makes that corpus.

// A broken promise is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

pub mod arguments;
pub mod built_disk;
pub mod disk;
pub mod erofs;
pub mod fec;
pub mod filesystem;
pub mod kernel;
pub mod manifest;
pub mod partitions;
pub mod reader;
pub mod repair;
pub mod sha256_backends;
pub mod superblock;
pub mod verify;

/// A target's name, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("arguments", arguments::run),
    ("disk", disk::run),
    ("erofs", erofs::run),
    ("fec", fec::run),
    ("filesystem", filesystem::run),
    ("kernel", kernel::run),
    ("manifest", manifest::run),
    ("partitions", partitions::run),
    ("reader", reader::run),
    ("repair", repair::run),
    ("sha256_backends", sha256_backends::run),
    ("superblock", superblock::run),
    ("verify", verify::run),
];
