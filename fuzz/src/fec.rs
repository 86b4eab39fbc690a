//! Parity is the same from every backend, blocks that are damaged are made good up to the limit,
//! and what is told of those beyond is a row that agrees with its parity: only hashes can tell that
//! it is not the right one. Geometry of any size overflows nowhere.

use arbitrary::{Arbitrary, Unstructured};
use dm_verity::{
    BlockSize, HashAlgorithm, MAX_BYTES, Salt, VerityParams,
    fec::{FecArea, FecBackend, FecDecoder, FecEncoder, FecLayout, FecRoots, FecRow, ParityPlanes},
};

const SIZE: usize = 512;

#[derive(Arbitrary, Debug)]
struct FecInput<'a> {
    roots: u8,
    data_blocks: u16,
    extra_blocks: u8,
    row: u8,
    geometry: [u64; 4],
    /// Columns that are known to be bad.
    bad: Vec<u8>,
    /// A byte of a column, and what is added to it; or bytes from there on, up to 16.
    wrong: Vec<(u8, u16, u8, u8)>,
    /// The same of parity.
    wrong_parity: Vec<(u16, u8)>,
    bytes: &'a [u8],
}

/// Takes the blocks of a row, what happens to them, and numbers.
pub fn run(bytes: &[u8]) {
    let Ok(input) = FecInput::arbitrary_take_rest(Unstructured::new(bytes)) else {
        return;
    };
    let roots = FecRoots::try_from(2 + u32::from(input.roots % 23)).unwrap();
    geometry(roots, input.geometry);

    let (mut data_blocks, mut extra_blocks) = (input.data_blocks, input.extra_blocks);
    // What goes wrong with many blocks in a row goes wrong with few, in far less time.
    if data_blocks % 16 > 0 {
        data_blocks %= 64;
        extra_blocks %= 16;
    }
    let layout = layout(
        roots,
        u64::from(data_blocks).max(1),
        Some(extra_blocks.into()),
        SIZE as u64,
    );
    let Some(layout) = layout else { return };
    let whole = Row::new(layout, u64::from(input.row) % layout.rounds(), input.bytes);

    let mut damaged = whole.clone();
    let columns = damaged.blocks.len();
    let mut bad: Vec<usize> = input
        .bad
        .iter()
        .map(|n| usize::from(*n) % columns)
        .collect();
    bad.sort_unstable();
    bad.dedup();
    for column in &bad {
        damaged.blocks[*column] = vec![*column as u8; SIZE];
    }
    for (column, at, change, count) in &input.wrong {
        let block = &mut damaged.blocks[usize::from(*column) % columns];
        let from = usize::from(*at) % SIZE;
        for byte in block[from..].iter_mut().take(1 + usize::from(*count % 16)) {
            *byte ^= change;
        }
    }
    for (at, change) in &input.wrong_parity {
        let at = usize::from(*at) % damaged.parity.len();
        damaged.parity[at] ^= change;
    }
    correct(&whole, damaged, &bad);
}

/// Corrects what is damaged, and compares.
fn correct(whole: &Row, mut damaged: Row, bad: &[usize]) {
    let roots = whole.layout.roots().get();
    let decoder = FecDecoder::new(&whole.layout);
    let corrections = match damaged.taken_in(&decoder).correct(bad) {
        Ok(corrections) => corrections,
        Err(error) => {
            assert!(bad.len() > roots && error.bad == bad.len());
            return;
        }
    };
    assert!(bad.len() <= roots);
    // How much is wrong in each codeword without being known.
    let wrong: Vec<usize> = (0..SIZE)
        .map(|at| {
            let columns = whole.blocks.iter().zip(&damaged.blocks).enumerate();
            let blocks = columns
                .filter(|(column, (a, b))| !bad.contains(column) && a[at] != b[at])
                .count();
            let ours = &whole.parity[at * roots..][..roots];
            let theirs = &damaged.parity[at * roots..][..roots];
            blocks + ours.iter().zip(theirs).filter(|(a, b)| a != b).count()
        })
        .collect();
    for column in corrections.columns() {
        let change = corrections.change(column).unwrap();
        // A column without a block is zeros, and stays so.
        let block = &mut damaged.blocks[column];
        block.iter_mut().zip(change).for_each(|(a, b)| *a ^= b);
    }
    let mut failed = 0;
    for (at, wrong) in wrong.iter().enumerate() {
        if 2 * wrong + bad.len() <= roots {
            let mut columns = whole.blocks.iter().zip(&damaged.blocks);
            assert!(columns.all(|(a, b)| a[at] == b[at]), "codeword {at}");
        } else {
            failed += 1;
        }
    }
    assert!(corrections.failed_codewords() <= failed);
    let row = damaged.taken_in(&decoder);
    let changed_parity = corrections.wrong_parity_bytes();
    assert_eq!(
        row.is_right(),
        corrections.failed_codewords() + changed_parity == 0
    );
}

/// The blocks of a row, and its parity.
#[derive(Clone)]
struct Row {
    layout: FecLayout,
    row: u64,
    blocks: Vec<Vec<u8>>,
    parity: Vec<u8>,
}

impl Row {
    /// With the bytes over and over, each time at another place of a block.
    fn new(layout: FecLayout, row: u64, bytes: &[u8]) -> Self {
        let mut pattern: Vec<u8> = (0..1031).map(|i| (i * 7) as u8).collect();
        let given = bytes.len().min(pattern.len());
        pattern[..given].copy_from_slice(&bytes[..given]);
        let mut pattern = pattern.iter().copied().cycle();
        let blocks: Vec<Vec<u8>> = (0..layout.columns())
            .take_while(|column| layout.block_at(row, *column).is_some())
            .map(|_| pattern.by_ref().take(SIZE).collect())
            .collect();
        let mut parity = None;
        for backend in FecBackend::supported() {
            let encoder = FecEncoder::new(layout.roots()).with_backend(backend);
            let mut planes = ParityPlanes::new(layout.roots(), SIZE);
            // In any order.
            for (column, block) in blocks.iter().enumerate().rev() {
                encoder.add(column, block, &mut planes, 0);
            }
            let mut bytes = vec![0; layout.row_parity_bytes()];
            planes.interleave(&mut bytes);
            assert!(
                *parity.get_or_insert_with(|| bytes.clone()) == bytes,
                "{backend}"
            );
        }
        Self {
            layout,
            row,
            blocks,
            parity: parity.unwrap(),
        }
    }

    fn taken_in<'a>(&self, decoder: &'a FecDecoder) -> FecRow<'a> {
        let mut row = decoder.row(self.row);
        for (column, block) in self.blocks.iter().enumerate() {
            row.add(column, block);
        }
        row.add_parity(&self.parity);
        row
    }
}

/// The layout of so many blocks, if they fit into a disk.
fn layout(roots: FecRoots, data: u64, extra: Option<u64>, size: u64) -> Option<FecLayout> {
    let size = BlockSize::new(size).unwrap();
    let algorithm = HashAlgorithm::Sha256;
    let params = VerityParams::new(algorithm, size, size, data, Salt::default()).ok()?;
    let tree = FecLayout::new(&params, roots).unwrap();
    let Some(extra) = extra else {
        return Some(tree);
    };
    let hash_blocks = tree.covered_blocks() - data;
    let layout = FecLayout::with_hash_blocks(&params, roots, hash_blocks.saturating_add(extra));
    layout.ok()
}

/// Each block has a place, each place its block, and all parity is in the area.
fn geometry(roots: FecRoots, [data, extra, block, offset]: [u64; 4]) {
    let size = 512 << (offset % 8);
    let Some(layout) = layout(roots, data, (extra % 4 > 0).then_some(extra / 4), size) else {
        return;
    };
    let block = block % layout.covered_blocks();
    let place = layout.place(block).unwrap();
    assert_eq!(layout.block_at(place.row, place.column), Some(block));
    assert_eq!(layout.place(layout.covered_blocks()), None);
    let range = layout.row_parity_range(place.row).unwrap();
    assert!(range.end <= layout.parity_bytes());
    if let Ok(area) = FecArea::new(&layout, offset / size * size) {
        assert!(area.end() <= MAX_BYTES);
        assert_eq!(area.start_block() * size, area.offset());
    }
}
