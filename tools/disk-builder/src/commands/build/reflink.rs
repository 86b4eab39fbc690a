//! Has an image share the blocks of the model's files, where the filesystem can do that (XFS,
//! btrfs): nothing is copied, and it takes no space.
//!
//! The root hash must be that of the image. What is shared is read from the model's files, which are
//! in the page cache more often than the new image; when all has been read, the filesystem is asked
//! whether file and image still share each block. Whatever was written to the file meanwhile is on
//! other blocks. A filesystem that does not tell has the image read instead.

use std::{fs::File, io};

use model_disk::erofs::{BLOCK_SIZE, ExtentSource};

use super::{disk_plan::DiskPlan, local_files::failed, shared_parts::SharedParts};
#[cfg(feature = "hub")]
use crate::remote::KeptStarts;
use crate::{
    engine::{HashTreeError, SourceError, Workers},
    model::SourceFile,
    sys::{
        clone::clone_range,
        fiemap::{MappedBytes, mapped_at},
    },
};

/// A smaller file is copied sooner than shared.
const MIN_SHARED: u64 = 64 << 10;

/// What of an image is there before it is written.
#[derive(Debug, Default)]
pub(super) struct AlreadyThere {
    /// These parts of the image are there.
    pub(super) parts: SharedParts,
    /// They are of these files.
    files: Vec<SharedFile>,
    /// Or they are these starts of files, from an earlier run.
    #[cfg(feature = "hub")]
    pub(super) starts: KeptStarts,
    /// The filesystem tells which blocks a file has.
    tells: bool,
    /// Why the rest could not be shared, where that was tried.
    pub(super) refused: Option<io::Error>,
}

/// The start of a file, in an image too.
#[derive(Clone, Copy, Debug)]
struct SharedFile {
    /// Its place in the list.
    index: usize,
    /// Where it is in the image.
    at: u64,
    length: u64,
}

/// Shares the whole blocks of each file with the new file `image`, until one is refused: most often
/// the first, by a filesystem that cannot share.
pub(super) fn reflink(
    planned: &DiskPlan,
    image: &File,
    workers: &Workers,
) -> Result<AlreadyThere, HashTreeError> {
    let mut reflinked = AlreadyThere::default();
    let Some(model) = planned.model.directory() else {
        return Ok(AlreadyThere::refused("the model is not on this machine"));
    };
    for extent in planned.image.extents() {
        let ExtentSource::File(index) = extent.source else {
            continue;
        };
        if extent.length < MIN_SHARED {
            continue;
        }
        workers.check_interrupted()?;
        let file = model.open(index).map_err(failed)?;
        // A block that is not full is followed by zeros in the image.
        let length = extent.length - extent.length % BLOCK_SIZE;
        if let Err(error) = clone_range(file.file(), 0..length, image, extent.offset) {
            reflinked.refused = Some(error);
            break;
        }
        let shared = SharedFile {
            index,
            at: extent.offset,
            length,
        };
        if reflinked.files.is_empty() {
            reflinked.tells = shared
                .is_still_shared(&file, image)
                .is_ok_and(|shared| shared.is_some());
        }
        reflinked.files.push(shared);
        reflinked.parts.push(shared.at..shared.at + length);
    }
    Ok(reflinked)
}

impl AlreadyThere {
    /// Nothing, for this reason.
    pub(super) fn refused(reason: &'static str) -> Self {
        Self {
            refused: Some(io::Error::other(reason)),
            ..Self::default()
        }
    }

    /// What an earlier run has written: starts of files, on these parts of the image.
    #[cfg(feature = "hub")]
    pub(super) fn kept(parts: SharedParts, starts: KeptStarts) -> Self {
        Self {
            parts,
            starts,
            ..Self::default()
        }
    }

    /// What must be read from the image.
    pub(super) fn parts_to_read(&self) -> SharedParts {
        if self.tells {
            SharedParts::default()
        } else {
            self.parts.clone()
        }
    }

    /// To be asked when all has been read: an error where that was not what is in the image.
    pub(super) fn check(&self, planned: &DiskPlan, image: &File) -> Result<(), HashTreeError> {
        let Some(model) = planned.model.directory() else {
            return Ok(());
        };
        for shared in self.files.iter().filter(|_| self.tells) {
            let file = model.open(shared.index).map_err(failed)?;
            let path = || file.path().to_owned();
            match shared.is_still_shared(&file, image) {
                Ok(Some(true)) => {}
                Ok(_) => return Err(SourceError::Changed(path()).into()),
                Err(source) => {
                    let (path, offset) = (path(), 0);
                    let error = SourceError::Read {
                        path,
                        offset,
                        source,
                    };
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

impl SharedFile {
    /// None where the filesystem does not tell.
    fn is_still_shared(self, file: &SourceFile, image: &File) -> io::Result<Option<bool>> {
        let Self { at, length, .. } = self;
        is_same(
            length,
            |offset| mapped_at(file.file(), offset, length),
            |offset| {
                let mapped = mapped_at(image, at + offset, at + length)?;
                Ok(mapped.map(|mapped| MappedBytes {
                    end: mapped.end - at,
                    ..mapped
                }))
            },
        )
    }
}

/// Whether so many bytes are on the same blocks by two maps, each asked for what there is from an
/// offset on.
fn is_same(
    length: u64,
    one: impl Fn(u64) -> io::Result<Option<MappedBytes>>,
    other: impl Fn(u64) -> io::Result<Option<MappedBytes>>,
) -> io::Result<Option<bool>> {
    let mut offset = 0;
    while offset < length {
        let (Some(one), Some(other)) = (one(offset)?, other(offset)?) else {
            return Ok(None);
        };
        if one.on_disk != other.on_disk {
            return Ok(Some(false));
        }
        offset = one.end.min(other.end);
    }
    Ok(Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in extents: where each ends, and where it is on the disk.
    fn map(extents: &[(u64, Option<u64>)]) -> impl Fn(u64) -> io::Result<Option<MappedBytes>> {
        move |offset| {
            let place = extents.iter().position(|(end, _)| *end > offset).unwrap();
            let start = if place == 0 { 0 } else { extents[place - 1].0 };
            let (end, disk) = extents[place];
            let on_disk = disk.map(|disk| disk + offset - start);
            Ok(Some(MappedBytes { on_disk, end }))
        }
    }

    #[test]
    fn blocks_are_compared_wherever_extents_end() {
        let file = [(10, Some(100)), (20, None), (40, Some(500))];
        let same = |other: &[(u64, Option<u64>)]| is_same(40, map(&file), map(other)).unwrap();
        assert_eq!(same(&file), Some(true));
        // In other pieces.
        let cut = [(4, Some(100)), (10, Some(104)), (30, None), (99, Some(510))];
        assert_eq!(same(&cut), Some(false));
        let cut = [(4, Some(100)), (10, Some(104)), (20, None), (99, Some(500))];
        assert_eq!(same(&cut), Some(true));
        for changed in [
            [(10, Some(101)), (20, None), (40, Some(500))],
            [(10, Some(100)), (20, Some(110)), (40, Some(500))],
            [(10, Some(100)), (39, None), (40, Some(519))],
        ] {
            assert_eq!(same(&changed), Some(false), "{changed:?}");
        }
        assert_eq!(is_same(40, map(&file), |_| Ok(None)).unwrap(), None);
        assert!(is_same(40, map(&file), |_| Err(io::ErrorKind::Other.into())).is_err());
    }
}
