//! The image of a model, read before it is written.

use crate::{
    engine::{Extent, FileSource, Source, SourceError},
    image::{self, Plan},
    model::{Model, ReadError, SourceFile},
};

use super::open_files::OpenFiles;

/// A smaller file is not asked for holes: asking costs as much as reading.
const MIN_SPARSE: u64 = 256 << 10;

/// How far to look for the end of a stretch of data that goes through several files: as far as is
/// read at once.
const LOOK_AHEAD: u64 = 1 << 20;

/// Gives the bytes of a planned image: its metadata from memory, its files from the model.
pub(super) struct PlanSource<'a> {
    plan: &'a Plan,
    model: &'a Model,
    files: OpenFiles<'a>,
    find_holes: bool,
}

impl<'a> PlanSource<'a> {
    /// The image `plan` of `model`. Without `find_holes`, those are read as any data.
    pub(super) fn new(model: &'a Model, plan: &'a Plan, find_holes: bool) -> Self {
        Self {
            plan,
            model,
            files: OpenFiles::new(model),
            find_holes,
        }
    }

    /// What is known of an extent of the plan from `offset` (in the image) on.
    fn stretch(&self, extent: &image::Extent, offset: u64) -> Result<Extent, SourceError> {
        match extent.source {
            image::Source::File(index) if self.find_holes && extent.length >= MIN_SPARSE => {
                let file = self.files.get(index).map_err(failed)?;
                let found = source(&file, extent).extent_at(offset - extent.offset)?;
                Ok(Extent {
                    end: extent.offset + found.end,
                    ..found
                })
            }
            // Those zeros only fill up a block.
            _ => Ok(Extent {
                zeros: false,
                end: extent.end(),
            }),
        }
    }

    /// Fills `buf` from an extent, from `offset` (in the image) on.
    fn read(&self, extent: &image::Extent, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let start = offset - extent.offset;
        match extent.source {
            image::Source::Metadata(place) => {
                let place = place + start as usize;
                buf.copy_from_slice(&self.plan.metadata()[place..place + buf.len()]);
                Ok(())
            }
            image::Source::Zeros => {
                buf.fill(0);
                Ok(())
            }
            image::Source::File(index) if buf.len() as u64 == extent.length => {
                let file = self.files.once(index).map_err(failed)?;
                source(&file, extent).read_exact_at(buf, start)
            }
            image::Source::File(index) => {
                let file = self.files.get(index).map_err(failed)?;
                source(&file, extent).read_exact_at(buf, start)
            }
        }
    }
}

impl Source for PlanSource<'_> {
    fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let end = offset + buf.len() as u64;
        for extent in self.plan.extents_in(offset..end) {
            let from = extent.offset.max(offset);
            let to = extent.end().min(end);
            let part = &mut buf[(from - offset) as usize..(to - offset) as usize];
            self.read(extent, from, part)?;
        }
        Ok(())
    }

    /// Data of one file after the other is one stretch, so that many small files are read and
    /// hashed at once.
    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        let mut end = offset;
        for extent in self.plan.extents_in(offset..offset + LOOK_AHEAD) {
            let stretch = self.stretch(extent, end)?;
            if stretch.zeros {
                // Data before it comes first.
                return Ok(if end == offset { stretch } else { data(end) });
            }
            end = stretch.end;
            if end < extent.end() {
                break;
            }
        }
        Ok(data(end))
    }

    /// Looks at every file again: one may have changed after it was read, or before.
    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.model.check_unchanged().map_err(failed)
    }
}

fn data(end: u64) -> Extent {
    Extent { zeros: false, end }
}

fn source<'a>(file: &'a SourceFile, extent: &image::Extent) -> FileSource<'a> {
    FileSource::new(file.file(), file.path(), extent.length, Some(extent.length))
}

fn failed(error: ReadError) -> SourceError {
    match error {
        ReadError::Io { path, source } => SourceError::Read {
            path,
            offset: 0,
            source,
        },
        ReadError::Changed(path) | ReadError::NotAFile(path) => SourceError::Changed(path),
    }
}
