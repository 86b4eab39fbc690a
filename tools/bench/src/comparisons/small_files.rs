//! `disk-builder root-hash` of a model that is nothing but small files.

use std::process::Command;

use anyhow::Result;

use super::{Bench, note_caches};
use crate::{
    cache::{self, CachedFile, Caches},
    experiment::{self, Agreement},
    report::{Measure, Section},
};

const ABOUT: &str = "The root hash of a directory of small files, all in the page cache, against \
    `sha256sum` of each of them.";

/// How many each second.
const GOAL: f64 = 100_000.0;

pub(super) fn section(bench: &Bench) -> Result<Section> {
    // By default 100,000, and quick 12,500.
    let count = bench.settings.size / 42_950;
    let path = bench.data.small_files(count)?;
    let inputs: Vec<CachedFile> = cache::files(&path)?
        .iter()
        .map(|file| CachedFile::whole(file))
        .collect::<Result<_>>()?;
    let agreed = Agreement::default();
    let input = (inputs.as_slice(), Caches::Warm);
    let mut root_hash = bench.builder("root-hash");
    root_hash.arg(&path);
    let mut sums = Command::new("find");
    sums.arg(&path)
        .args(["-type", "f", "-exec", "sha256sum", "{}", "+"]);
    let contestants = vec![
        bench.contestant(
            "disk-builder root-hash, small files",
            input,
            vec![root_hash],
            |printed| agreed.check(printed.trim()),
        )?,
        bench.contestant("sha256sum, small files", input, vec![sums], |_| Ok(()))?,
    ];
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    let rate = count as f64 / runs[0].seconds();
    let mut section =
        Section::new("Root hash of small files", ABOUT, runs).compare(0, 1, Measure::Faster(None));
    section.notes.push(format!(
        "{count} files of a few hundred bytes: {rate:.0} a second, the start of the program \
         included; the goal is {GOAL}."
    ));
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}
