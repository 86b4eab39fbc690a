//! Functions that do the same to bytes in the cache, on one thread, again and again.

use std::{hint::black_box, time::Duration};

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};

use crate::report::{RunTimes, Sample};

/// The slowest should take this long at least, so that reading the clock takes nothing.
const ENOUGH_SECONDS: f64 = 0.05;

/// More rounds than elsewhere, as they are short.
const ROUNDS: u32 = 15;

/// From bytes to what is made of them.
type Work<'a> = Box<dyn FnMut(&[u8], &mut [u8]) + 'a>;

/// The processor time of so many repetitions by another program, in seconds, and what it made.
type ElsewhereWork<'a> = Box<dyn Fn(u64) -> Result<(f64, Vec<u8>)> + 'a>;

/// A way to do it.
pub(super) struct Candidate<'a> {
    pub(super) name: String,
    pub(super) goal: Option<f64>,
    work: CandidateWork<'a>,
}

enum CandidateWork<'a> {
    Here(Work<'a>),
    Elsewhere(ElsewhereWork<'a>),
}

impl<'a> Candidate<'a> {
    /// A function of this program.
    pub(super) fn here(
        name: impl Into<String>,
        goal: Option<f64>,
        work: impl FnMut(&[u8], &mut [u8]) + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            goal,
            work: CandidateWork::Here(Box::new(work)),
        }
    }

    /// One of another program.
    pub(super) fn elsewhere(
        name: impl Into<String>,
        work: impl Fn(u64) -> Result<(f64, Vec<u8>)> + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            goal: None,
            work: CandidateWork::Elsewhere(Box::new(work)),
        }
    }

    /// The processor time for so many repetitions, in seconds.
    fn time(&mut self, repeat: u64, input: &[u8], output: &mut [u8]) -> Result<f64> {
        match &mut self.work {
            CandidateWork::Here(work) => {
                let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
                let start = now()?;
                for _ in 0..repeat {
                    work(black_box(input), black_box(&mut *output));
                }
                Ok(Duration::from(now()? - start).as_secs_f64())
            }
            CandidateWork::Elsewhere(work) => {
                let (seconds, made) = work(repeat)?;
                if made.len() != output.len() {
                    bail!("{} made {} bytes", self.name, made.len());
                }
                output.copy_from_slice(&made);
                Ok(seconds)
            }
        }
    }
}

/// Runs all in turns, and sees that all make the same, in which bytes that nobody writes are zero.
pub(super) fn run(
    candidates: &mut [Candidate<'_>],
    input: &[u8],
    output_bytes: usize,
) -> Result<Vec<RunTimes>> {
    let mut expected: Option<Vec<u8>> = None;
    for candidate in &mut *candidates {
        let mut output = vec![0; output_bytes];
        candidate.time(1, input, &mut output)?;
        if *expected.get_or_insert_with(|| output.clone()) != output {
            bail!("{} makes other bytes than the first", candidate.name);
        }
    }

    let mut output = vec![0; output_bytes];
    let mut repeat = 1;
    loop {
        let mut longest: f64 = 0.0;
        for candidate in &mut *candidates {
            longest = longest.max(candidate.time(repeat, input, &mut output)?);
        }
        if longest >= ENOUGH_SECONDS {
            break;
        }
        repeat *= 2;
    }
    let mut samples = vec![Vec::new(); candidates.len()];
    for _ in 0..ROUNDS {
        for (candidate, samples) in candidates.iter_mut().zip(&mut samples) {
            let seconds = candidate.time(repeat, input, &mut output)?;
            samples.push(Sample {
                seconds,
                cpu_seconds: seconds,
                ..Sample::default()
            });
        }
    }
    let runs = candidates.iter().zip(samples);
    let runs = runs.map(|(candidate, samples)| RunTimes {
        name: candidate.name.clone(),
        bytes: repeat * input.len() as u64,
        memory_limit: None,
        seconds_limit: None,
        samples,
    });
    Ok(runs.collect())
}
