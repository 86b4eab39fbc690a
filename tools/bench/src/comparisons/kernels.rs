//! The SHA-256 kernels of this CPU against the crate `sha2`, used plainly.

use std::hint::black_box;

use anyhow::{Result, bail};
use dm_verity::{BlockHasher, BlockSize, HashAlgorithm, Salt, sha256::Backend};
use nix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use super::{BLOCK, Bench};
use crate::{
    data,
    report::{Measure, RunTimes, Sample, Section},
};

const ABOUT: &str = "SHA-256 of 64 blocks of 4096 bytes, again and again, with a salt of 32 bytes, \
    in cache, on one thread; the seconds are those of its processor time. All must give the same \
    digests.";

const SALT: [u8; 32] = [0x5a; 32];

/// 256 KiB: in cache, and whole groups for every kernel.
const BLOCKS: usize = 64;

/// The slowest should take this long at least, so that reading the clock takes nothing.
const ENOUGH_SECONDS: f64 = 0.05;

/// More rounds than elsewhere, as they are short.
const ROUNDS: u32 = 15;

pub(super) fn section(_: &Bench) -> Result<Section> {
    let mut blocks = vec![0; BLOCKS * BLOCK as usize];
    data::noise(&mut blocks, 9);
    let mut candidates: Vec<Candidate> = Backend::supported().map(Candidate::kernel).collect();
    candidates.push(Candidate::sha2_crate());

    let mut digests = vec![0; BLOCKS * 32];
    let mut expected = None;
    for candidate in &candidates {
        (candidate.hash)(&blocks, &mut digests);
        if *expected.get_or_insert_with(|| digests.clone()) != digests {
            bail!(
                "{} gives other digests than {}",
                candidate.name,
                candidates[0].name
            );
        }
    }

    let mut repeat = 1;
    while longest(repeat, &candidates, &blocks, &mut digests)? < ENOUGH_SECONDS {
        repeat *= 2;
    }
    let mut samples = vec![Vec::new(); candidates.len()];
    for _ in 0..ROUNDS {
        for (candidate, samples) in candidates.iter().zip(&mut samples) {
            let seconds = time(repeat, candidate, &blocks, &mut digests)?;
            samples.push(Sample {
                seconds,
                cpu_seconds: seconds,
                ..Sample::default()
            });
        }
    }

    let goals: Vec<Option<f64>> = candidates.iter().map(|candidate| candidate.goal).collect();
    let runs = candidates
        .iter()
        .zip(samples)
        .map(|(candidate, samples)| RunTimes {
            name: candidate.name.clone(),
            bytes: repeat * blocks.len() as u64,
            memory_limit: None,
            seconds_limit: None,
            samples,
        });
    let mut section = Section::new("SHA-256 kernels", ABOUT, runs.collect());
    let crate_place = goals.len() - 1;
    for (place, goal) in goals[..crate_place].iter().enumerate() {
        section = section.compare(place, crate_place, Measure::Faster(*goal));
    }
    Ok(section)
}

/// From blocks to the digests of all.
type Hash = Box<dyn Fn(&[u8], &mut [u8])>;

/// A way to get the digests of blocks.
struct Candidate {
    name: String,
    goal: Option<f64>,
    hash: Hash,
}

impl Candidate {
    fn kernel(kernel: Backend) -> Self {
        let hasher =
            BlockHasher::new(HashAlgorithm::Sha256, &Salt::from(SALT)).with_backend(kernel);
        Self {
            name: format!("kernel {kernel}"),
            goal: match kernel.name() {
                "avx512" => Some(2.3),
                "sha-ni" => Some(1.25),
                _ => None,
            },
            hash: Box::new(move |blocks, digests| {
                hasher.digest_blocks(blocks, BlockSize::DEFAULT, digests);
            }),
        }
    }

    fn sha2_crate() -> Self {
        let salted = Sha256::new_with_prefix(SALT);
        Self {
            name: "crate sha2".into(),
            goal: None,
            hash: Box::new(move |blocks, digests| {
                let blocks = blocks.chunks(BLOCK as usize);
                for (block, digest) in blocks.zip(digests.chunks_mut(32)) {
                    digest.copy_from_slice(&salted.clone().chain_update(block).finalize());
                }
            }),
        }
    }
}

/// The time of the slowest.
fn longest(
    repeat: u64,
    candidates: &[Candidate],
    blocks: &[u8],
    digests: &mut [u8],
) -> Result<f64> {
    let mut longest: f64 = 0.0;
    for candidate in candidates {
        longest = longest.max(time(repeat, candidate, blocks, digests)?);
    }
    Ok(longest)
}

/// The processor time of this thread for so many repetitions, in seconds.
fn time(repeat: u64, candidate: &Candidate, blocks: &[u8], digests: &mut [u8]) -> Result<f64> {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    let start = now()?;
    for _ in 0..repeat {
        (candidate.hash)(black_box(blocks), black_box(&mut *digests));
    }
    Ok(std::time::Duration::from(now()? - start).as_secs_f64())
}
