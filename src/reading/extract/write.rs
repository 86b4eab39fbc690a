//! Files are written, in parallel.

use std::{
    collections::BTreeSet,
    num::NonZero,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use model_disk::{
    AlignedBuffer, Progress,
    erofs::{ErofsKind, ErofsNode},
};
use rustix::fs::FileType;

use super::{
    super::{
        VerifiedFiles,
        jobs::{JobQueue, run_jobs},
        parts::{BUFFER_BYTES, parts},
        selection::Selection,
        tree::FILE_MODE,
    },
    ExtractError,
    destination::{Destination, PartFile},
    link_target,
    sparse_file::{MIN_DIRECT, SparseFile},
};

/// What is written where.
pub(super) struct Writing<'a> {
    pub(super) files: &'a VerifiedFiles,
    pub(super) selection: &'a Selection,
    pub(super) destination: &'a Destination,
    /// Where an earlier run is continued: those of the files that are there, as long as they should be,
    /// that must be written all the same.
    pub(super) different: Option<BTreeSet<Vec<u8>>>,
    pub(super) progress: &'a Progress,
}

/// A part of a file that is to be written.
struct UnfinishedPart<'a> {
    file: Arc<UnfinishedFile<'a>>,
    range: Range<u64>,
}

/// A file that is not whole yet.
struct UnfinishedFile<'a> {
    path: Vec<u8>,
    node: ErofsNode,
    /// Made by the thread that comes first; none when it is in its place.
    part: Mutex<Option<(PartFile<'a>, Arc<SparseFile>)>>,
    /// How many of its parts are to be written yet.
    left: AtomicU64,
}

impl<'a> Writing<'a> {
    /// Writes everything. How many files were kept.
    pub(super) fn run(&self, threads: NonZero<usize>) -> Result<u64, ExtractError> {
        let mut kept: u64 = 0;
        run_jobs(
            threads,
            AlignedBuffer::default,
            |buffer, part| self.part(&part, buffer),
            |queue| {
                self.selection.visit(self.files, |path, node| {
                    match node.kind() {
                        ErofsKind::Directory => self.destination.tree().make_directory(path)?,
                        ErofsKind::Link => {
                            let target = link_target(self.files, path, node)?;
                            self.destination.link(&target)?.put(path)?;
                        }
                        _ if self.is_there(path, node)? => {
                            kept += 1;
                            self.progress.advance(node.size());
                        }
                        _ => return self.file(path, node, queue),
                    }
                    Ok(true)
                })
            },
        )?;
        Ok(kept)
    }

    /// Whether a file was found to be what it should.
    fn is_there(&self, path: &[u8], node: &ErofsNode) -> Result<bool, ExtractError> {
        let Some(different) = &self.different else {
            return Ok(false);
        };
        let Some(found) = self.destination.tree().look(path)? else {
            return Ok(false);
        };
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let same_mode = found.st_mode & 0o7777 == FILE_MODE;
        let same_size = found.st_size.cast_unsigned() == node.size();
        Ok(is_file && same_mode && same_size && !different.contains(path))
    }

    /// Hands out the parts of a file. False where some job has failed.
    fn file(
        &self,
        path: &[u8],
        node: &ErofsNode,
        queue: &JobQueue<'_, UnfinishedPart<'a>>,
    ) -> Result<bool, ExtractError> {
        let parts = parts(node.size());
        if parts.len() == 0 {
            let (part, _) = self.destination.create()?;
            part.put(path)?;
            return Ok(true);
        }
        let file = Arc::new(UnfinishedFile {
            path: path.to_owned(),
            node: node.clone(),
            part: Mutex::new(None),
            left: AtomicU64::new(parts.len() as u64),
        });
        let mut parts = parts;
        Ok(parts.all(|range| {
            let file = Arc::clone(&file);
            queue.add(UnfinishedPart { file, range })
        }))
    }

    /// Writes a part of a file, and puts the file where it belongs if it was the last.
    fn part(
        &self,
        part: &UnfinishedPart<'a>,
        buffer: &mut AlignedBuffer,
    ) -> Result<(), ExtractError> {
        let file = &part.file;
        let out = self.open(file)?;
        let mut offset = part.range.start;
        let extents = self.files.view.extents(&file.node, part.range.clone());
        let extents = extents.map_err(|error| self.files.file_failed(&file.path, error))?;
        if extents.iter().all(|extent| extent.at.is_none()) {
            // Nothing of it stands on the disk, and nothing is to be written.
            self.progress.advance(part.range.end - offset);
            offset = part.range.end;
        }
        let mut out = out.part(offset..part.range.end);
        while offset < part.range.end {
            let length = (part.range.end - offset).min(BUFFER_BYTES as u64) as usize;
            let bytes = buffer.bytes(length);
            let read = self.files.view.read(&file.node, bytes, offset);
            read.map_err(|error| self.files.file_failed(&file.path, error))?;
            let written = out.write(bytes);
            written.map_err(self.destination.tree().failed("write", &file.path))?;
            offset += length as u64;
            self.progress.advance(length as u64);
        }
        if file.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut whole = file.part.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((whole, _)) = whole.take() {
                whole.put(&file.path)?;
            }
        }
        Ok(())
    }

    /// The file that takes the bytes, as long as it is going to be.
    fn open(&self, file: &UnfinishedFile<'a>) -> Result<Arc<SparseFile>, ExtractError> {
        let mut part = file.part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, out)) = &*part {
            return Ok(Arc::clone(out));
        }
        let (new, out) = self.destination.create()?;
        let sized = out.set_len(file.node.size());
        sized.map_err(self.destination.tree().failed("write", &file.path))?;
        let is_large = file.node.size() >= MIN_DIRECT as u64;
        let direct = is_large.then(|| new.open_direct()).flatten();
        let out = Arc::new(SparseFile::new(out, direct));
        *part = Some((new, Arc::clone(&out)));
        Ok(out)
    }
}
