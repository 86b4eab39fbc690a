//! Has an image share the blocks of the model's files, where the filesystem can do that (XFS,
//! btrfs): nothing is copied, and it takes no space.

use std::{fs::File, io};

use model_disk::erofs::{BLOCK_SIZE, ExtentSource};

use super::{disk_plan::DiskPlan, shared_parts::SharedParts, source::failed};
use crate::{
    engine::{HashTreeError, Workers},
    sys::clone::clone_range,
};

/// A smaller file is copied sooner than shared.
const MIN_SHARED: u64 = 64 << 10;

/// What could be shared.
#[derive(Debug, Default)]
pub(super) struct Reflinked {
    /// These parts of the image are there.
    pub(super) parts: SharedParts,
    /// Why the rest could not be shared, where that was tried.
    pub(super) refused: Option<io::Error>,
}

/// Shares the whole blocks of each file with the new file `image`, until one is refused: most often
/// the first, by a filesystem that cannot share.
pub(super) fn reflink(
    planned: &DiskPlan,
    image: &File,
    workers: &Workers,
) -> Result<Reflinked, HashTreeError> {
    let mut reflinked = Reflinked::default();
    for extent in planned.image.extents() {
        let ExtentSource::File(index) = extent.source else {
            continue;
        };
        if extent.length < MIN_SHARED {
            continue;
        }
        workers.check_interrupted()?;
        let file = planned.model.open(index).map_err(failed)?;
        // A block that is not full is followed by zeros in the image.
        let length = extent.length - extent.length % BLOCK_SIZE;
        match clone_range(file.file(), 0..length, image, extent.offset) {
            Ok(()) => reflinked.parts.push(extent.offset..extent.offset + length),
            Err(error) => {
                reflinked.refused = Some(error);
                break;
            }
        }
    }
    Ok(reflinked)
}
