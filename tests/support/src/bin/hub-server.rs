//! Serves a directory as a model on a hub, for clients that are no tests of this workspace: prints the
//! address, and ends with its standard input.

#![allow(clippy::unwrap_used)] // as any test

use std::{collections::BTreeMap, env, fs, io, path::Path};

use test_support::hub::{HubFile, HubServer};

fn main() {
    let directory = env::args_os().nth(1).expect("the directory");
    let mut files = BTreeMap::new();
    collect(Path::new(&directory), "", &mut files);
    let server = HubServer::start(files);
    println!("{}", server.hub.url());
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

/// All files below a directory; safetensors are large ones.
fn collect(directory: &Path, path: &str, files: &mut BTreeMap<String, HubFile>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{path}{name}");
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else {
            let file = HubFile::new(
                fs::read(entry.path()).unwrap(),
                path.ends_with(".safetensors"),
            );
            files.insert(path, file);
        }
    }
}
