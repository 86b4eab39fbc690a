//! Memory that is going to be needed.
//!
//! The processor finds out by itself that a block is read from its start to its end, but only
//! within a page: each block would begin with a wait for memory.
// To prefetch is unsafe because it takes a pointer.
#![allow(unsafe_code)]

use core::arch::x86_64::_mm_prefetch;

use super::salted::Chunk;

/// Brings the chunk that lies `ahead` bytes after this one into the cache that `HINT` says, if
/// there is memory at that place.
#[inline]
pub(super) fn prefetch<const HINT: i32>(chunk: &Chunk, ahead: usize) {
    // SAFETY: a hint. It reads nothing and cannot fail, whatever the address.
    unsafe { _mm_prefetch::<HINT>(chunk.as_ptr().wrapping_add(ahead).cast()) }
}
