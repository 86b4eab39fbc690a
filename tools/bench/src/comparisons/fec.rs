//! `disk-builder hash --fec` against `veritysetup format --fec-device`, and against no parity.

use std::path::Path;

use anyhow::Result;

use super::{Bench, file_digest, hash, note_caches};
use crate::{
    cache::Caches,
    experiment::{self, Agreement, Contestant},
    report::{Measure, Section},
};

const ABOUT: &str = "A hash tree over an image, and parity of 2 roots over both, each into a file of \
    its own. Both write them to the disk before they end. Every run must give the same root hash, \
    the same tree and the same parity.";

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let size = bench.settings.size;
    bench.check_memory(size)?;
    let image = [bench.image(size)?];
    let input = (&image, Caches::Warm);
    let (trees, parities) = (Agreement::default(), Agreement::default());
    let parity = bench.output("parity");
    let without = hash::disk_builder(bench, input, Some(2), &trees)?;
    let ours = hash::disk_builder(bench, input, Some(2), &trees)?;
    let peer = hash::veritysetup(bench, input, &trees)?;
    let contestants = vec![
        with_parity(ours, &["--fec"], &parity, &parities),
        with_parity(peer, &[], &parity, &parities),
        without,
    ];
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    let mut section = Section::new("Hash an image with parity, warm", ABOUT, runs)
        .compare(0, 1, Measure::Faster(Some(30.0)))
        .compare(0, 2, Measure::Cost(Some(1.25)));
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}

/// The same, with parity in a file of its own, which must be the same for all.
fn with_parity<'a>(
    contestant: Contestant<'a>,
    options: &[&str],
    parity: &'a Path,
    agreed: &'a Agreement,
) -> Contestant<'a> {
    let Contestant {
        mut commands,
        finish,
        ..
    } = contestant;
    for command in &mut commands {
        command.args(options).arg("--fec-device").arg(parity);
    }
    Contestant {
        name: format!("{}, parity", contestant.name),
        commands,
        finish: Box::new(move |printed| {
            agreed.check(&file_digest(parity, 0)?)?;
            finish(printed)
        }),
        ..contestant
    }
}
