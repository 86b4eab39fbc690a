//! `disk-builder root-hash` of a model that comes from a server, against `curl`.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use test_support::{
    http::{HttpReply, HttpServer},
    hub::HubFile,
};

use super::Bench;
use crate::{
    cache::Caches,
    experiment::{self, Agreement},
    report::{Measure, Section},
};

const ABOUT: &str = "The root hash of a file that a server on this machine makes up, fetched by \
    ranges and checked by its SHA-256, against `curl`, which throws away what it gets, and `curl` into \
    `openssl dgst -sha256`, which does not.";

/// The least share of the speed of `curl`, where that is limited by the same hash.
const GOAL: f64 = 0.85;

/// The most memory, whatever the size.
const MEMORY: u64 = 256 << 20;

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let file = HubFile::filled(1, bench.settings.size);
    let (size, digest) = (file.size, file.digest.clone());
    let server = HttpServer::start(move |request| {
        HttpReply::filled(200, file.size, file.fill.clone()).in_range(request)
    });
    let url = format!("{}/weights.bin", server.url());
    let list = bench.data.directory().join("list-of-hub");
    fs::write(&list, format!("{url} {size} {digest}\n"))?;
    let mut root_hash = bench.builder("root-hash");
    root_hash.arg("--files-from").arg(&list);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--output", "/dev/null", &url]);
    let agreed = Agreement::default();
    let nothing: &[_] = &[];
    let mut ours = bench.contestant(
        "disk-builder root-hash, from a server",
        (nothing, Caches::Warm),
        vec![root_hash],
        |printed| agreed.check(printed.trim()),
    )?;
    ours.bytes = size;
    ours.memory_limit = Some(MEMORY);
    let mut theirs = bench.contestant("curl", (nothing, Caches::Warm), vec![curl], |_| Ok(()))?;
    theirs.bytes = size;
    let mut pipe = Command::new("sh");
    let script = r#"curl --silent --show-error "$0" | openssl dgst -sha256 -r"#;
    pipe.args(["-c", script, &url]);
    let mut hashed = bench.contestant(
        "curl into openssl",
        (nothing, Caches::Warm),
        vec![pipe],
        |said| {
            ensure!(said.starts_with(&digest), "openssl says {said}");
            Ok(())
        },
    )?;
    hashed.bytes = size;
    let runs = experiment::run(vec![ours, theirs, hashed], bench.settings.rounds)?;
    fs::remove_file(list)?;
    let mut section = Section::new("From a server", ABOUT, runs)
        .compare(0, 1, Measure::Faster(None))
        .compare(0, 2, Measure::Faster(Some(GOAL)));
    section.notes.push(
        "The server takes a processor's time as well, for each byte that it sends.".to_owned(),
    );
    Ok(section)
}
