//! Turns a model directory into a disk image with its dm-verity hash tree.

#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    disk_builder::cli::main().into()
}
