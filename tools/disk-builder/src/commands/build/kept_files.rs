//! What an earlier run has left of an image: files that are there, whole, by their digests; and, where
//! what is there is known to be of the same image, starts of files.
//!
//! Where the earlier run has not written yet there are zeros then, so a start ends before the first
//! block of zeros. Zeros of the file itself only have more of it fetched than is missing. The
//! digest of the whole file is checked in the end, as that of any other.

use model_disk::erofs::{BLOCK_SIZE, ExtentSource, ImageExtent};
use rayon::prelude::*;

use super::{reflink::AlreadyThere, shared_parts::SharedParts};
use crate::{
    engine::{FileSource, HashTreeError, Source, Workers},
    remote::{KeptStart, KeptStarts, PIECE, RemoteModel},
};

/// What of `image`, planned so, need not be fetched: whole files, and `starts` of others.
pub(super) fn kept_files(
    extents: &[ImageExtent],
    model: &RemoteModel,
    image: &FileSource<'_>,
    starts: bool,
    workers: &Workers,
) -> Result<AlreadyThere, HashTreeError> {
    let files: Vec<_> = extents
        .iter()
        .filter_map(|extent| match extent.source {
            ExtentSource::File(index) => Some((index, extent)),
            _ => None,
        })
        .collect();
    workers.progress().start(image.bytes());
    let kept = files.par_iter().map(|(index, extent)| {
        let found = find(model, *index, extent, image, workers)?;
        let kept = match found {
            Found::Whole(start) => Some(start),
            Found::Start(start) => Some(start).filter(|start| starts && start.bytes > 0),
            Found::Other => None,
        };
        Ok(kept.map(|start| (*index, *extent, start)))
    });
    let kept: Vec<_> = workers.install(|| kept.collect::<Result<_, HashTreeError>>())?;
    let mut parts = SharedParts::default();
    let mut starts = KeptStarts::new();
    for (index, extent, start) in kept.into_iter().flatten() {
        parts.push(extent.offset..extent.offset + start.bytes);
        starts.insert(index, start);
    }
    Ok(AlreadyThere::kept(parts, starts))
}

/// What there is of a file.
enum Found {
    Whole(KeptStart),
    /// Maybe its start: the pieces before the first that has a block of zeros.
    Start(KeptStart),
    Other,
}

fn find(
    model: &RemoteModel,
    index: usize,
    extent: &ImageExtent,
    image: &FileSource<'_>,
    workers: &Workers,
) -> Result<Found, HashTreeError> {
    let expected = model.digest(index);
    let mut here = KeptStart {
        bytes: 0,
        hasher: expected.hasher(extent.length),
    };
    let mut start = None;
    let mut buffer = vec![0; PIECE.min(extent.length) as usize];
    while here.bytes < extent.length {
        workers.check_interrupted()?;
        buffer.truncate((extent.length - here.bytes) as usize);
        image.read_exact_at(&mut buffer, extent.offset + here.bytes)?;
        if start.is_none() && has_zero_block(&buffer) {
            start = Some(here.clone());
        }
        // Where nothing has been written yet, nothing more needs to be read.
        if here.bytes == 0 && is_zero(&buffer) {
            return Ok(Found::Other);
        }
        here.hasher.update(&buffer);
        here.bytes += buffer.len() as u64;
        workers.progress().advance(buffer.len() as u64);
    }
    if here.hasher.clone().finish() == expected {
        return Ok(Found::Whole(here));
    }
    Ok(start.map_or(Found::Other, Found::Start))
}

/// Whether there is something that may not have been written.
fn has_zero_block(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK_SIZE as usize).any(is_zero)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros() {
        let mut bytes = vec![0; 10_000];
        bytes[0] = 1;
        bytes[5000] = 1;
        // The last block is not full.
        assert!(has_zero_block(&bytes));
        bytes[9999] = 1;
        assert!(!has_zero_block(&bytes));
        bytes[5000] = 0;
        assert!(has_zero_block(&bytes));
    }
}
