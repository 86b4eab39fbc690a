//! `disk-builder verify` against `veritysetup verify`.

use std::process::Command;

use anyhow::Result;

use super::{BLOCK, Bench, call, memory_limit, note_caches, root_hash};
use crate::{
    cache::{CachedFile, Caches},
    data,
    experiment::{self, Contestant},
    report::{Measure, Section},
};

const ABOUT: &str = "Every block of an image against its tree and the root hash, data and tree in \
    the page cache. Both check a tree that disk-builder made, and must find it right.";

pub(super) fn section(bench: &Bench) -> Result<Section> {
    bench.check_memory(bench.settings.size)?;
    let image = bench.image(bench.settings.size)?;
    let blocks = (image.length / BLOCK).to_string();
    // Not among the outputs, which are removed after each run.
    let tree = bench.data.directory().join("tree-to-verify");
    data::remove(&tree)?;
    let printed = call(
        bench
            .builder("hash")
            .arg(&image.path)
            .arg("--hash-device")
            .arg(&tree)
            .args(["--data-blocks", &blocks]),
    )?;
    let root_hash = root_hash(&printed)?;
    let (image_path, length) = (image.path.clone(), image.length);
    let inputs = [image, CachedFile::whole(&tree)?];
    let warm = (inputs.as_slice(), Caches::Warm);

    let ours = |threads: &str, name: &str| -> Result<Contestant<'_>> {
        let mut command = bench.builder("verify");
        command
            .arg(&image_path)
            .arg("--hash-device")
            .arg(&tree)
            .args(["--root-hash", root_hash, "--threads", threads]);
        let name = format!("disk-builder verify, {name}");
        let contestant = bench.contestant(name, warm, vec![command], |_| Ok(()))?;
        Ok(Contestant {
            memory_limit: Some(memory_limit(length)),
            ..contestant
        })
    };
    let mut command = Command::new("veritysetup");
    command
        .arg("verify")
        .arg(&image_path)
        .arg(&tree)
        .arg(root_hash);
    let peer = bench.contestant("veritysetup verify", warm, vec![command], |_| Ok(()))?;

    let contestants = vec![ours("2", "2 threads")?, ours("1", "1 thread")?, peer];
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    data::remove(&tree)?;
    let mut section = Section::new("Verify an image, warm", ABOUT, runs)
        .compare(0, 2, Measure::Faster(Some(5.0)))
        .compare(1, 2, Measure::Faster(None));
    note_caches(&mut section, Caches::Warm);
    Ok(section)
}
