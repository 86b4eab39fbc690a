//! Any damage, and any superblock and area.

use proptest::prelude::*;

use super::{BLOCK, DamagedImage, row};
use crate::program::data;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Random damage. Whatever comes of it, no block is written but to what it should be; and where no
    /// row has more bad blocks than roots, and its parity is right, all of it is corrected.
    #[test]
    fn random_damage(
        data_blocks in 1..4000u64,
        roots in 2..=24u32,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..2000usize), 1..20),
        seed: u64,
    ) {
        let disk = DamagedImage::new(data_blocks, roots);
        let area = disk.parity(0).start;
        let superblock = data_blocks as usize * BLOCK;
        let mut bytes = disk.good.clone();
        for (at, length) in damage {
            let start = at.index(bytes.len());
            let end = (start + length).min(bytes.len());
            let noise = data(end - start, seed ^ start as u64);
            bytes[start..end].copy_from_slice(&noise);
        }
        // Nothing covers that.
        bytes[superblock..superblock + BLOCK].copy_from_slice(&disk.good[superblock..][..BLOCK]);
        disk.place.write("disk", &bytes);

        let differs = |offset: usize| bytes[offset..][..BLOCK] != disk.good[offset..][..BLOCK];
        // What is under a bad hash block is not known at first: beside one there may be one more.
        let hopeful = (0..disk.layout.rounds()).all(|number| {
            let bad = row(&disk, number).into_iter();
            let bad: Vec<_> = bad.filter(|block| differs(disk.at(*block))).collect();
            let of_tree = bad.last().is_some_and(|block| *block >= disk.layout.data_blocks());
            bad.len() <= if of_tree { 2 } else { roots as usize }
        }) && bytes[area..] == disk.good[area..];
        let top = if data_blocks == 1 { 0 } else { disk.layout.data_blocks() };
        let ended = disk.repair();
        let now = disk.place.read("disk");
        if hopeful && !differs(disk.at(top)) {
            prop_assert_eq!(ended.code, Some(0), "{:?}", ended);
            prop_assert!(now == disk.good);
        }
        prop_assert!(matches!(ended.code, Some(0 | 3)), "{:?}", ended);
        for block in 0..area / BLOCK {
            let at = block * BLOCK..(block + 1) * BLOCK;
            prop_assert!(now[at.clone()] == bytes[at.clone()] || now[at.clone()] == disk.good[at]);
        }
        if ended.code == Some(0) {
            prop_assert!(now[..area] == disk.good[..area]);
        }
    }

    /// Any superblock and any area: nothing but what the root hash covers is written, and no panic.
    #[test]
    fn hostile_superblocks_and_areas(
        change in prop::collection::vec((0..512usize, any::<u8>()), 0..6),
        area in prop::collection::vec(any::<u8>(), 0..3000),
        bad in prop::collection::vec(0..300u64, 0..6),
    ) {
        let disk = DamagedImage::new(300, 3);
        let superblock = 300 * BLOCK;
        let mut bytes = disk.good.clone();
        for (at, byte) in change {
            bytes[superblock + at] = byte;
        }
        let start = disk.parity(0).start;
        let length = area.len().min(bytes.len() - start);
        bytes[start..start + length].copy_from_slice(&area[..length]);
        disk.place.write("disk", &bytes);
        disk.damage(bad);
        let damaged = disk.place.read("disk");
        let ended = disk.repair();
        prop_assert!(matches!(ended.code, Some(0 | 2 | 3)), "{:?}", ended);
        let now = disk.place.read("disk");
        for block in 0..start / BLOCK {
            let at = block * BLOCK..(block + 1) * BLOCK;
            prop_assert!(now[at.clone()] == damaged[at.clone()] || now[at.clone()] == disk.good[at]);
        }
    }
}
