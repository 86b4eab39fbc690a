//! Hash blocks whose digests come in any order. No I/O.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The hash blocks that some, and not all, digests are known of.
///
/// Each digest is given once. What is kept is as much as was given.
#[derive(Debug, Default)]
pub(super) struct OpenBlocks(Mutex<HashMap<(usize, u64), OpenBlock>>);

#[derive(Debug, Default)]
struct OpenBlock {
    /// Each with where it starts in the block.
    parts: Vec<(usize, Box<[u8]>)>,
    bytes: usize,
}

impl OpenBlocks {
    /// Adds digests from byte `start` of a block on. Gives all of its digests once they are there,
    /// which is when they are so many `bytes`.
    pub(super) fn add(
        &self,
        (level, block): (usize, u64),
        start: usize,
        digests: &[u8],
        bytes: usize,
    ) -> Option<Vec<u8>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = open.entry((level, block)).or_default();
        there.parts.push((start, digests.into()));
        there.bytes += digests.len();
        if there.bytes < bytes {
            return None;
        }
        let mut whole = open.remove(&(level, block))?;
        drop(open);
        whole.parts.sort_unstable_by_key(|(start, _)| *start);
        let mut digests = Vec::with_capacity(bytes);
        for (_, part) in &whole.parts {
            digests.extend_from_slice(part);
        }
        Some(digests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_with_the_last_of_its_digests() {
        let open = OpenBlocks::default();
        let of = (0, 7);
        assert_eq!(open.add(of, 4, &[5, 6], 8), None);
        assert_eq!(open.add((1, 7), 0, &[1, 2], 2), Some(vec![1, 2]));
        assert_eq!(open.add(of, 6, &[7, 8], 8), None);
        assert_eq!(
            open.add(of, 0, &[1, 2, 3, 4], 8),
            Some(vec![1, 2, 3, 4, 5, 6, 7, 8])
        );
        assert_eq!(open.add(of, 0, &[1], 2), None);
    }
}
