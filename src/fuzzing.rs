//! For the fuzzers only: the readers of what the kernel says, which have no other way in from
//! outside.

use std::path::PathBuf;

use crate::{VerityStatus, mountinfo, uevent};
use dm_verity::DeviceNumber;

/// The device number, place and filesystem type of each mount in the text of a mountinfo.
pub fn mounts(text: &[u8]) -> Vec<(DeviceNumber, PathBuf, String)> {
    mountinfo::parse(text)
        .into_iter()
        .map(|mount| (mount.device, mount.mount_point, mount.fs_type))
        .collect()
}

/// The corrupt block of a device in a uevent: whether it is one of the data, and its number.
pub fn corrupt_block(message: &[u8], device: DeviceNumber) -> Option<(bool, u64)> {
    uevent::parse(message, device).map(|block| match block {
        uevent::CorruptBlock::Data(block) => (true, block),
        uevent::CorruptBlock::Hash(block) => (false, block),
    })
}

/// What a verity target's status line says.
pub fn status(text: &str) -> VerityStatus {
    VerityStatus::of_target(text)
}
