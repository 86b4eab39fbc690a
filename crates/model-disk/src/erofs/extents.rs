//! The pieces that an image is put together from.

use super::BLOCK_SIZE;

/// A run of an image's bytes that come from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageExtent {
    /// Where it starts in the image, in bytes.
    pub offset: u64,
    /// How long it is in bytes; never zero.
    pub length: u64,
    /// Where the bytes come from.
    pub source: ExtentSource,
}

/// Where bytes of an image come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentSource {
    /// From [`ImagePlan::metadata`](super::ImagePlan::metadata), from this place on.
    Metadata(usize),
    /// From a file, the whole of it: its place in the list of files.
    File(usize),
    /// From nowhere: they are zero.
    Zeros,
}

impl ImageExtent {
    /// Where it ends in the image, in bytes.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "an image has less than 2^44 bytes"
    )]
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// ImageExtents in the making, one right after the other.
#[derive(Default)]
pub(super) struct ImageExtents(Vec<ImageExtent>);

impl ImageExtents {
    /// Where the next one starts.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, ImageExtent::end)
    }

    /// Adds one, unless it is empty, and zeros up to the next block.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "an image has less than 2^44 bytes"
    )]
    pub(super) fn push_blocks(&mut self, source: ExtentSource, length: u64) {
        self.push(source, length);
        let end = self.end();
        self.push(ExtentSource::Zeros, end.next_multiple_of(BLOCK_SIZE) - end);
    }

    fn push(&mut self, source: ExtentSource, length: u64) {
        if length > 0 {
            self.0.push(ImageExtent {
                offset: self.end(),
                length,
                source,
            });
        }
    }

    pub(super) fn into_vec(self) -> Vec<ImageExtent> {
        self.0
    }
}
