//! What says of which image the bytes are that a run with `--resume` leaves in a file.
//!
//! It stands where the first block of the disk comes last of all, so it goes when the disk is whole.
//! Before it is there, all is cleared that is not kept; from then on a byte that is not zero has been
//! written for this image.

use std::{fs::File, io, os::unix::fs::FileExt};

use model_disk::erofs::{BLOCK_SIZE, ExtentSource, ImagePlan};
use nix::{errno::Errno, fcntl::FallocateFlags};
use sha2::{Digest, Sha256};

use super::{preallocate::allocate, shared_parts::SharedParts};
use crate::{
    engine::{FileSource, Source, SourceError},
    remote::RemoteModel,
};

/// How it begins. It is shorter than what stands before a filesystem's superblock.
const MAGIC: &[u8; 20] = b"disk-builder resume\0";

/// The block with the marker of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResumeMarker(Vec<u8>);

impl ResumeMarker {
    /// That of the image of a model, by where each file is in it and what each must be.
    #[expect(clippy::indexing_slicing, reason = "a file's place in the list")]
    pub(super) fn of(image: &ImagePlan, model: &RemoteModel) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(image.bytes().to_le_bytes());
        for extent in image.extents() {
            let ExtentSource::File(index) = extent.source else {
                continue;
            };
            let path = model.files()[index].path.as_bytes();
            for number in [extent.offset, extent.length, path.len() as u64] {
                hasher.update(number.to_le_bytes());
            }
            hasher.update(path);
            hasher.update(format!("{}\n", model.digest(index)));
        }
        Self::with(&hasher.finalize())
    }

    fn with(digest: &[u8]) -> Self {
        let mut block = [MAGIC, digest].concat();
        block.resize(BLOCK_SIZE as usize, 0);
        Self(block)
    }

    /// Whether it stands there.
    pub(super) fn is_on(&self, image: &FileSource<'_>) -> Result<bool, SourceError> {
        let mut found = vec![0; self.0.len()];
        image.read_exact_at(&mut found, 0)?;
        Ok(found == self.0)
    }

    /// Has `file`, of so many bytes, hold this marker and what is `kept`, and nothing else. Where the
    /// filesystem cannot clear the rest there is no marker either, and the next run keeps whole files
    /// only.
    pub(super) fn put(&self, file: &File, kept: &SharedParts, bytes: u64) -> io::Result<()> {
        let is_clear = clear(file, kept, bytes)?;
        // What was there before must not come back under this marker, whenever the power goes.
        file.sync_data()?;
        if is_clear {
            file.write_all_at(&self.0, 0)?;
        } else {
            Self::remove(file)?;
        }
        // Nor may what comes now stand under another.
        file.sync_data()
    }

    /// No file is gone on with in its middle.
    pub(super) fn remove(file: &File) -> io::Result<()> {
        file.write_all_at(&[0; BLOCK_SIZE as usize], 0)
    }
}

/// Has all be zeros that is not `kept`; says whether the filesystem can do that.
fn clear(file: &File, kept: &SharedParts, bytes: u64) -> io::Result<bool> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    for (range, _) in kept.cut(0..bytes).filter(|(_, kept)| !kept) {
        match allocate(file, flags, range) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(false),
            cleared => cleared?,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_cleared() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 40_000], 0).unwrap();
        let mut kept = SharedParts::default();
        kept.push(8192..8192 + 5000);
        let marker = ResumeMarker::with(&[1; 32]);
        marker.put(&file, &kept, 40_000).unwrap();
        let mut found = vec![0; 40_000];
        file.read_exact_at(&mut found, 0).unwrap();
        let mut expected = marker.0.clone();
        expected.resize(8192, 0);
        expected.extend([7; 5000]);
        expected.resize(40_000, 0);
        assert!(found == expected);
    }

    /// Nothing takes it for a filesystem, whose superblock starts after 1024 bytes.
    #[test]
    fn it_leaves_the_rest_of_its_block_empty() {
        let marker = ResumeMarker::with(&[0xff; 32]);
        let (start, rest) = marker.0.split_at(52);
        assert!(start.starts_with(MAGIC) && start.ends_with(&[0xff; 32]));
        assert_eq!(rest, [0; 4096 - 52]);
    }
}
