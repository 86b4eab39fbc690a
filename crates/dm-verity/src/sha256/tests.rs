//! Every backend that the CPU has against the plain use of the crate `sha2`.

use sha2::{Digest as _, Sha256};

use super::{
    super::{BlockSize, MAX_SALT_SIZE},
    Backend, Salted,
    run::DIGEST_SIZE,
};

/// A number of blocks that gives every backend whole groups and the ways to
/// leave some over: 16 + 2 + 1, 2 × 8 + 3, 9 × 2 + 1.
const BLOCKS: usize = 19;

/// Bytes that differ from block to block.
fn some_bytes(size: usize) -> Vec<u8> {
    (0..size as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// The digests of `blocks`, checked to be the same from every backend.
#[track_caller]
fn check(salt: &[u8], blocks: &[u8], block_size: BlockSize) {
    let expected: Vec<u8> = blocks
        .chunks(block_size.as_usize())
        .flat_map(|block| Sha256::new_with_prefix(salt).chain_update(block).finalize())
        .collect();
    let salted = Salted::new(salt);
    for backend in Backend::supported() {
        let mut digests = vec![0; expected.len()];
        backend.digest_blocks(&salted, blocks, block_size, &mut digests);
        assert!(
            digests == expected,
            "{backend}: salt of {}, {} blocks of {block_size}",
            salt.len(),
            expected.len() / DIGEST_SIZE
        );
    }
}

#[test]
fn all_salt_lengths() {
    let size = BlockSize::new(512).unwrap();
    let salt = some_bytes(MAX_SALT_SIZE);
    let blocks = some_bytes(BLOCKS * size.as_usize());
    for salt_len in 0..=MAX_SALT_SIZE {
        check(&salt[..salt_len], &blocks, size);
    }
}

#[test]
fn all_block_sizes() {
    let salt = some_bytes(60);
    for shift in 9..=16 {
        let size = BlockSize::new(1 << shift).unwrap();
        let blocks = some_bytes(BLOCKS * size.as_usize());
        // In line with the chunks, and with the padding in two chunks.
        for salt_len in [0, 60] {
            check(&salt[..salt_len], &blocks, size);
        }
    }
}

#[test]
fn counts_around_the_lanes() {
    let size = BlockSize::new(512).unwrap();
    let blocks = some_bytes(35 * size.as_usize());
    for count in 0..=35 {
        check(&[0x5a; 32], &blocks[..count * size.as_usize()], size);
    }
}

#[test]
fn any_alignment() {
    let size = BlockSize::new(512).unwrap();
    let bytes = some_bytes(64 + BLOCKS * size.as_usize());
    for offset in 0..64 {
        let blocks = &bytes[offset..][..BLOCKS * size.as_usize()];
        check(&[0x5a; 32], blocks, size);
    }
}

#[test]
#[should_panic(expected = "whole blocks")]
fn part_of_a_block() {
    let size = BlockSize::new(512).unwrap();
    let mut digests = [0; DIGEST_SIZE];
    Backend::chosen().digest_blocks(&Salted::new(&[]), &[0; 513], size, &mut digests);
}

#[test]
#[should_panic(expected = "whole blocks")]
fn part_of_a_digest() {
    let size = BlockSize::new(512).unwrap();
    let mut digests = [0; DIGEST_SIZE + 1];
    Backend::chosen().digest_blocks(&Salted::new(&[]), &[0; 512], size, &mut digests);
}

/// An emulator that is to have some instructions has them: they were compared.
#[test]
fn backends_that_are_expected() {
    let supported: Vec<_> = Backend::supported().map(Backend::name).collect();
    for name in std::env::var("EXPECTED_BACKENDS")
        .unwrap_or_default()
        .split_whitespace()
    {
        assert!(supported.contains(&name), "{name} is not in {supported:?}");
    }
}
