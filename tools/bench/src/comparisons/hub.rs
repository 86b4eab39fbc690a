//! `disk-builder root-hash` of a model that comes from a server, against `curl`.

use std::{io::Write, process::Command};

use anyhow::{Result, ensure};
use tempfile::{NamedTempFile, TempPath};
use test_support::{
    http::{HttpReply, HttpServer},
    hub::HubFile,
};

use super::Bench;
use crate::{
    cache::Caches,
    experiment::{self, Agreement, Contestant},
    report::{Measure, Section},
};

const ABOUT: &str = "The root hash of a file that a server on this machine makes up, fetched by \
    ranges and checked by its SHA-256, against `curl`, which throws away what it gets, and `curl` into \
    `openssl dgst -sha256`, which does not. Then the same from servers that are as fast as a network.";

/// The least share of the speed of `curl`, where that is limited by the same hash, or by a network.
const GOAL: f64 = 0.85;

/// How fast networks are, in bytes a second.
const RATES: [(&str, u64); 2] = [("500 MB/s", 500_000_000), ("1 GB/s", 1_000_000_000)];

/// The most memory, whatever the size.
const MEMORY: u64 = 256 << 20;

pub(super) fn section(bench: &Bench) -> Result<Section> {
    let file = HubFile::filled(1, bench.settings.size);
    let server = FileServer::start(bench, &file, "", None)?;
    let agreed = Agreement::default();
    let mut pipe = Command::new("sh");
    let script = r#"curl --silent --show-error "$0" | openssl dgst -sha256 -r"#;
    pipe.args(["-c", script, &server.url]);
    let mut contestants = vec![
        server.root_hash(bench, &agreed)?,
        server.curl(bench)?,
        contestant(
            bench,
            ("curl into openssl", file.size),
            pipe,
            |said: &str| {
                ensure!(said.starts_with(&file.digest), "openssl says {said}");
                Ok(())
            },
        )?,
    ];
    let limited: Vec<_> = RATES
        .into_iter()
        .map(|(rate, bytes)| FileServer::start(bench, &file, &format!(", {rate}"), Some(bytes)))
        .collect::<Result<_>>()?;
    for server in &limited {
        contestants.extend([server.root_hash(bench, &agreed)?, server.curl(bench)?]);
    }
    let runs = experiment::run(contestants, bench.settings.rounds)?;
    let mut section = Section::new("From a server", ABOUT, runs)
        .compare(0, 1, Measure::Faster(None))
        .compare(0, 2, Measure::Faster(Some(GOAL)));
    for (number, _) in limited.iter().enumerate() {
        let ours = 3 + 2 * number;
        section = section.compare(ours, ours + 1, Measure::Faster(Some(GOAL)));
    }
    section.notes.push(
        "The server takes a processor's time as well, for each byte that it sends.".to_owned(),
    );
    Ok(section)
}

/// A server with the file.
struct FileServer {
    _http: HttpServer,
    /// What it is called, behind the names of those who fetch from it.
    name: String,
    url: String,
    size: u64,
    /// The file with the list for `disk-builder`.
    list: TempPath,
}

impl FileServer {
    fn start(bench: &Bench, file: &HubFile, name: &str, rate: Option<u64>) -> Result<Self> {
        let HubFile {
            fill, size, digest, ..
        } = file.clone();
        let http = HttpServer::limited(rate, move |request| {
            HttpReply::filled(200, size, fill.clone()).in_range(request)
        });
        let url = format!("{}/weights.bin", http.url());
        let mut list = NamedTempFile::new_in(bench.data.directory())?;
        writeln!(list, "{url} {size} {digest}")?;
        Ok(Self {
            _http: http,
            name: name.to_owned(),
            url,
            size,
            list: list.into_temp_path(),
        })
    }

    fn root_hash<'a>(&self, bench: &'a Bench, agreed: &'a Agreement) -> Result<Contestant<'a>> {
        let name = format!("disk-builder root-hash, from a server{}", self.name);
        let mut command = bench.builder("root-hash");
        command.arg("--files-from").arg(&self.list);
        let mut ours = contestant(bench, (&name, self.size), command, |printed| {
            agreed.check(printed.trim())
        })?;
        ours.memory_limit = Some(MEMORY);
        Ok(ours)
    }

    fn curl<'a>(&self, bench: &'a Bench) -> Result<Contestant<'a>> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--output", "/dev/null"]);
        command.arg(&self.url);
        let name = format!("curl{}", self.name);
        contestant(bench, (&name, self.size), command, |_| Ok(()))
    }
}

/// Somebody who fetches a file of so many bytes.
fn contestant<'a>(
    bench: &'a Bench,
    (name, bytes): (&str, u64),
    command: Command,
    finish: impl Fn(&str) -> Result<()> + 'a,
) -> Result<Contestant<'a>> {
    let nothing: &[_] = &[];
    let mut contestant = bench.contestant(name, (nothing, Caches::Warm), vec![command], finish)?;
    contestant.bytes = bytes;
    Ok(contestant)
}
