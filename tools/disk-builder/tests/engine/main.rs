//! The engine against the oracle.

#![allow(clippy::unwrap_used)] // in helpers too

mod memory;
mod oracle;

use std::sync::{Arc, Condvar, Mutex, atomic::AtomicBool};

use disk_builder::engine::{
    Findings, HashTreeError, Source, SourceError, TreeParts, VerifyTreeError, Workers, hash_tree,
    verify_tree,
};
use dm_verity::{BlockSize, HashArea, RootHash, Salt, TreeLayout, VerityParams};
use memory::{Memory, WrittenBytes};
use oracle::Shape;
use proptest::prelude::*;

fn shape(algorithm: &'static str, data: usize, hash: usize, salt: &[u8]) -> Shape {
    Shape {
        algorithm,
        data_block_size: data,
        hash_block_size: hash,
        salt: salt.to_owned(),
    }
}

fn params(shape: &Shape, data_blocks: u64) -> VerityParams {
    VerityParams::new(
        shape.algorithm.parse().unwrap(),
        BlockSize::new(shape.data_block_size as u64).unwrap(),
        BlockSize::new(shape.hash_block_size as u64).unwrap(),
        data_blocks,
        Salt::new(&shape.salt).unwrap(),
    )
    .unwrap()
}

fn workers(threads: usize) -> Workers {
    Workers::new(threads, Arc::default()).unwrap()
}

/// Blocks that all differ, and differ for each seed.
fn bytes(blocks: u64, block_size: usize, seed: u64) -> Vec<u8> {
    (0..blocks)
        .flat_map(|block| {
            let mut data = vec![(block ^ seed) as u8; block_size];
            data[..8].copy_from_slice(&(block.wrapping_mul(31) ^ seed).to_le_bytes());
            data
        })
        .collect()
}

/// The engine's root hash and tree, which must be those of the oracle.
fn compare(shape: &Shape, blocks: u64, source: &Memory, threads: usize) -> (RootHash, Vec<u8>) {
    let (root, tree) = shape.tree(&source.data);
    let written = WrittenBytes::default();
    let found = hash_tree(&params(shape, blocks), source, &written, &workers(threads)).unwrap();
    assert_eq!(found.as_bytes(), root, "{shape:?} {blocks} {threads}");
    assert!(
        written.tree(shape.hash_block_size) == tree,
        "{shape:?} {blocks} {threads}"
    );
    (found, tree)
}

fn check(
    shape: &Shape,
    blocks: u64,
    data: &Memory,
    tree: &Memory,
    root: &RootHash,
) -> Result<Findings, VerifyTreeError> {
    let params = params(shape, blocks);
    let area = HashArea::new(&params, 0, false).unwrap();
    let parts = TreeParts {
        params: &params,
        root_hash: root,
        data,
        hashes: tree,
        area,
    };
    verify_tree(&parts, &workers(2))
}

#[test]
fn block_counts_around_the_edges_of_blocks() {
    // 16 digests a hash block, and three levels for a run.
    let small = shape("sha256", 512, 512, &[1; 32]);
    // 128 digests a hash block, as usual, over small data blocks.
    let usual = shape("sha256", 512, 4096, &[2; 32]);
    for (shape, counts) in [
        (
            &small,
            vec![1, 2, 15, 16, 17, 255, 256, 257, 1023, 1024, 1025, 65537],
        ),
        (&usual, vec![1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1]),
    ] {
        for blocks in counts {
            let source = Memory::new(bytes(blocks, 512, 0));
            for threads in [1, 2, 7] {
                compare(shape, blocks, &source, threads);
            }
        }
    }
}

#[test]
fn several_runs_of_each_kind_of_unit() {
    for (shape, bytes_of_data) in [
        // Units of one level, many to a run.
        (shape("sha256", 4096, 4096, &[3; 32]), (33 << 20) + 4096),
        // Units of two levels, one to a run.
        (shape("sha512", 4096, 4096, &[]), (33 << 20) + 8192),
        // Units of many levels.
        (shape("sha512", 512, 512, &[4; 7]), (17 << 20) + 512),
        // A unit that is larger than a run should be.
        (shape("sha256", 65536, 32768, &[5]), 65 << 20),
    ] {
        let blocks = bytes_of_data / shape.data_block_size as u64;
        let source = Memory::new(bytes(blocks, shape.data_block_size, 9));
        let (root, tree) = compare(&shape, blocks, &source, 2);
        let findings = check(&shape, blocks, &source, &Memory::new(tree), &root).unwrap();
        assert_eq!(findings, Findings::default());
    }
}

#[test]
fn holes_are_not_read() {
    let shape = shape("sha256", 4096, 4096, &[6; 32]);
    // Two whole runs of zeros, some zeros in a run, a hole that no block fits into, one that ends
    // the data.
    let length = 80 << 20;
    let holes = vec![
        (4096, 8192),
        (16 << 20, 48 << 20),
        ((50 << 20) + 1, (50 << 20) + 4096),
        ((51 << 20) + 100, (52 << 20) + 100),
        (60 << 20, length),
    ];
    let data = bytes(length / 4096, 4096, 1);
    let whole = Memory::with_holes(data.clone(), holes.clone());
    let sparse_bytes: u64 = holes.iter().map(|(start, end)| end - start).sum();
    compare(&shape, length / 4096, &whole, 2);
    let read = whole.read.into_inner();
    assert!(read < length - sparse_bytes + 16 * 4096, "{read}");
    // What is not known to be zeros is read, and gives the same.
    let blind = Memory::new(whole.data);
    compare(&shape, length / 4096, &blind, 2);
    assert_eq!(blind.read.into_inner(), length);
}

#[test]
fn the_sink_gets_all_data_but_holes() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let source = Memory::with_holes(bytes(10_000, 4096, 1), vec![(8192, 40960)]);
    let written = WrittenBytes::default();
    hash_tree(&params(&shape, 10_000), &source, &written, &workers(2)).unwrap();
    let mut copy = vec![0; source.data.len()];
    for (offset, data) in written.data.into_inner().unwrap() {
        assert!(offset + data.len() as u64 <= 8192 || offset >= 40960);
        copy[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
    }
    assert!(copy == source.data);
}

#[test]
fn data_that_ends_early_is_an_error_with_its_name() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let source = Memory::new(bytes(9_999, 4096, 1));
    let error = hash_tree(
        &params(&shape, 10_000),
        &source,
        &WrittenBytes::default(),
        &workers(2),
    );
    match error {
        Err(HashTreeError::Source(SourceError::Ended { path, .. })) => {
            assert_eq!(path.to_str(), Some("memory"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_sink_is_an_error() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let source = Memory::new(bytes(10_000, 4096, 1));
    for full_at in [0, 2, 50] {
        let full = WrittenBytes {
            full_at: Some(full_at),
            ..WrittenBytes::default()
        };
        let result = hash_tree(&params(&shape, 10_000), &source, &full, &workers(2));
        assert!(matches!(result, Err(HashTreeError::Sink(_))), "{result:?}");
    }
}

/// A source of which one thread waits for what another one should have read before.
#[derive(Default)]
struct InOrder {
    given_up: Mutex<bool>,
    woken: Condvar,
}

impl Source for InOrder {
    fn bytes(&self) -> u64 {
        10_000 * 4096
    }

    fn read_exact_at(&self, _buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let given_up = self.given_up.lock().unwrap();
        // In another thread's run.
        if offset >= 4 << 20 {
            let waits = |given_up: &mut bool| !*given_up;
            drop(self.woken.wait_while(given_up, waits).unwrap());
            return Err(SourceError::Changed("what was read before".into()));
        }
        Ok(())
    }

    fn give_up(&self) {
        *self.given_up.lock().unwrap() = true;
        self.woken.notify_all();
    }
}

/// Or else they would wait for ever.
#[test]
fn a_failure_is_told_to_those_that_wait_for_bytes() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let source = InOrder::default();
    let full = WrittenBytes {
        full_at: Some(0),
        ..WrittenBytes::default()
    };
    let result = hash_tree(&params(&shape, 10_000), &source, &full, &workers(5));
    assert!(matches!(result, Err(HashTreeError::Sink(_))), "{result:?}");
}

#[test]
fn an_interrupt_ends_it() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let source = Memory::new(bytes(10, 4096, 1));
    let workers = Workers::new(2, Arc::new(AtomicBool::new(true))).unwrap();
    let params = params(&shape, 10);
    let written = WrittenBytes::default();
    let result = hash_tree(&params, &source, &written, &workers);
    assert!(matches!(result, Err(HashTreeError::Interrupted(_))));
    assert!(written.tree(4096).is_empty());
}

/// Flips one byte of each kind of block, and wants to read which.
#[test]
fn each_corrupt_block_is_told() {
    let shape = shape("sha256", 512, 512, &[7; 32]);
    let blocks = 70_000;
    let data = bytes(blocks, 512, 3);
    let (root, tree) = shape.tree(&data);
    let root = hex::encode(root).parse().unwrap();
    let layout = TreeLayout::new(&params(&shape, blocks));
    assert_eq!(layout.levels().len(), 5);

    for block in [0, 1, 4095, 65_536, blocks - 1] {
        let mut data = data.clone();
        data[block as usize * 512 + 511] ^= 1;
        let tree = Memory::new(tree.clone());
        let findings = check(&shape, blocks, &Memory::new(data), &tree, &root).unwrap();
        assert_eq!(
            format!("{:?}", findings.corrupt_data),
            format!("[{:?}]", block..block + 1)
        );
        assert!(findings.corrupt_hash_blocks.is_empty() && findings.unverifiable_data.is_empty());
    }

    for (level, at) in layout.levels().iter().enumerate().take(4) {
        for block in [0, at.blocks / 2, at.blocks - 1] {
            let mut tree = tree.clone();
            let offset = (at.first_block + block) * 512;
            tree[offset as usize] ^= 0x80;
            // Corrupt data under it must not be told as such: nobody can know.
            let mut data = data.clone();
            let covered = 16u64.pow(level as u32 + 1);
            let under = block * covered..((block + 1) * covered).min(blocks);
            data[under.start as usize * 512] ^= 1;
            let data = Memory::new(data);
            let findings = check(&shape, blocks, &data, &Memory::new(tree), &root).unwrap();
            assert!(!findings.is_clean());
            let corrupt = findings.corrupt_hash_blocks;
            assert_eq!(corrupt.len(), 1);
            assert_eq!((corrupt[0].level, corrupt[0].block), (level, block));
            assert_eq!(corrupt[0].offset, offset);
            assert!(findings.corrupt_data.is_empty());
            assert_eq!(
                format!("{:?}", findings.unverifiable_data),
                format!("[{under:?}]")
            );
        }
    }

    let mut corrupt = tree.clone();
    corrupt[0] ^= 1;
    let (data, tree) = (Memory::new(data), Memory::new(corrupt));
    let result = check(&shape, blocks, &data, &tree, &root);
    match result {
        Err(VerifyTreeError::RootHash(mismatch)) => {
            assert_eq!(mismatch.expected, root);
            assert_eq!(mismatch.found.as_bytes(), shape.digest(&tree.data[..512]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn corrupt_blocks_are_merged_into_ranges() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let mut data = bytes(20_000, 4096, 0);
    let (root, tree) = shape.tree(&data);
    let root = hex::encode(root).parse().unwrap();
    data[4000 * 4096..9000 * 4096].fill(0xff);
    data[0] ^= 1;
    let (data, tree) = (Memory::new(data), Memory::new(tree));
    let findings = check(&shape, 20_000, &data, &tree, &root).unwrap();
    assert_eq!(findings.corrupt_data, [0..1, 4000..9000]);
}

/// A superblock that claims fewer data blocks than the tree has: the root hash fits all the same.
#[test]
fn a_tree_of_more_data_blocks_is_refused() {
    let shape = shape("sha256", 512, 512, &[]);
    // The highest level that has more digests than it should is told.
    for (made, claimed, level) in [
        (4372, 4371, 0),
        (4368, 4353, 0),
        (4371, 4353, 1),
        (4368, 4352, 2),
    ] {
        let data = bytes(made, 512, 0);
        let (root, tree) = shape.tree(&data);
        let root = hex::encode(root).parse().unwrap();
        let params = params(&shape, claimed);
        let layout = TreeLayout::new(&params);
        // The levels as they are, cut to what the claim leaves of each.
        let whole = TreeLayout::new(&self::params(&shape, made));
        let mut cut = Vec::new();
        for (level, there) in layout.levels().iter().zip(whole.levels()).rev() {
            let start = there.first_block as usize * 512;
            cut.extend(&tree[start..start + level.blocks as usize * 512]);
        }
        let (data, tree) = (Memory::new(data), Memory::new(cut));
        match check(&shape, claimed, &data, &tree, &root) {
            Err(VerifyTreeError::MoreDigests { block, data_blocks }) => {
                assert_eq!((block.level, data_blocks), (level, claimed));
            }
            other => panic!("{made} {claimed}: {other:?}"),
        }
    }
}

#[test]
fn nonzero_bytes_after_the_last_digest_are_corruption() {
    let shape = shape("sha256", 4096, 4096, &[]);
    let data = bytes(200, 4096, 0);
    let (root, mut tree) = shape.tree(&data);
    let root = hex::encode(root).parse().unwrap();
    *tree.last_mut().unwrap() = 1;
    let (data, tree) = (Memory::new(data), Memory::new(tree));
    let findings = check(&shape, 200, &data, &tree, &root).unwrap();
    assert_eq!(findings.corrupt_hash_blocks.len(), 1);
    assert_eq!(findings.corrupt_hash_blocks[0].block, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_the_oracle_says(
        algorithm in prop::sample::select(vec!["sha256", "sha512"]),
        data_bits in 9..=16u32,
        hash_bits in 9..=16u32,
        salt in prop::collection::vec(any::<u8>(), 0..=256),
        blocks in prop_oneof![
            1..400u64,
            prop::sample::select(vec![1, 2, 127, 128, 129]),
        ],
        threads in prop::sample::select(vec![1, 2, 7]),
        seed: u64,
        holes in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        flipped: prop::sample::Index,
    ) {
        let shape = shape(algorithm, 1 << data_bits, 1 << hash_bits, &salt);
        // At most 4 MiB, so that it stays fast where blocks are large.
        let blocks = blocks.min((4 << 20) >> data_bits).max(1);
        let data = bytes(blocks, shape.data_block_size, seed);
        let mut edges: Vec<u64> = holes.iter().map(|i| i.index(data.len()) as u64).collect();
        edges.sort_unstable();
        let holes = edges.chunks_exact(2).map(|edge| (edge[0], edge[1])).collect();
        let mut source = Memory::with_holes(data, holes);
        let (root, tree) = compare(&shape, blocks, &source, threads);

        let tree = Memory::new(tree);
        let findings = check(&shape, blocks, &source, &tree, &root).unwrap();
        prop_assert_eq!(findings, Findings::default());

        // A flipped byte is read only where the source does not claim a hole.
        source.holes.clear();
        let flipped = flipped.index(source.data.len());
        source.data[flipped] ^= 1;
        let block = flipped as u64 >> data_bits;
        match check(&shape, blocks, &source, &tree, &root) {
            Ok(findings) => prop_assert_eq!(
                format!("{:?}", findings.corrupt_data),
                format!("[{:?}]", block..block + 1)
            ),
            Err(error) => {
                prop_assert!(matches!(error, VerifyTreeError::RootHash(_)));
                prop_assert_eq!(blocks, 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn as_the_oracle_says_of_many_small_blocks(
        algorithm in prop::sample::select(vec!["sha256", "sha512"]),
        salt in prop::collection::vec(any::<u8>(), 0..=256),
        blocks in 400..20_000u64,
        threads in prop::sample::select(vec![1, 2, 7]),
        seed: u64,
    ) {
        let shape = shape(algorithm, 512, 512, &salt);
        let source = Memory::new(bytes(blocks, 512, seed));
        compare(&shape, blocks, &source, threads);
    }
}
