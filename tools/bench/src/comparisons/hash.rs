//! `disk-builder hash` against `veritysetup format`.

use std::process::Command;

use anyhow::Result;

use super::{BLOCK, Bench, memory_limit, note_caches, root_hash, tree_digest};
use crate::{
    cache::{CachedFile, Caches},
    experiment::{self, Agreement, Contestant},
    report::{Measure, Section},
};

/// The same for all, so that all must get the same tree.
const SALT: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

const ABOUT: &str = "A hash tree over an image, into a file of its own. Both write it to the disk \
    before they end. Every run must give the same root hash and the same tree.";

/// On 1 and 2 threads in the page cache; from the disk on as many as it likes.
pub(super) fn section(bench: &Bench, caches: Caches) -> Result<Section> {
    let image = [bench.image(bench.settings.size)?];
    let agreed = Agreement::default();
    let peer = veritysetup(bench, (&image, caches), &agreed)?;
    let ours = |threads| disk_builder(bench, (&image, caches), threads, &agreed);
    let rounds = bench.settings.rounds;
    let mut section = match caches {
        Caches::Warm => {
            bench.check_memory(bench.settings.size)?;
            let runs = experiment::run(vec![ours(Some(2))?, ours(Some(1))?, peer], rounds)?;
            Section::new("Hash an image, warm", ABOUT, runs)
                .compare(0, 2, Measure::Faster(Some(5.0)))
                .compare(1, 2, Measure::Faster(Some(2.5)))
        }
        Caches::Cold => {
            let runs = experiment::run(vec![ours(None)?, peer], rounds)?;
            Section::new("Hash an image, cold", ABOUT, runs).compare(
                0,
                1,
                Measure::Faster(Some(2.0)),
            )
        }
    };
    note_caches(&mut section, caches);
    Ok(section)
}

/// `disk-builder hash` on so many threads.
pub(super) fn disk_builder<'a>(
    bench: &'a Bench,
    (input, caches): (&'a [CachedFile; 1], Caches),
    threads: Option<u16>,
    agreed: &'a Agreement,
) -> Result<Contestant<'a>> {
    let tree = bench.output("tree");
    let [CachedFile { path, length }] = input;
    let mut command = bench.builder("hash");
    command
        .arg(path)
        .arg("--hash-device")
        .arg(&tree)
        .args(["--salt", SALT, "--data-blocks"])
        .arg((length / BLOCK).to_string());
    let mut name = format!("disk-builder hash, {}", caches.name());
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
        name += &format!(", {threads} thread{}", if threads == 1 { "" } else { "s" });
    }
    let check = move |printed: &str| {
        agreed.check(&format!("{} {}", root_hash(printed)?, tree_digest(&tree)?))
    };
    let contestant = bench.contestant(name, (input, caches), vec![command], check)?;
    Ok(Contestant {
        memory_limit: Some(memory_limit(*length)),
        ..contestant
    })
}

/// `veritysetup format`, which has one thread.
pub(super) fn veritysetup<'a>(
    bench: &'a Bench,
    (input, caches): (&'a [CachedFile; 1], Caches),
    agreed: &'a Agreement,
) -> Result<Contestant<'a>> {
    let tree = bench.output("tree");
    let [CachedFile { path, length }] = input;
    let mut command = Command::new("veritysetup");
    command
        .arg("format")
        .arg(path)
        .arg(&tree)
        .arg(format!("--salt={SALT}"))
        .arg(format!("--data-blocks={}", length / BLOCK));
    let name = format!("veritysetup format, {}", caches.name());
    bench.contestant(name, (input, caches), vec![command], move |printed| {
        agreed.check(&format!("{} {}", root_hash(printed)?, tree_digest(&tree)?))
    })
}
