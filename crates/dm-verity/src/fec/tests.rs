//! Encoder and decoder against what veritysetup writes, and against each other.

use sha2::{Digest as _, Sha256};

use super::{
    super::{BlockHasher, BlockSize, HashAlgorithm, TreeLayout, VerityParams},
    *,
};

/// Blocks of which it is known what parity they have.
struct KnownAnswer {
    params: VerityParams,
    layout: FecLayout,
    extra: usize,
    bytes: u64,
    first: String,
    sha256: String,
}

/// What `tests/data/fec.py` got from veritysetup.
fn known_answers() -> impl Iterator<Item = KnownAnswer> {
    let lines = include_str!("../../tests/data/fec.tsv").lines().skip(1);
    lines.map(|line| {
        let fields: Vec<_> = line.split('\t').collect();
        let number = |n: usize| fields[n].parse::<u64>().unwrap();
        let size = BlockSize::new(number(1)).unwrap();
        let salt: [u8; 32] = core::array::from_fn(|n| n as u8);
        let algorithm = HashAlgorithm::Sha256;
        let params = VerityParams::new(algorithm, size, size, number(0), salt.into()).unwrap();
        let hash_blocks = TreeLayout::new(&params).blocks() + number(3);
        let roots = fields[2].parse().unwrap();
        KnownAnswer {
            layout: FecLayout::with_hash_blocks(&params, roots, hash_blocks).unwrap(),
            params,
            extra: number(3) as usize,
            bytes: number(4),
            first: fields[5].to_owned(),
            sha256: fields[6].to_owned(),
        }
    })
}

impl KnownAnswer {
    /// All that is covered.
    fn covered(&self) -> Vec<u8> {
        let size = self.params.data_block_size().as_usize();
        let mut covered: Vec<u8> = (0..self.params.data_bytes() as usize)
            .map(|i| (7 * i + i / 251 + 1) as u8)
            .collect();
        let hasher = BlockHasher::for_params(&self.params);
        let mut levels = vec![covered.clone()];
        for level in TreeLayout::new(&self.params).levels() {
            let below = levels.last().unwrap().chunks(size);
            let mut blocks: Vec<u8> = below
                .flat_map(|block| hasher.digest(block).as_bytes().to_vec())
                .collect();
            blocks.resize(level.blocks as usize * size, 0);
            levels.push(blocks);
        }
        covered.extend(levels[1..].iter().rev().flatten());
        covered.extend((0..self.extra * size).map(|i| (11 * i + 5) as u8));
        covered
    }
}

/// The whole FEC area, made in pieces of `piece` bytes.
fn area(layout: &FecLayout, covered: &[u8], piece: usize, backend: FecBackend) -> Vec<u8> {
    let encoder = FecEncoder::new(layout.roots()).with_backend(backend);
    let column_bytes = layout.rounds() as usize * layout.block_size().as_usize();
    let mut planes = ParityPlanes::new(layout.roots(), column_bytes);
    for (column, bytes) in covered.chunks(column_bytes).enumerate() {
        for (n, data) in bytes.chunks(piece).enumerate() {
            encoder.add(column, data, &mut planes, n * piece);
        }
    }
    let mut area = vec![0; layout.parity_bytes() as usize];
    planes.interleave(&mut area);
    area
}

#[test]
fn areas_of_veritysetup() {
    let mut seen = 0;
    for answer in known_answers() {
        let covered = answer.covered();
        let layout = &answer.layout;
        assert_eq!(layout.parity_bytes(), answer.bytes);
        assert_eq!(
            layout.covered_blocks() as usize * layout.block_size().as_usize(),
            covered.len()
        );
        for backend in FecBackend::supported() {
            let area = area(layout, &covered, 1 << 20, backend);
            assert_eq!(hex::encode(&area[..24]), answer.first, "{backend}");
            assert_eq!(hex::encode(Sha256::digest(&area)), answer.sha256);
        }
        seen += 1;
    }
    assert!(seen >= 40);
}

/// A piece of any length gives the same as the whole.
#[test]
fn any_pieces() {
    let answer = known_answers().find(|answer| answer.layout.rounds() > 1);
    let answer = answer.unwrap();
    let covered = answer.covered();
    let whole = area(
        &answer.layout,
        &covered,
        usize::MAX >> 1,
        FecBackend::chosen(),
    );
    for piece in [1, 63, 512, 4097] {
        let pieces = area(&answer.layout, &covered, piece, FecBackend::chosen());
        assert!(pieces == whole, "{piece}");
    }
}

/// Two threads with accumulators of their own.
#[test]
fn parts_are_merged() {
    for roots in [2, 3] {
        let roots = FecRoots::try_from(roots).unwrap();
        let encoder = FecEncoder::new(roots);
        let data: Vec<u8> = (0..100).collect();
        let mut whole = ParityPlanes::new(roots, 120);
        encoder.add(0, &data, &mut whole, 0);
        encoder.add(9, &data, &mut whole, 20);
        let mut sum = ParityPlanes::new(roots, 120);
        encoder.add(0, &data, &mut sum, 0);
        let mut part = ParityPlanes::new(roots, 100);
        encoder.add(9, &data, &mut part, 0);
        sum.merge(20, &part, 0, 60);
        sum.merge(80, &part, 60, 40);
        assert_eq!(sum, whole);
        // Added to itself nothing is left.
        sum.merge(0, &whole, 0, 120);
        assert!(sum.is_zero());
        // Kept as it is, and as on a disk.
        sum.as_mut_bytes().copy_from_slice(whole.as_bytes());
        assert_eq!(sum, whole);
        sum.clear();
        assert!(sum.is_zero());
        let mut bytes = vec![0; 120 * roots.get()];
        whole.interleave(&mut bytes);
        let (first, last) = bytes.split_at(40 * roots.get());
        sum.add_interleaved(40, last);
        sum.add_interleaved(0, first);
        assert_eq!(sum, whole);
    }
}
