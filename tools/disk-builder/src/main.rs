//! Turns a model directory into a disk image with its dm-verity hash tree.

use std::process::ExitCode;

fn main() -> ExitCode {
    disk_builder::cli::main().into()
}
