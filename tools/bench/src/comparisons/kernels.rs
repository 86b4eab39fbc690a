//! The SHA-256 kernels of this CPU against the crate `sha2`, used plainly.

use anyhow::Result;
use dm_verity::{BlockHasher, BlockSize, HashAlgorithm, Salt, sha256::Backend};
use sha2::{Digest, Sha256};

use super::{
    BLOCK, Bench,
    in_cache::{self, Candidate},
};
use crate::{
    data,
    report::{Measure, Section},
};

const ABOUT: &str = "SHA-256 of 64 blocks of 4096 bytes, again and again, with a salt of 32 bytes, \
    in cache, on one thread; the seconds are those of its processor time. All must give the same \
    digests.";

const SALT: [u8; 32] = [0x5a; 32];

/// 256 KiB: in cache, and whole groups for every kernel.
const BLOCKS: usize = 64;

pub(super) fn section(_: &Bench) -> Result<Section> {
    let mut blocks = vec![0; BLOCKS * BLOCK as usize];
    data::noise(&mut blocks, 9);
    let mut candidates: Vec<Candidate<'_>> = Backend::supported().map(kernel).collect();
    candidates.push(sha2_crate());
    let runs = in_cache::run(&mut candidates, &blocks, BLOCKS * 32)?;
    let mut section = Section::new("SHA-256 kernels", ABOUT, runs);
    let crate_place = candidates.len() - 1;
    for (place, candidate) in candidates[..crate_place].iter().enumerate() {
        section = section.compare(place, crate_place, Measure::Faster(candidate.goal));
    }
    Ok(section)
}

fn kernel(kernel: Backend) -> Candidate<'static> {
    let hasher = BlockHasher::new(HashAlgorithm::Sha256, &Salt::from(SALT)).with_backend(kernel);
    let goal = match kernel.name() {
        "avx512" => Some(2.3),
        "sha-ni" => Some(1.25),
        _ => None,
    };
    Candidate::here(format!("kernel {kernel}"), goal, move |blocks, digests| {
        hasher.digest_blocks(blocks, BlockSize::DEFAULT, digests);
    })
}

fn sha2_crate() -> Candidate<'static> {
    let salted = Sha256::new_with_prefix(SALT);
    Candidate::here("crate sha2", None, move |blocks, digests| {
        let blocks = blocks.chunks(BLOCK as usize);
        for (block, digest) in blocks.zip(digests.chunks_mut(32)) {
            digest.copy_from_slice(&salted.clone().chain_update(block).finalize());
        }
    })
}
