//! Places that cannot be read.

use std::hash::{BuildHasher, Hasher, RandomState};

use dm_verity::BlockSize;

use super::{
    super::{Extent, Source, SourceError, Window},
    read,
};

/// A source in which blocks that cannot be read have bytes that nobody can have foreseen, and so
/// another digest than they should have.
pub(super) struct WithoutFaults<'a> {
    source: &'a dyn Source,
    block_size: BlockSize,
    /// Whether it has the holes that are known.
    holes: bool,
    noise: [u8; 8],
}

impl<'a> WithoutFaults<'a> {
    pub(super) fn new(source: &'a dyn Source, block_size: BlockSize, holes: bool) -> Self {
        let noise = RandomState::new().build_hasher().finish();
        Self {
            source,
            block_size,
            holes,
            noise: noise.to_le_bytes(),
        }
    }
}

impl Source for WithoutFaults<'_> {
    fn bytes(&self) -> u64 {
        self.source.bytes()
    }

    /// `offset` is that of a block, as it is for data and hash blocks alike.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        if read(self.source, buf, offset)? {
            return Ok(());
        }
        let places = (offset..).step_by(self.block_size.as_usize());
        for (block, place) in buf.chunks_mut(self.block_size.as_usize()).zip(places) {
            if !read(self.source, block, place)? {
                let noise = self.noise.iter().cycle();
                block
                    .iter_mut()
                    .zip(noise)
                    .for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    fn cached(&self, offset: u64, length: usize) -> Option<Window> {
        self.source.cached(offset, length)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        if self.holes {
            return self.source.extent_at(offset);
        }
        Ok(Extent {
            zeros: false,
            end: self.bytes(),
        })
    }
}
