//! Where the bytes of a model's files are read.

use crate::engine::{Extent, SourceError, Window};

/// Reads files by their places in the model's list, for many threads at a time. `length` is how long
/// a file is, as the plan has it.
pub(super) trait FileBytes: Sync {
    /// Fills `buf` with the bytes from `start` on.
    fn read_exact_at(
        &self,
        file: usize,
        length: u64,
        buf: &mut [u8],
        start: u64,
    ) -> Result<(), SourceError>;

    /// What is known without reading of the bytes from `start` on.
    fn extent_at(&self, _file: usize, length: u64, _start: u64) -> Result<Extent, SourceError> {
        Ok(Extent {
            zeros: false,
            end: length,
        })
    }

    /// As [`Source::cached`](crate::engine::Source::cached).
    fn cached(&self, _file: usize, _length: u64, _start: u64, _bytes: usize) -> Option<Window> {
        None
    }

    /// As [`Source::give_up`](crate::engine::Source::give_up).
    fn give_up(&self) {}

    /// Called when all has been read: an error where it was not what it should be.
    fn check(&self) -> Result<(), SourceError>;
}
