//! Models that are not on this machine, from a hub that does what it should, or does not.

mod faults;
mod listing;
mod resume;
mod secrets;
mod whole;

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
};

use test_support::{
    http::{HttpReply, HttpRequest},
    hub::{HubFile, HubServer, download},
};

use crate::program::{Ended, WorkFolder, data};

/// A hub, and a folder in which `disk-builder` is run.
struct HubPlace {
    server: HubServer,
    place: WorkFolder,
}

/// Files small and large, of several parts, and with names that an address cannot have as they are.
fn files() -> BTreeMap<String, HubFile> {
    // No two are alike.
    let small = |size, seed: u64| HubFile::new(data(size, 2 * seed), false);
    let large = |size, seed: u64| HubFile::new(data(size, 2 * seed), true);
    [
        (".gitattributes", small(1519, 1)),
        ("config.json", small(612, 2)),
        ("empty", small(0, 3)),
        ("model-1.safetensors", large((20 << 20) + 77, 4)),
        ("model-2.safetensors", large(3 << 20, 5)),
        ("onnx/deep er/mödel?#%.onnx", large(4097, 6)),
        ("onnx/x", small(4096, 7)),
        ("onnx.txt", small(4095, 8)),
    ]
    .map(|(path, file)| (path.to_owned(), file))
    .into()
}

impl HubPlace {
    /// With these files, in the directory `model` too.
    fn new(files: &BTreeMap<String, HubFile>) -> Self {
        Self::faulty(files, |_, _, reply| reply)
    }

    /// The same, with the answers of the hub and its storage that `fault` makes of them.
    fn faulty(
        files: &BTreeMap<String, HubFile>,
        fault: impl Fn(&HttpRequest, Option<&str>, HttpReply) -> HttpReply + Send + Sync + 'static,
    ) -> Self {
        let place = WorkFolder::new();
        download(files, &place.path("model"));
        Self {
            server: HubServer::faulty(files.clone(), fault),
            place,
        }
    }

    /// `disk-builder`, ready to be run, with nothing in its environment but the hub.
    fn builder(&self, arguments: &str) -> Command {
        let mut command = self.place.builder();
        command
            .args(arguments.split_whitespace())
            .env_clear()
            .env("HF_ENDPOINT", self.server.hub.url())
            .env("HOME", self.place.path("home"));
        command
    }

    fn run(&self, arguments: &str) -> Ended {
        Ended::of(self.builder(arguments).output().unwrap())
    }

    fn spawn(&self, arguments: &str) -> Child {
        let mut command = self.builder(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The root hash of the directory.
    fn expected(&self, arguments: &str) -> String {
        self.run(&format!("root-hash model {arguments}")).ok()
    }

    /// What was asked for of a file's bytes: the first byte of each request for a range.
    fn ranges_of(&self, path: &str) -> Vec<u64> {
        let requests = self.server.storage.requests();
        let requests = requests
            .iter()
            .filter(|request| request.target.contains(path));
        let ranges = requests.filter_map(HttpRequest::range);
        ranges.map(|(first, _)| first).collect()
    }
}
