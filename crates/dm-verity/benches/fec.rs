//! Parity of rows, and what corrects them: every backend that this CPU has, on one core.
//! `cargo bench --bench fec`.

use std::ops::Deref;

use divan::{Bencher, black_box, counter::BytesCount};
use dm_verity::{
    BlockSize, HashAlgorithm, Salt, VerityParams,
    fec::{FecBackend, FecDecoder, FecEncoder, FecLayout, FecRoots, ParityPlanes},
};

const SIZE: usize = BlockSize::DEFAULT.as_usize();

fn main() {
    println!("Backend of this process: {}", FecBackend::chosen());
    divan::main();
}

/// Bytes that begin with a line of the cache, as those of a page do.
struct AlignedBytes {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBytes {
    fn new(size: usize) -> Self {
        let number = |i: u32| i.wrapping_mul(2_654_435_761) >> 24;
        let mut bytes = vec![0; size + 64];
        let start = bytes.as_ptr().align_offset(64);
        for (i, byte) in (0..).zip(&mut bytes[start..]) {
            *byte = number(i) as u8;
        }
        bytes.truncate(start + size);
        Self { bytes, start }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

fn roots(number: u32) -> FecRoots {
    number.try_into().expect("a number of roots")
}

/// A row: one block of each column.
#[divan::bench(args = FecBackend::supported(), consts = [2, 3, 24])]
fn encode<const ROOTS: u32>(bencher: Bencher<'_, '_>, backend: FecBackend) {
    let encoder = FecEncoder::new(roots(ROOTS)).with_backend(backend);
    let row = AlignedBytes::new(roots(ROOTS).columns() * SIZE);
    let mut planes = ParityPlanes::new(roots(ROOTS), SIZE);
    bencher.counter(BytesCount::new(row.len())).bench_local(|| {
        for (column, block) in black_box(&*row).chunks(SIZE).enumerate() {
            encoder.add(column, block, &mut planes, 0);
        }
    });
}

/// 128 blocks of a column, as they are hashed.
#[divan::bench(args = FecBackend::supported(), consts = [2, 24])]
fn encode_column<const ROOTS: u32>(bencher: Bencher<'_, '_>, backend: FecBackend) {
    let encoder = FecEncoder::new(roots(ROOTS)).with_backend(backend);
    let blocks = AlignedBytes::new(128 * SIZE);
    let mut planes = ParityPlanes::new(roots(ROOTS), blocks.len());
    bencher
        .counter(BytesCount::new(blocks.len()))
        .bench_local(|| encoder.add(9, black_box(&*blocks), &mut planes, 0));
}

/// Parity to the form of the disk, and back.
#[divan::bench(consts = [2, 3, 24])]
fn interleave<const ROOTS: u32>(bencher: Bencher<'_, '_>) {
    let mut planes = ParityPlanes::new(roots(ROOTS), 64 * SIZE);
    let mut parity = AlignedBytes::new(planes.as_bytes().len()).to_vec();
    bencher
        .counter(BytesCount::new(2 * parity.len()))
        .bench_local(|| {
            planes.interleave(black_box(&mut parity));
            planes.add_interleaved(0, black_box(&parity));
        });
}

/// A row of which as many blocks as there are roots are bad.
#[divan::bench(args = FecBackend::supported(), consts = [2, 24])]
fn correct<const ROOTS: u32>(bencher: Bencher<'_, '_>, backend: FecBackend) {
    let size = BlockSize::DEFAULT;
    let algorithm = HashAlgorithm::Sha256;
    let params = VerityParams::new(algorithm, size, size, 220, Salt::default());
    let layout = FecLayout::new(&params.expect("parameters"), roots(ROOTS)).expect("a layout");
    let decoder = FecDecoder::new(&layout).with_backend(backend);
    let columns = layout.covered_blocks() as usize;
    let blocks = AlignedBytes::new(columns * SIZE);
    let parity = AlignedBytes::new(layout.row_parity_bytes());
    let bad: Vec<_> = (0..ROOTS as usize).collect();
    bencher
        .counter(BytesCount::new(blocks.len()))
        .bench_local(|| {
            let mut row = decoder.row(0);
            for (column, block) in black_box(&*blocks).chunks(SIZE).enumerate().skip(bad.len()) {
                row.add(column, block);
            }
            row.add_parity(&parity);
            row.correct(&bad)
        });
}

/// All of the parity is wrong, and nothing is known of the blocks: each codeword fails.
#[divan::bench(consts = [2, 24])]
fn hostile<const ROOTS: u32>(bencher: Bencher<'_, '_>) {
    let size = BlockSize::DEFAULT;
    let algorithm = HashAlgorithm::Sha256;
    let params = VerityParams::new(algorithm, size, size, 220, Salt::default());
    let layout = FecLayout::new(&params.expect("parameters"), roots(ROOTS)).expect("a layout");
    let decoder = FecDecoder::new(&layout);
    let parity = AlignedBytes::new(layout.row_parity_bytes());
    bencher.bench_local(|| {
        let mut row = decoder.row(0);
        row.add_parity(black_box(&*parity));
        row.correct(&[])
    });
}
