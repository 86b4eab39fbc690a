//! A hub for models, as far as a client sees it: what it says of a model, and its files; the large
//! ones are on another server.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::http::{Fill, HttpReply, HttpRequest, HttpServer};

/// The commit of every model on it.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The model on it.
pub const MODEL: &str = "org/model";

/// Of what is made up, in bytes: in each stands its place, and so much is made at once.
const BLOCK: u64 = 4096;
const MADE_UP_PIECE: u64 = 1 << 20;

/// How many entries a page of a listing has.
const PAGE: usize = 3;

/// A file on a hub.
#[derive(Clone)]
pub struct HubFile {
    /// Its bytes.
    pub fill: Fill,
    /// How many it has.
    pub size: u64,
    /// Whether Git LFS keeps it.
    pub is_large: bool,
    /// Its digest, as the hub states it.
    pub digest: String,
}

impl HubFile {
    /// A file with these bytes.
    pub fn new(bytes: Vec<u8>, is_large: bool) -> Self {
        let digest = if is_large {
            digits(&Sha256::digest(&bytes))
        } else {
            let hasher = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
            digits(&hasher.chain_update(&bytes).finalize())
        };
        let size = bytes.len() as u64;
        let fill = move |offset: u64, to: &mut [u8]| {
            to.copy_from_slice(&bytes[offset as usize..offset as usize + to.len()]);
        };
        Self {
            fill: Arc::new(fill),
            size,
            is_large,
            digest,
        }
    }

    /// A large file of so many bytes that are all the same, which takes no memory.
    pub fn filled(byte: u8, size: u64) -> Self {
        let mut hasher = Sha256::new();
        let bytes = vec![byte; 1 << 20];
        let mut left = size;
        while left > 0 {
            let count = left.min(1 << 20);
            hasher.update(&bytes[..count as usize]);
            left -= count;
        }
        Self {
            fill: Arc::new(move |_, to: &mut [u8]| to.fill(byte)),
            size,
            is_large: true,
            digest: digits(&hasher.finalize()),
        }
    }

    /// A large file of so many bytes that are made up as they are asked for: in each block of 4096 bytes
    /// stands where it is. Its digest takes as long as that of any file, where it is not known.
    pub fn made_up(size: u64, digest: Option<String>) -> Self {
        let fill = |offset: u64, to: &mut [u8]| {
            to.fill(1);
            let end = offset + to.len() as u64;
            for block in (offset - offset % BLOCK..end).step_by(BLOCK as usize) {
                for (at, byte) in (block..end).zip(block.to_le_bytes()) {
                    if at >= offset {
                        to[(at - offset) as usize] = byte;
                    }
                }
            }
        };
        let mut file = Self {
            fill: Arc::new(fill),
            size,
            is_large: true,
            digest: digest.unwrap_or_default(),
        };
        if file.digest.is_empty() {
            let mut hasher = Sha256::new();
            let mut bytes = vec![0; MADE_UP_PIECE as usize];
            for offset in (0..size).step_by(MADE_UP_PIECE as usize) {
                let bytes = &mut bytes[..MADE_UP_PIECE.min(size - offset) as usize];
                (file.fill)(offset, bytes);
                hasher.update(bytes);
            }
            file.digest = digits(&hasher.finalize());
        }
        file
    }

    fn reply(&self) -> HttpReply {
        HttpReply::filled(200, self.size, Arc::clone(&self.fill))
    }
}

fn digits(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What goes wrong: gets a request, the path of the file if it is for one, and the answer as it
/// should be.
type Fault = dyn Fn(&HttpRequest, Option<&str>, HttpReply) -> HttpReply + Send + Sync;

/// A hub with one model.
pub struct HubServer {
    /// The hub itself.
    pub hub: HttpServer,
    /// Where the large files are.
    pub storage: HttpServer,
}

impl HubServer {
    /// A hub without faults.
    pub fn start(files: BTreeMap<String, HubFile>) -> Self {
        Self::faulty(files, |_, _, reply| reply)
    }

    /// A hub whose large files come as fast as by a network of so many bytes a second.
    pub fn limited(files: BTreeMap<String, HubFile>, rate: Option<u64>) -> Self {
        Self::with(files, rate, |_, _, reply| reply)
    }

    /// A hub whose answers are what `fault` makes of them.
    pub fn faulty(
        files: BTreeMap<String, HubFile>,
        fault: impl Fn(&HttpRequest, Option<&str>, HttpReply) -> HttpReply + Send + Sync + 'static,
    ) -> Self {
        Self::with(files, None, fault)
    }

    fn with(
        files: BTreeMap<String, HubFile>,
        rate: Option<u64>,
        fault: impl Fn(&HttpRequest, Option<&str>, HttpReply) -> HttpReply + Send + Sync + 'static,
    ) -> Self {
        let files = Arc::new(files);
        let fault: Arc<Fault> = Arc::new(fault);
        let (of_storage, fault_of_storage) = (Arc::clone(&files), Arc::clone(&fault));
        let storage = HttpServer::limited(rate, move |request| {
            let path = request
                .target
                .trim_start_matches('/')
                .split('?')
                .next()
                .unwrap();
            let path = decoded(path);
            let reply = of_storage.get(&path).map_or_else(not_there, HubFile::reply);
            fault_of_storage(request, Some(&path), reply.in_range(request))
        });
        let storage_url = storage.url();
        // It is known when it has been started.
        let own_url = Arc::new(OnceLock::new());
        let own = Arc::clone(&own_url);
        let hub = HttpServer::start(move |request| {
            let target = decoded(&request.target);
            let resolve = format!("/{MODEL}/resolve/{COMMIT}/");
            let Some(path) = target.strip_prefix(&resolve) else {
                let own: &String = own.wait();
                return fault(request, None, describe(&target, &files, own));
            };
            let reply = match files.get(path) {
                None => not_there(),
                Some(file) if file.is_large => {
                    let encoded = request.target.strip_prefix(&resolve).unwrap();
                    let place = format!("{storage_url}/{encoded}?Signature=secret");
                    HttpReply::redirect(place)
                        .with("X-Linked-Size", file.size)
                        .with("X-Linked-Etag", format!("\"{}\"", file.digest))
                }
                Some(file) => {
                    let etag = format!("\"{}\"", file.digest);
                    file.reply().in_range(request).with("ETag", etag)
                }
            };
            fault(request, Some(path), reply.with("X-Repo-Commit", COMMIT))
        });
        own_url.set(hub.url()).unwrap();
        Self { hub, storage }
    }
}

fn not_there() -> HttpReply {
    HttpReply::bytes(404, "").with("X-Error-Message", "Entry not found")
}

fn describe(target: &str, files: &BTreeMap<String, HubFile>, own: &str) -> HttpReply {
    let api = format!("/api/models/{MODEL}/");
    let Some(question) = target.strip_prefix(&api) else {
        return HttpReply::bytes(404, "").with("X-Error-Message", "Repository not found");
    };
    if [
        "revision/main",
        "revision/refs/pr/1",
        &format!("revision/{COMMIT}"),
    ]
    .contains(&question)
    {
        let description = json!({"id": MODEL, "sha": COMMIT, "siblings": [{"rfilename": "x"}]});
        return HttpReply::bytes(200, description.to_string());
    }
    let tree = format!("tree/{COMMIT}?recursive=true");
    let Some(cursor) = question.strip_prefix(&tree) else {
        return HttpReply::bytes(404, "").with("X-Error-Message", "Revision not found");
    };
    let first = cursor
        .strip_prefix("&cursor=")
        .map_or(0, |first| first.parse().unwrap());
    let mut entries: Vec<_> = files.iter().map(|(path, file)| entry(path, file)).collect();
    let directories = files.keys().filter_map(|path| path.rsplit_once('/'));
    entries.extend(directories.map(
        |(directory, _)| json!({"type": "directory", "oid": COMMIT, "size": 0, "path": directory}),
    ));
    let page: Vec<_> = entries.iter().skip(first).take(PAGE).collect();
    let reply = HttpReply::bytes(200, serde_json::to_vec(&page).unwrap());
    if first + PAGE >= entries.len() {
        return reply;
    }
    let next = format!("<{own}{api}{tree}&cursor={}>; rel=\"next\"", first + PAGE);
    reply.with("Link", next)
}

fn entry(path: &str, file: &HubFile) -> serde_json::Value {
    let size = file.size;
    if !file.is_large {
        return json!({"type": "file", "oid": file.digest, "size": size, "path": path});
    }
    json!({
        "type": "file", "oid": COMMIT, "size": size, "path": path,
        "lfs": {"oid": file.digest, "size": size, "pointerSize": 134},
    })
}

/// Without `%`.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Writes the files of a model into a directory, as a download does.
pub fn download(files: &BTreeMap<String, HubFile>, directory: &Path) {
    for (path, file) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = vec![0; file.size as usize];
        (file.fill)(0, &mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

/// Counts how often something was asked for, for faults that pass.
#[derive(Default)]
pub struct Times(Mutex<BTreeMap<String, usize>>);

impl Times {
    /// How often this was counted before.
    pub fn count(&self, what: &str) -> usize {
        let mut times = self.0.lock().unwrap();
        let count = times.entry(what.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_the_same_however_it_is_asked_for() {
        let size = (1 << 20) + 5000;
        let file = HubFile::made_up(size, None);
        let mut whole = vec![0; size as usize];
        (file.fill)(0, &mut whole);
        assert_eq!(whole[8192..8202], [0, 32, 0, 0, 0, 0, 0, 0, 1, 1]);
        for (start, length) in [(1, 4096), (4095, 2), (8193, 3), (100_000, 300_000)] {
            let mut part = vec![0; length];
            (file.fill)(start, &mut part);
            let start = start as usize;
            assert!(part == whole[start..start + length], "{start}");
        }
        assert_eq!(file.digest, HubFile::new(whole, true).digest);
        assert_eq!(HubFile::made_up(1, Some("x".into())).digest, "x");
    }
}
