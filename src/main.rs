//! `disk-mounter`: mounts disks with model weights under dm-verity.
fn main() {}
