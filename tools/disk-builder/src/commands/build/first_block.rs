//! What says that there is a disk comes last: until then a block device has nothing on it, and whoever
//! was stopped may begin again.

use std::sync::{Mutex, PoisonError};

use model_disk::erofs::BLOCK_SIZE;

use crate::engine::{CoveredPart, Sink, SinkError, Source, SourceError};

/// Keeps the first block of an image, which has the filesystem's superblock, for later.
pub(super) struct FirstBlockLast<S> {
    sink: S,
    first: Mutex<Vec<u8>>,
}

impl<S: Sink> FirstBlockLast<S> {
    /// All other blocks go to `sink`.
    pub(super) fn new(sink: S) -> Self {
        Self {
            sink,
            first: Mutex::default(),
        }
    }

    /// The first block, for parity of all blocks.
    pub(super) fn covered_first(&self) -> CoveredPart<'static> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        CoveredPart {
            blocks: 0..1,
            source: Box::new(FirstBlock(first.clone())),
            offset: 0,
        }
    }

    /// The first block.
    pub(super) fn into_first(self) -> Vec<u8> {
        let first = self.first.into_inner();
        first.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sink> Sink for FirstBlockLast<S> {
    fn takes_data(&self) -> bool {
        self.sink.takes_data()
    }

    fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
        match data.split_at_checked(BLOCK_SIZE as usize) {
            Some((first, rest)) if offset == 0 => {
                *self.first.lock().unwrap_or_else(PoisonError::into_inner) = first.to_vec();
                self.sink.data(BLOCK_SIZE, rest)
            }
            _ => self.sink.data(offset, data),
        }
    }

    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        self.sink.hash_blocks(first, blocks)
    }

    fn finish(&self) -> Result<(), SinkError> {
        self.sink.finish()
    }
}

/// A block in memory.
struct FirstBlock(Vec<u8>);

impl Source for FirstBlock {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], _offset: u64) -> Result<(), SourceError> {
        buf.iter_mut()
            .zip(&self.0)
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes where it would write, and how much.
    #[derive(Default)]
    struct Noted(Mutex<Vec<(u64, usize)>>);

    impl Sink for Noted {
        fn takes_data(&self) -> bool {
            true
        }

        fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
            self.0.lock().unwrap().push((offset, data.len()));
            Ok(())
        }

        fn hash_blocks(&self, _first: u64, _blocks: &[u8]) -> Result<(), SinkError> {
            Ok(())
        }

        fn finish(&self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    #[test]
    fn all_but_the_first_block_is_written() {
        let sink = FirstBlockLast::new(Noted::default());
        sink.data(1 << 20, &[2; 8192]).unwrap();
        sink.data(0, &[[1; 4096], [2; 4096]].concat()).unwrap();
        let noted = sink.sink.0.lock().unwrap().clone();
        assert_eq!(noted, [(1 << 20, 8192), (4096, 4096)]);
        assert_eq!(sink.into_first(), [1; 4096]);
    }
}
