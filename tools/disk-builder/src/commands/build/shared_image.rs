//! An image of which parts are there before it is written.

use super::{shared_parts::SharedParts, source::PlanSource};
use crate::engine::{Extent, FileSource, ImageSink, Sink, SinkError, Source, SourceError};

/// The bytes of an image, some of them from the image itself: those are what is in it, whatever has
/// become of the model's files since they were shared.
pub(super) struct SharedSource<'a> {
    pub(super) plan: PlanSource<'a>,
    /// The image itself.
    pub(super) image: FileSource<'a>,
    /// What is read from it.
    pub(super) parts: &'a SharedParts,
}

impl Source for SharedSource<'_> {
    fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    #[expect(clippy::indexing_slicing, reason = "pieces of what is asked for")]
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        for (piece, shared) in self.parts.cut(offset..offset + buf.len() as u64) {
            let here = &mut buf[(piece.start - offset) as usize..(piece.end - offset) as usize];
            if shared {
                self.image.read_exact_at(here, piece.start)?;
            } else {
                self.plan.read_exact_at(here, piece.start)?;
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        let Some((piece, shared)) = self.parts.cut(offset..self.bytes()).next() else {
            return self.plan.extent_at(offset);
        };
        let extent = if shared {
            self.image.extent_at(offset)?
        } else {
            self.plan.extent_at(offset)?
        };
        Ok(Extent {
            end: extent.end.min(piece.end),
            ..extent
        })
    }

    fn check_unchanged(&self) -> Result<(), SourceError> {
        self.plan.check_unchanged()
    }
}

/// Writes what is not there.
pub(super) struct UnsharedSink<'a> {
    pub(super) image: ImageSink<'a>,
    pub(super) parts: &'a SharedParts,
}

impl Sink for UnsharedSink<'_> {
    fn takes_data(&self) -> bool {
        self.image.takes_data()
    }

    #[expect(clippy::indexing_slicing, reason = "pieces of what is given")]
    fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
        let pieces = self.parts.cut(offset..offset + data.len() as u64);
        for (piece, _) in pieces.filter(|(_, shared)| !shared) {
            let here = (piece.start - offset) as usize..(piece.end - offset) as usize;
            self.image.data(piece.start, &data[here])?;
        }
        Ok(())
    }

    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        self.image.hash_blocks(first, blocks)
    }
}
