//! `inspect`: what the superblocks of a disk claim. Nothing of it is verified.

use std::{path::Path, time::Duration};

use super::{
    device::{Device, DeviceError},
    pause::{Deadline, sleep},
};
use crate::claims::Claims;

/// Opens a disk and reads its superblocks, see [`Claims::read`].
pub fn inspect(path: &Path, hash_offset: Option<u64>) -> Result<Claims, DeviceError> {
    let device = Device::find(path, &Deadline::after(Duration::ZERO), &sleep)?;
    Claims::read(&device, hash_offset)
}
