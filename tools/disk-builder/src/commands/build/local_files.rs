//! The files of a model directory.

use super::{file_bytes::FileBytes, open_files::OpenFiles};
use crate::{
    engine::{Extent, FileSource, Source, SourceError, Window},
    model::{Model, ReadError, SourceFile},
};

/// A smaller file is not asked for holes: asking costs as much as reading.
const MIN_SPARSE: u64 = 256 << 10;

/// Reads the files of a model directory.
pub(super) struct LocalFiles<'a> {
    model: &'a Model,
    files: OpenFiles<'a>,
    find_holes: bool,
}

impl<'a> LocalFiles<'a> {
    /// Without `find_holes`, those are read as any data.
    pub(super) fn new(model: &'a Model, find_holes: bool) -> Self {
        Self {
            model,
            files: OpenFiles::new(model),
            find_holes,
        }
    }
}

impl FileBytes for LocalFiles<'_> {
    fn read_exact_at(
        &self,
        file: usize,
        length: u64,
        buf: &mut [u8],
        start: u64,
    ) -> Result<(), SourceError> {
        if buf.len() as u64 == length {
            let file = self.files.once(file).map_err(failed)?;
            return source(&file, length).read_exact_at(buf, start);
        }
        let open = self.files.get(file).map_err(failed)?;
        source(&open.file, length).read_exact_at(buf, start)
    }

    fn extent_at(&self, file: usize, length: u64, start: u64) -> Result<Extent, SourceError> {
        if !self.find_holes || length < MIN_SPARSE {
            return Ok(Extent {
                zeros: false,
                end: length,
            });
        }
        let open = self.files.get(file).map_err(failed)?;
        source(&open.file, length).extent_with(&open.extents, start)
    }

    fn cached(&self, file: usize, length: u64, start: u64, bytes: usize) -> Option<Window> {
        let open = self.files.get(file).ok()?;
        source(&open.file, length).cached(start, bytes)
    }

    /// Looks at every file again: one may have changed after it was read, or before.
    fn check(&self) -> Result<(), SourceError> {
        self.model.check_unchanged().map_err(failed)
    }
}

fn source(file: &SourceFile, length: u64) -> FileSource<'_> {
    FileSource::new(file.file(), file.path(), length, Some(length))
}

pub(super) fn failed(error: ReadError) -> SourceError {
    match error {
        ReadError::File(error) => error.into(),
        ReadError::Changed(path) | ReadError::NotAFile(path) | ReadError::NoSize { path, .. } => {
            SourceError::Changed(path)
        }
    }
}
