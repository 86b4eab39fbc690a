//! Blocks that are damaged and made good again, at random.
// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use dm_verity::{
    BlockSize, HashAlgorithm, Salt, VerityParams,
    fec::{
        FecCorrections, FecDecoder, FecEncoder, FecLayout, FecRow, ParityPlanes, TooManyErasures,
    },
};
use proptest::{prelude::*, sample::subsequence};

const SIZE: usize = 512;

/// A row of blocks, and its parity.
#[derive(Clone, Debug)]
struct WholeRow {
    layout: FecLayout,
    row: u64,
    blocks: Vec<Vec<u8>>,
    parity: Vec<u8>,
}

impl WholeRow {
    fn new(data_blocks: u64, roots: u32, seed: u64) -> Self {
        let size = BlockSize::new(SIZE as u64).unwrap();
        let algorithm = HashAlgorithm::Sha256;
        let params = VerityParams::new(algorithm, size, size, data_blocks, Salt::default());
        let layout = FecLayout::new(&params.unwrap(), roots.try_into().unwrap()).unwrap();
        let row = seed % layout.rounds();
        let mut state = seed | 1;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let has_block = |column: &usize| layout.block_at(row, *column).is_some();
        let blocks: Vec<Vec<u8>> = (0..layout.columns())
            .take_while(has_block)
            .map(|_| (0..SIZE).map(|_| byte()).collect())
            .collect();
        let encoder = FecEncoder::new(layout.roots());
        let mut planes = ParityPlanes::new(layout.roots(), SIZE);
        for (column, block) in blocks.iter().enumerate() {
            encoder.add(column, block, &mut planes, 0);
        }
        let mut parity = vec![0; layout.row_parity_bytes()];
        planes.interleave(&mut parity);
        Self {
            layout,
            row,
            blocks,
            parity,
        }
    }

    fn correct(&self, bad: &[usize]) -> Result<FecCorrections, TooManyErasures> {
        self.taken_in(&FecDecoder::new(&self.layout)).correct(bad)
    }

    fn taken_in<'d>(&self, decoder: &'d FecDecoder) -> FecRow<'d> {
        let mut row = decoder.row(self.row);
        for (column, block) in self.blocks.iter().enumerate() {
            row.add(column, block);
        }
        row.add_parity(&self.parity);
        row
    }

    fn apply(&mut self, corrections: &FecCorrections) {
        for (column, block) in self.blocks.iter_mut().enumerate() {
            if let Some(change) = corrections.change(column) {
                block.iter_mut().zip(change).for_each(|(a, b)| *a ^= b);
            }
        }
    }
}

fn rows() -> impl Strategy<Value = WholeRow> {
    (1..3000u64, 2..=24u32, any::<u64>())
        .prop_map(|(blocks, roots, seed)| WholeRow::new(blocks, roots, seed))
}

/// A row, and which of its blocks are to be damaged: first those that are known to be.
fn damaged() -> impl Strategy<Value = (WholeRow, Vec<usize>, Vec<usize>)> {
    (rows(), 0..=24usize, any::<bool>()).prop_flat_map(|(row, erasures, all)| {
        let columns: Vec<_> = (0..row.blocks.len()).collect();
        let roots = row.layout.roots().get();
        let erasures = if all { roots } else { erasures }
            .min(roots)
            .min(columns.len());
        let errors = ((roots - erasures) / 2).min(columns.len() - erasures);
        let chosen = subsequence(columns, erasures + errors).prop_shuffle();
        (Just(row), chosen).prop_map(move |(row, mut chosen)| {
            let errors = chosen.split_off(erasures);
            (row, chosen, errors)
        })
    })
}

/// Other bytes, all of them or one.
fn damage(block: &mut [u8], seed: usize, whole: bool) {
    if whole {
        for (n, byte) in block.iter_mut().enumerate() {
            *byte ^= (1 + (n * 31 + seed) % 255) as u8;
        }
    } else {
        block[seed * 97 % SIZE] ^= 0x41;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Erasures and errors up to the limit, all blocks damaged from end to end.
    #[test]
    fn up_to_the_limit((row, erased, wrong) in damaged(), whole: bool) {
        let mut damaged = row.clone();
        for column in erased.iter().chain(&wrong) {
            damage(&mut damaged.blocks[*column], *column, whole);
        }
        let corrections = damaged.correct(&erased).unwrap();
        prop_assert_eq!(corrections.failed_codewords(), 0);
        prop_assert_eq!(corrections.wrong_parity_bytes(), 0);
        let mut expected: Vec<_> = erased.iter().chain(&wrong).copied().collect();
        expected.sort_unstable();
        prop_assert_eq!(corrections.columns().collect::<Vec<_>>(), expected);
        damaged.apply(&corrections);
        prop_assert!(damaged.blocks == row.blocks);
    }

    /// One more that is known to be bad is refused.
    #[test]
    fn one_erasure_too_many(row in rows()) {
        let roots = row.layout.roots().get();
        prop_assume!(row.blocks.len() > roots);
        let erased: Vec<_> = (0..=roots).collect();
        let error = row.correct(&erased).unwrap_err();
        prop_assert_eq!(error.bad, roots + 1);
    }

    /// More that is wrong than can be corrected: nothing holds but that what is said to be right
    /// is a codeword.
    #[test]
    fn beyond_the_limit(row in rows(), seed: usize) {
        let count = (row.layout.roots().get() / 2 + 1).min(row.blocks.len());
        let mut damaged = row.clone();
        for (n, block) in damaged.blocks.iter_mut().take(count).enumerate() {
            damage(block, n + seed % 1000, true);
        }
        let corrections = damaged.correct(&[]).unwrap();
        let (failed, parity) = (corrections.failed_codewords(), corrections.wrong_parity_bytes());
        let all = damaged.taken_in(&FecDecoder::new(&row.layout)).correct_all(&[]).unwrap();
        prop_assert_eq!(all.as_ref(), (failed == 0).then_some(&corrections));
        damaged.apply(&corrections);
        let decoder = FecDecoder::new(&damaged.layout);
        let again = damaged.taken_in(&decoder);
        prop_assert_eq!(again.is_right(), failed + parity == 0);
    }

    /// Parity may be what is wrong.
    #[test]
    fn damaged_parity((row, _, _) in damaged(), at: prop::sample::Index) {
        let mut damaged = row.clone();
        let at = at.index(damaged.parity.len());
        damaged.parity[at] ^= 0x80;
        let corrections = damaged.correct(&[]).unwrap();
        prop_assert_eq!(corrections.wrong_parity_bytes(), 1);
        prop_assert_eq!(corrections.failed_codewords(), 0);
        prop_assert_eq!(corrections.columns().count(), 0);
    }
}

/// Any bytes for parity: blocks that are good stay so, or are told to be wrong; nothing panics.
#[test]
fn hostile_parity() {
    for roots in [2, 3, 24] {
        let mut row = WholeRow::new(900, roots, 7);
        row.parity.iter_mut().enumerate().for_each(|(n, byte)| {
            *byte = (n * n / 8) as u8;
        });
        for bad in [&[][..], &[0], &[3, 1]] {
            let corrections = row.correct(bad).unwrap();
            assert!(corrections.columns().count() <= row.blocks.len());
        }
    }
}

#[test]
#[should_panic(expected = "columns with a block")]
fn zeros_are_not_bad() {
    // One data block, and no tree.
    let _ = WholeRow::new(1, 2, 1).correct(&[1]);
}
