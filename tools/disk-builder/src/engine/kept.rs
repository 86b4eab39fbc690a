//! The digests that are kept of a tree until its upper levels are made. No I/O.

/// One digest for each unit, in their order. Those of zeros take no memory: where nothing else has
/// been put there is that of a unit of zeros.
pub(super) struct KeptDigests {
    /// A hash block of the level above, as it is over nothing but zeros.
    zeros: Vec<u8>,
    /// The hash blocks of the level above; the last one may be shorter.
    blocks: Vec<Option<Box<[u8]>>>,
    /// Of all digests.
    bytes: usize,
}

impl KeptDigests {
    /// For so many units. `zero_unit` is the digest of one of zeros, and whole numbers of it make a
    /// hash block.
    pub(super) fn new(units: u64, zero_unit: &[u8], hash_block_size: usize) -> Self {
        let bytes = units as usize * zero_unit.len();
        Self {
            zeros: zero_unit.repeat(hash_block_size / zero_unit.len()),
            blocks: vec![None; bytes.div_ceil(hash_block_size)],
            bytes,
        }
    }

    /// Puts digests from byte `start` on, which is that of a digest.
    #[expect(
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        reason = "of its own units, cut where a block ends"
    )]
    pub(super) fn put(&mut self, mut start: usize, mut digests: &[u8]) {
        let size = self.zeros.len();
        while !digests.is_empty() {
            let (index, within) = (start / size, start % size);
            let length = (self.bytes - index * size).min(size);
            let (here, rest) = digests.split_at(digests.len().min(length - within));
            let block = &mut self.blocks[index];
            let place = within..within + here.len();
            if block.is_some() || *here != self.zeros[place.clone()] {
                let block = block.get_or_insert_with(|| self.zeros[..length].into());
                block[place].copy_from_slice(here);
            }
            start += here.len();
            digests = rest;
        }
    }

    /// The hash blocks of the level above, some at a time: the last one filled up with zeros.
    pub(super) fn blocks_above(&self, at_a_time: usize) -> impl Iterator<Item = Vec<u8>> {
        let size = self.zeros.len();
        self.blocks
            .chunks(at_a_time)
            .zip(0..)
            .map(move |(blocks, turn)| {
                let mut all = Vec::with_capacity(blocks.len() * size);
                for block in blocks {
                    all.extend_from_slice(block.as_deref().unwrap_or(&self.zeros));
                }
                // What is short is filled up; what there is no unit for is no digest.
                let used = self.bytes - turn * at_a_time * size;
                all.truncate(used);
                all.resize(blocks.len() * size, 0);
                all
            })
    }

    /// All digests, where there are few.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut all: Vec<u8> = self.blocks_above(1).flatten().collect();
        all.truncate(self.bytes);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: [u8; 2] = [7, 8];

    #[test]
    fn what_was_put_and_zeros_elsewhere() {
        // Blocks of four digests; the third one has two.
        let mut kept = KeptDigests::new(10, &ZERO, 8);
        kept.put(6, &[1, 2, 3, 4]);
        kept.put(18, &[5, 6]);
        let all = [
            7, 8, 7, 8, 7, 8, 1, 2, 3, 4, 7, 8, 7, 8, 7, 8, 7, 8, 5, 6, 0, 0, 0, 0,
        ];
        for at_a_time in [1, 2, 3, 10] {
            let blocks: Vec<_> = kept.blocks_above(at_a_time).collect();
            assert_eq!(blocks.len(), 3usize.div_ceil(at_a_time));
            assert_eq!(blocks.concat(), all);
        }
        assert_eq!(kept.into_bytes(), all[..20]);
    }

    #[test]
    fn zeros_take_no_memory() {
        let mut kept = KeptDigests::new(1000, &ZERO, 8);
        kept.put(1600, &[1, 2]);
        kept.put(4, &ZERO.repeat(20));
        assert_eq!(kept.blocks.iter().flatten().count(), 1);
        assert_eq!(KeptDigests::new(2, &ZERO, 8).into_bytes(), [7, 8, 7, 8]);
    }
}
