//! SHA-256 of blocks with a salt: every backend that this CPU has, and the crate
//! `sha2` used plainly, on one core and in cache. `cargo bench --bench sha256`.

use divan::{Bencher, black_box, counter::BytesCount};
use dm_verity::{BlockHasher, BlockSize, HashAlgorithm, Salt, sha256::Backend};
use sha2::{Digest, Sha256};

/// As `disk-builder` makes it.
const SALT: [u8; 32] = [0x5a; 32];

/// 256 KiB with blocks of the default size: in cache, and whole groups for
/// every backend.
const BLOCKS: usize = 64;

fn main() {
    println!("Backend of this process: {}", Backend::chosen());
    divan::main();
}

fn some_bytes(size: usize) -> Vec<u8> {
    (0..size as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Blocks of 4096 bytes.
#[divan::bench(args = Backend::supported())]
fn backend(bencher: Bencher<'_, '_>, backend: Backend) {
    digest_blocks(bencher, backend, BlockSize::DEFAULT, BLOCKS);
}

/// Blocks of 512 bytes: the least that a backend can do at a time.
#[divan::bench(args = Backend::supported())]
fn backend_small_blocks(bencher: Bencher<'_, '_>, backend: Backend) {
    digest_blocks(
        bencher,
        backend,
        BlockSize::new(512).expect("a block size"),
        BLOCKS,
    );
}

/// One block less than whole groups: the most that can be left over.
#[divan::bench(args = Backend::supported())]
fn backend_leftovers(bencher: Bencher<'_, '_>, backend: Backend) {
    digest_blocks(bencher, backend, BlockSize::DEFAULT, 31);
}

fn digest_blocks(bencher: Bencher<'_, '_>, backend: Backend, block_size: BlockSize, count: usize) {
    let hasher = BlockHasher::new(HashAlgorithm::Sha256, &Salt::from(SALT)).with_backend(backend);
    let blocks = some_bytes(count * block_size.as_usize());
    let mut digests = vec![0; count * 32];
    bencher
        .counter(BytesCount::new(blocks.len()))
        .bench_local(|| hasher.digest_blocks(black_box(&blocks), block_size, &mut digests));
}

/// What the backends are measured against.
#[divan::bench]
fn sha2_crate(bencher: Bencher<'_, '_>) {
    let salted = Sha256::new_with_prefix(SALT);
    let blocks = some_bytes(BLOCKS * BlockSize::DEFAULT.as_usize());
    let mut digests = vec![[0; 32]; BLOCKS];
    bencher
        .counter(BytesCount::new(blocks.len()))
        .bench_local(|| {
            let blocks = black_box(&blocks).chunks(BlockSize::DEFAULT.as_usize());
            for (block, digest) in blocks.zip(&mut digests) {
                *digest = salted.clone().chain_update(block).finalize().into();
            }
        });
}
