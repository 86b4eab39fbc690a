//! `inspect`: what the superblocks of a disk claim. Nothing of it is verified.

use std::path::Path;

use disk_mounter::claims::Claims;

use crate::medium::{Medium, MediumError};

/// Opens an image or block device and reads its superblocks, see [`Claims::read`].
pub fn inspect(image: &Path, hash_offset: Option<u64>) -> Result<Claims, MediumError> {
    Claims::read(&Medium::open(image)?, hash_offset)
}
