//! Serves a model on a hub, for clients that are no tests of this workspace: a directory, or one large
//! file that is made up. Prints the hub's address, and ends with its standard input.

#![allow(clippy::unwrap_used)] // as any test

use std::{collections::BTreeMap, env, fs, io, path::Path};

use test_support::hub::{HubFile, HubServer};

const USAGE: &str =
    "hub-server DIRECTORY | --made-up BYTES [--digest SHA256], and [--rate BYTES-A-SECOND]";

fn main() {
    let mut arguments = env::args().skip(1);
    let (mut directory, mut made_up, mut digest, mut rate) = (None, None, None, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect(USAGE);
        match argument.as_str() {
            "--made-up" => made_up = Some(value().parse().expect(USAGE)),
            "--digest" => digest = Some(value()),
            "--rate" => rate = Some(value().parse().expect(USAGE)),
            _ => directory = Some(argument),
        }
    }
    let mut files = BTreeMap::new();
    match (&directory, made_up) {
        (Some(directory), None) => collect(Path::new(directory), "", &mut files),
        (None, Some(size)) => {
            let file = HubFile::made_up(size, digest);
            files.insert("model.safetensors".to_owned(), file);
        }
        _ => panic!("{USAGE}"),
    }
    let server = HubServer::limited(files, rate);
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
