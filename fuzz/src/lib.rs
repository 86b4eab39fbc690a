//! What the fuzzers run: each module takes any bytes, hands them to a reader of untrusted bytes,
//! and checks what must hold of the outcome. A panic is a finding.
//!
//! `make fuzz` runs them under libFuzzer. The test `replay` runs them over the corpus, on any
//! toolchain, and so does every `make check`; the example `seeds` makes that corpus.

// A broken promise is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

pub mod arguments;
pub mod disk;
pub mod erofs;
pub mod filesystem;
pub mod kernel;
pub mod manifest;
pub mod model_disk;
pub mod sha256_kernels;
pub mod superblock;
pub mod verify;

#[path = "../../tests/hostile/sound.rs"]
mod sound;

/// A target's name, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("arguments", arguments::run),
    ("disk", disk::run),
    ("erofs", erofs::run),
    ("filesystem", filesystem::run),
    ("kernel", kernel::run),
    ("manifest", manifest::run),
    ("sha256_kernels", sha256_kernels::run),
    ("superblock", superblock::run),
    ("verify", verify::run),
];
