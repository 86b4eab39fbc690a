//! Memory for reads and writes past the page cache.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const PAGE_BYTES: usize = 4096;

/// The alignment that a device may ask of memory that it is to read from itself.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4096))]
struct BufferPage([u8; PAGE_BYTES]);

/// A thread's memory that starts at a page, so that it can be written past the page cache.
#[derive(Default)]
pub struct AlignedBuffer(Vec<BufferPage>);

impl AlignedBuffer {
    /// So many bytes of it; what is in them is of no meaning.
    #[expect(clippy::indexing_slicing, reason = "grown to that length just before")]
    pub fn bytes(&mut self, length: usize) -> &mut [u8] {
        let pages = length.div_ceil(PAGE_BYTES);
        if self.0.len() < pages {
            self.0.resize(pages, BufferPage([0; PAGE_BYTES]));
        }
        &mut self.0.as_mut_slice().as_mut_bytes()[..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_as_long_as_asked() {
        let mut buffer = AlignedBuffer::default();
        for length in [0, 1, 512, 4096, 1 << 20, 5000] {
            let bytes = buffer.bytes(length);
            assert_eq!((bytes.len(), bytes.as_ptr().addr() % 4096), (length, 0));
        }
    }
}
