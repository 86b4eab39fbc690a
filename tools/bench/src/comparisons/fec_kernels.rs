//! The FEC kernels of this CPU against ISA-L, of which no faster is known.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    str,
};

use anyhow::{Context, Result, bail};
use dm_verity::fec::{FecBackend, FecEncoder, FecRoots, ParityPlanes};

use super::{
    BLOCK, Bench,
    in_cache::{self, Candidate},
};
use crate::{
    data,
    report::{Measure, Section},
};

const ABOUT: &str = "Parity with 2 roots of a row of 253 blocks of 4096 bytes, again and again, in \
    cache, on one thread; the seconds are those of its processor time. All must make the same parity. \
    ISA-L has two ways: one reads the blocks side by side, and one takes a block at a time, as \
    disk-builder has to.";

/// Compiled where ISA-L is.
const PEER: &str = include_str!("../../peers/isal.c");

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let roots = FecRoots::default();
    // Pages begin with a line of the cache, and what is mapped is pages.
    let mut memory = vec![0; roots.columns() * BLOCK as usize + 64];
    let start = memory.as_ptr().align_offset(64);
    let row = &mut memory[start..][..roots.columns() * BLOCK as usize];
    data::noise(row, 10);
    let row = &*row;
    let folder = tempfile::tempdir_in(&bench.outputs)?;
    let program = folder.path().join("isal");
    let peer = compile(&program);
    let mut candidates: Vec<Candidate<'_>> = FecBackend::supported()
        .map(|backend| kernel(backend, roots))
        .collect();
    let ours = candidates.len();
    if peer.is_ok() {
        for way in ["encode", "update"] {
            let program = &program;
            let run = move |repeat| elsewhere(program, way, roots, repeat, row);
            candidates.push(Candidate::elsewhere(format!("ISA-L {way}"), run));
        }
    }
    let runs = in_cache::run(&mut candidates, row, roots.get() * BLOCK as usize)?;
    let mut section = Section::new("FEC kernels", ABOUT, runs);
    match peer {
        Ok(()) => {
            for other in ours..candidates.len() {
                for (place, candidate) in candidates[..ours].iter().enumerate() {
                    section = section.compare(place, other, Measure::Faster(candidate.goal));
                }
            }
        }
        Err(error) => section.notes.push(format!(
            "ISA-L was not measured; on Debian: apt-get install libisal-dev: {error:#}"
        )),
    }
    Ok(section)
}

fn kernel(backend: FecBackend, roots: FecRoots) -> Candidate<'static> {
    let encoder = FecEncoder::new(roots).with_backend(backend);
    let mut planes = ParityPlanes::new(roots, BLOCK as usize);
    Candidate::here(format!("kernel {backend}"), None, move |row, parity| {
        planes.clear();
        for (column, block) in row.chunks(BLOCK as usize).enumerate() {
            encoder.add(column, block, &mut planes, 0);
        }
        parity.copy_from_slice(planes.as_bytes());
    })
}

fn compile(program: &Path) -> Result<()> {
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O2", "-x", "c", "-", "-lisal", "-o"])
        .arg(program);
    let output = fed(&mut compiler, PEER.as_bytes())?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "{}",
            message.lines().next().unwrap_or("it cannot be compiled")
        );
    }
    Ok(())
}

/// The seconds of so many repetitions, and the planes.
fn elsewhere(
    program: &Path,
    way: &str,
    roots: FecRoots,
    repeat: u64,
    row: &[u8],
) -> Result<(f64, Vec<u8>)> {
    let mut peer = Command::new(program);
    peer.args([way, &roots.to_string(), &repeat.to_string()]);
    let output = fed(&mut peer, row)?;
    if !output.status.success() {
        bail!("ISA-L's program failed: {output:?}");
    }
    let seconds = str::from_utf8(&output.stderr)?.trim().parse();
    Ok((seconds.context("seconds")?, output.stdout))
}

/// Runs a program that reads its input to the end before it prints anything.
fn fed(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    Ok(child.wait_with_output()?)
}
