//! Corrupt blocks, made good by the others of their rows. Nothing of it is believed: what comes out is
//! hashed by whoever asked.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use dm_verity::fec::{FecArea, FecDecoder, FecLayout};
use model_disk::proposed_block;

use crate::BlockStorage;

/// As many blocks are told apart. Of more, one that is read twice counts twice.
const TOLD_APART: usize = 1 << 16;

/// The FEC area of a disk, and what was corrected by it.
pub(crate) struct Correction {
    decoder: FecDecoder,
    area: FecArea,
    corrected: Mutex<CorrectedBlocks>,
}

#[derive(Default)]
struct CorrectedBlocks {
    blocks: HashSet<u64>,
    more: u64,
}

impl Correction {
    pub(crate) fn new(layout: &FecLayout, area: FecArea) -> Self {
        Self {
            decoder: FecDecoder::new(layout),
            area,
            corrected: Mutex::default(),
        }
    }

    /// How many blocks were corrected.
    pub(crate) fn count(&self) -> u64 {
        let corrected = self.corrected.lock();
        let corrected = corrected.unwrap_or_else(PoisonError::into_inner);
        corrected.more.saturating_add(corrected.blocks.len() as u64)
    }

    /// Notes that a block of the covered sequence was corrected.
    pub(crate) fn note(&self, block: u64) {
        let corrected = self.corrected.lock();
        let mut corrected = corrected.unwrap_or_else(PoisonError::into_inner);
        if corrected.blocks.len() < TOLD_APART {
            corrected.blocks.insert(block);
        } else if !corrected.blocks.contains(&block) {
            corrected.more = corrected.more.saturating_add(1);
        }
    }

    /// What a block of the covered sequence should be by the others of its row, see [`proposed_block`].
    pub(crate) fn propose(
        &self,
        storage: &impl BlockStorage,
        block: u64,
        read: impl Fn(&mut [u8], u64) -> bool,
    ) -> Option<Vec<u8>> {
        let read_area = |buffer: &mut [u8], offset| storage.read_fec(buffer, offset).is_ok();
        proposed_block(&self.decoder, self.area, block, read_area, read)
    }
}

#[cfg(test)]
mod tests {
    use dm_verity::{BlockSize, HashAlgorithm, Salt, VerityParams, fec::FecRoots};

    use super::*;

    #[test]
    fn a_block_counts_once_as_long_as_there_are_not_too_many() {
        let size = BlockSize::DEFAULT;
        let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 300, Salt::default());
        let layout = FecLayout::new(&params.unwrap(), FecRoots::default()).unwrap();
        let area = FecArea::new(&layout, 0).unwrap();
        let correction = Correction::new(&layout, area);
        for block in [1, 2, 1] {
            correction.note(block);
        }
        assert_eq!(correction.count(), 2);
        let many = TOLD_APART as u64 + 10;
        (0..many).for_each(|block| correction.note(block));
        assert_eq!(correction.count(), many);
        correction.note(0);
        assert_eq!(correction.count(), many);
        correction.note(many);
        assert_eq!(correction.count(), many + 1);
    }
}
