//! What an earlier run has left of an image: the files that are there, whole, by their digests.

use model_disk::erofs::{ExtentSource, ImageExtent};
use rayon::prelude::*;

use super::shared_parts::SharedParts;
use crate::{
    engine::{FileSource, HashTreeError, Source, Workers},
    remote::RemoteModel,
};

/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// The parts of `image`, planned so, that need not be fetched.
pub(super) fn kept_files(
    extents: &[ImageExtent],
    model: &RemoteModel,
    image: &FileSource<'_>,
    workers: &Workers,
) -> Result<SharedParts, HashTreeError> {
    let files: Vec<_> = extents
        .iter()
        .filter_map(|extent| match extent.source {
            ExtentSource::File(index) => Some((index, extent)),
            _ => None,
        })
        .collect();
    workers.progress().start(image.bytes());
    let kept = files.par_iter().map(|(index, extent)| {
        let is_kept = is_there(model, *index, extent, image, workers)?;
        Ok(is_kept.then_some(extent))
    });
    let kept: Vec<_> = workers.install(|| kept.collect::<Result<_, HashTreeError>>())?;
    let mut parts = SharedParts::default();
    for extent in kept.into_iter().flatten() {
        parts.push(extent.offset..extent.end());
    }
    Ok(parts)
}

fn is_there(
    model: &RemoteModel,
    index: usize,
    extent: &ImageExtent,
    image: &FileSource<'_>,
    workers: &Workers,
) -> Result<bool, HashTreeError> {
    let expected = model.digest(index);
    let mut hasher = expected.hasher(extent.length);
    let mut buffer = vec![0; PIECE.min(extent.length) as usize];
    let mut at = extent.offset;
    while at < extent.end() {
        workers.check_interrupted()?;
        buffer.truncate((extent.end() - at) as usize);
        image.read_exact_at(&mut buffer, at)?;
        // Where nothing has been written yet, nothing more needs to be read.
        if at == extent.offset && buffer.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        hasher.update(&buffer);
        at += buffer.len() as u64;
        workers.progress().advance(buffer.len() as u64);
    }
    Ok(hasher.finish() == expected)
}
