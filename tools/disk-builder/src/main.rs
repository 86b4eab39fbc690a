//! Turns a model directory into a disk image with its dm-verity hash tree.
fn main() {}
