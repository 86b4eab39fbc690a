//! What comes of a model on a hub that does what it should.

use std::fs;

use serde_json::{Value, json};
use test_support::hub::{COMMIT, HubFile, HubServer, MODEL};

use super::{HubPlace, files};
use crate::program::{WorkFolder, field};

#[test]
fn the_root_hash_is_that_of_the_directory() {
    let place = HubPlace::new(&files());
    for address in [
        format!("hf://{MODEL}@{COMMIT}"),
        format!("hf://{MODEL}"),
        format!("hf://{MODEL}@refs/pr/1"),
    ] {
        for threads in [1, 5] {
            let got = place.run(&format!("root-hash {address} --threads {threads}"));
            assert_eq!(got.ok(), place.expected(""), "{address}");
        }
    }
    // Nothing was asked for twice.
    let mut ranges = place.ranges_of("model-1");
    ranges.truncate(3);
    ranges.sort_unstable();
    assert_eq!(ranges, [0, 8 << 20, 16 << 20]);
}

/// A connection that has brought its part brings another one: to make one, TLS and all, takes as long as
/// much of a part.
#[test]
fn connections_are_used_again() {
    let file = HubFile::made_up((100 << 20) + 5, None);
    let files = [("model.safetensors".to_owned(), file)];
    let server = HubServer::start(files.into());
    let place = HubPlace {
        server,
        place: WorkFolder::new(),
    };
    place.run(&format!("root-hash hf://{MODEL}@{COMMIT}")).ok();
    assert_eq!(place.ranges_of("model").len(), 13);
    for server in [&place.server.hub, &place.server.storage] {
        let connections = server.connections();
        assert!(connections <= 8, "{connections}");
    }
}

#[test]
fn the_disk_is_that_of_the_directory() {
    let place = HubPlace::new(&files());
    let printed = place
        .run(&format!("build hf://{MODEL}@{COMMIT} --output fetched"))
        .ok();
    let root_hash = field(&printed, "Root hash");
    assert_eq!(place.expected("").trim_end(), root_hash);
    place.run("build model --output local").ok();
    assert!(place.place.read("fetched") == place.place.read("local"));

    let manifest = |name| serde_json::from_slice::<Value>(&place.place.read(name)).unwrap();
    let (mut fetched, local) = (manifest("fetched.json"), manifest("local.json"));
    let source = format!("{}/{MODEL}", place.server.hub.url());
    assert_eq!(fetched["source"], source);
    assert_eq!(fetched["revision"], COMMIT);
    fetched["source"] = Value::Null;
    fetched["revision"] = Value::Null;
    assert_eq!(fetched, local);

    let build = format!("build hf://{MODEL} --output other --source https://x --revision v1");
    place.run(&build).ok();
    let said = manifest("other.json");
    assert_eq!(
        (&said["source"], &said["revision"]),
        (&json!("https://x"), &json!("v1"))
    );
}

/// Parity is made of what has been written, as it comes once.
#[test]
fn parity_is_that_of_the_directory() {
    let place = HubPlace::new(&files());
    let build = format!("build hf://{MODEL}@{COMMIT} --output fetched --fec --fec-roots 3");
    place.run(&build).ok();
    place
        .run("build model --output local --fec --fec-roots 3")
        .ok();
    assert!(place.place.read("fetched") == place.place.read("local"));
}

#[test]
fn a_revision_that_moves_is_noted() {
    let place = HubPlace::new(&files());
    let note = format!(
        "disk-builder: note: main of {MODEL} is the commit {COMMIT} now and may be another later: \
         hf://{MODEL}@{COMMIT} stays\n"
    );
    assert_eq!(place.run(&format!("root-hash hf://{MODEL}")).stderr, note);
    assert_eq!(
        place
            .run(&format!("root-hash hf://{MODEL}@{COMMIT}"))
            .stderr,
        ""
    );
    let strict = place.run(&format!("root-hash hf://{MODEL} --strict"));
    strict.refused_with_notes(1, "--strict");
}

#[test]
fn what_is_left_out_is_that_of_the_directory() {
    let mut files = files();
    files.insert(
        "pytorch.bin.index.json".to_owned(),
        HubFile::new(
            br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-3.safetensors"}}"#.to_vec(),
            false,
        ),
    );
    files.insert("token".to_owned(), HubFile::new(vec![1; 9], false));
    let place = HubPlace::new(&files);
    let exclude = "--exclude onnx --exclude *.txt --exclude *.h5";
    let fetched = place.run(&format!("root-hash hf://{MODEL}@{COMMIT} {exclude}"));
    let local = place.run(&format!("root-hash model {exclude}"));
    assert_eq!(fetched.stdout, local.stdout);
    assert_eq!(fetched.stderr, local.stderr);
    assert_eq!(fetched.stderr.matches("note: ").count(), 3, "{fetched:?}");
}

#[test]
fn each_file_is_in_the_json() {
    let place = HubPlace::new(&files());
    let printed = place.run(&format!("root-hash hf://{MODEL} --json")).ok();
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(object["revision"], COMMIT);
    assert_eq!(object["notes"][0]["kind"], "movable_revision");
    let found = object["files"].as_array().unwrap();
    assert_eq!(found.len(), files().len());
    for file in found {
        let expected = &files()[file["path"].as_str().unwrap()];
        assert_eq!(file["bytes"], expected.size);
        let kind = if expected.is_large {
            "sha256"
        } else {
            "git_blob"
        };
        assert_eq!(file[kind], expected.digest);
    }
    let built = place
        .run(&format!("build hf://{MODEL}@{COMMIT} --output disk --json"))
        .ok();
    let built: Value = serde_json::from_str(&built).unwrap();
    for member in ["files", "source", "revision", "root_hash"] {
        assert_eq!(built[member], object[member], "{member}");
    }
}

/// Any server will do, with a list of its files.
#[test]
fn files_from_a_list() {
    let files = files();
    let place = HubPlace::new(&files);
    let storage = place.server.storage.url();
    let large = files.iter().filter(|(_, file)| file.is_large);
    let mut list = "# as a publisher writes it\n".to_owned();
    for (path, file) in large.clone() {
        let encoded = path
            .replace('%', "%25")
            .replace(' ', "%20")
            .replace('?', "%3F")
            .replace('#', "%23");
        list += &format!("{storage}/{encoded} {} {} {path}\n", file.size, file.digest);
    }
    place.place.write("list", list.as_bytes());
    for (path, _) in files.iter().filter(|(_, file)| !file.is_large) {
        fs::remove_file(place.place.path("model").join(path)).unwrap();
    }
    let got = place.run("root-hash --files-from list");
    assert_eq!(got.stderr, "");
    assert_eq!(got.ok(), place.expected(""));
    let printed = place
        .run("build --files-from list --output disk --exclude onnx --json")
        .ok();
    let object: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        format!("{}\n", object["root_hash"].as_str().unwrap()),
        place.expected("--exclude onnx")
    );
    assert_eq!(object["source"], Value::Null);
}

#[test]
fn small_files_in_great_number() {
    let many = (0..300).map(|number| {
        let path = format!("{}/{number}.json", number % 7);
        (
            path,
            HubFile::new(vec![number as u8; number], number % 2 == 0),
        )
    });
    let place = HubPlace::new(&many.collect());
    let got = place.run(&format!("root-hash hf://{MODEL}@{COMMIT}"));
    assert_eq!(got.ok(), place.expected(""));
}

/// A gibibyte does not take more memory than what is on its way.
#[test]
fn memory_is_bounded() {
    let files = [("weights".to_owned(), HubFile::filled(1, 1 << 30))].into();
    let server = test_support::hub::HubServer::start(files);
    let program = env!("CARGO_BIN_EXE_disk-builder");
    let measure = "import resource, subprocess, sys; \
        subprocess.run(sys.argv[1:], check=True, stdout=2); \
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output = std::process::Command::new("python3")
        .args([
            "-c",
            measure,
            program,
            "root-hash",
            &format!("hf://{MODEL}@{COMMIT}"),
        ])
        .args(["--threads", "32"])
        .env("HF_ENDPOINT", server.hub.url())
        .output();
    let peak: u64 = crate::program::Ended::of(output.unwrap())
        .ok()
        .trim_end()
        .parse()
        .unwrap();
    assert!(peak < 192 << 10, "{peak} KiB");
}
