//! `verify` of a disk that `build` made: which file is damaged, and whose the manifest is.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    model_dir::{model, write},
    program::{Ended, WorkFolder, data, field},
};

/// A built disk, its root hash and how many bytes its filesystem has.
fn disk(place: &WorkFolder) -> (String, usize) {
    let directory = model(place, "model");
    // Enough for hash blocks over several files.
    for name in ["y-1", "y-2", "y-3"] {
        write(&directory, &[(name, data(500_000, 3))]);
    }
    let printed = place.run("build model --output disk").ok();
    let blocks: usize = field(&printed, "Data blocks").parse().unwrap();
    (field(&printed, "Root hash").to_owned(), blocks * 4096)
}

/// Where a file's first bytes are.
fn find(place: &WorkFolder, path: &str) -> usize {
    let bytes = fs::read(place.path(path)).unwrap();
    let disk = place.read("disk");
    let starts = (0..disk.len()).step_by(4096);
    let mut found = starts.filter(|start| disk[*start..].starts_with(&bytes[..4000]));
    found.next().unwrap()
}

fn verify(place: &WorkFolder, root: &str) -> Ended {
    place.run(&format!("verify disk --root-hash {root}"))
}

#[test]
fn files_are_named() {
    let place = WorkFolder::new();
    let (root, _) = disk(&place);
    let first = find(&place, "model/model.safetensors");
    let second = find(&place, "model/onnx/model.onnx");
    for offset in [first + 5, first + 5000, second + 4096] {
        place.flip("disk", offset);
    }
    let ended = verify(&place, &root);
    let block = |offset| offset / 4096;
    let expected = format!(
        "corrupt data blocks {} to {} (bytes {first} to {})\n    in model.safetensors\n\
         corrupt data blocks {} to {} (bytes {} to {})\n    in onnx/model.onnx\n",
        block(first),
        block(first) + 1,
        first + 8191,
        block(second) + 1,
        block(second) + 1,
        second + 4096,
        second + 8191,
    );
    assert_eq!(ended.stdout, expected);
    ended.refused(3, "disk is corrupt: 0 hash blocks, 2 ranges");

    let ended = place.run(&format!("verify disk --root-hash {root} --json"));
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let files = json!([{ "path": "model.safetensors" }]);
    assert_eq!(json["corrupt_data"][0]["files"], files);
    assert_eq!(json["files_unknown"], Value::Null);
}

#[test]
fn all_files_under_a_hash_block_are_named() {
    let place = WorkFolder::new();
    let (root, filesystem) = disk(&place);
    // The tree: the superblock, the top, level 0. The hash block of the blocks from 896 on.
    place.flip("disk", filesystem + 2 * 4096 + 7 * 4096);
    let ended = verify(&place, &root);
    let mut lines = ended.stdout.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("corrupt hash block 7 of level 0 ")
    );
    let under = lines.next().unwrap();
    assert!(
        under.starts_with("under a corrupt hash block: data blocks 896 to 1023"),
        "{under}"
    );
    let named: Vec<_> = lines.collect();
    assert_eq!(named, ["    in y-2", "    in y-3"]);
    ended.refused(3, "disk is corrupt: 1 hash blocks");
}

#[test]
fn what_corrupt_metadata_cannot_tell() {
    let place = WorkFolder::new();
    let (root, _) = disk(&place);
    place.flip("disk", 2000);
    let ended = verify(&place, &root);
    let expected = "corrupt data blocks 0 to 0 (bytes 0 to 4095)\n\
                    not all files that this lies in are known: the filesystem's metadata is \
                    corrupt at byte 0\n";
    assert_eq!(ended.stdout, expected);
    ended.refused(3, "disk is corrupt");
    place.flip("disk", 2000);

    // A directory's own block: what is in it is not known, and what came before is.
    place.flip("disk", 4096);
    let ended = verify(&place, &root);
    assert!(
        ended.stdout.contains("    in /\nnot all files"),
        "{ended:?}"
    );
    ended.refused(3, "disk is corrupt");
}

/// Blocks after a filesystem, as another program may leave them.
#[test]
fn what_is_in_no_file() {
    let place = WorkFolder::new();
    let (_, filesystem) = disk(&place);
    let mut image = place.read("disk");
    image.truncate(filesystem);
    image.extend(data(8192, 5));
    place.write("image", &image);
    let root = field(&place.run("hash image").ok(), "Root hash").to_owned();
    place.flip("image", filesystem + 5000);
    let offset = filesystem + 8192;
    let ended = place.run(&format!(
        "verify image --root-hash {root} --hash-offset {offset}"
    ));
    assert!(ended.stdout.ends_with("\n    in no file\n"), "{ended:?}");
    ended.refused(3, "image is corrupt");
}

/// Of such files the inode does not tell the blocks, so nobody says that these are in no file.
#[test]
fn compressed_and_chunked_files_are_not_looked_up() {
    let text: Vec<u8> = (0..500_000_u32)
        .flat_map(|number| (number / 7).to_le_bytes())
        .collect();
    for (options, layout) in [
        (&["-zlz4hc"][..], 3),
        (&["-zlz4hc", "-C65536", "-Eztailpacking"], 3),
        (&["-zlz4hc", "-Elegacy-compress"], 1),
        (&["--chunksize=4096"], 4),
    ] {
        let place = WorkFolder::new();
        write(&place.path("model"), &[("text", text.clone())]);
        let made = Command::new("mkfs.erofs")
            .args(["--quiet", "-T0"])
            .args(options)
            .args([place.path("disk"), place.path("model")])
            .output()
            .expect("mkfs.erofs is needed: install the package erofs-utils");
        assert!(made.status.success(), "{made:?}");
        let dumped = Command::new("dump.erofs")
            .arg("--path=/text")
            .arg(place.path("disk"))
            .output()
            .unwrap();
        let dumped = String::from_utf8(dumped.stdout).unwrap();
        assert!(dumped.contains(&format!("Layout: {layout} ")), "{dumped}");
        let blocks = place.read("disk").len() / 4096;
        assert!(blocks > 20);
        let root = field(&place.run("hash disk").ok(), "Root hash").to_owned();
        let block = blocks / 2;
        place.flip("disk", block * 4096);
        let ended = verify(&place, &root);
        let unknown = "compressed and chunked files (1) are not looked up";
        assert_eq!(
            ended.stdout,
            format!(
                "corrupt data blocks {block} to {block} (bytes {} to {})\n\
                 not all files that this lies in are known: {unknown}\n",
                block * 4096,
                block * 4096 + 4095
            )
        );
        ended.refused(3, "disk is corrupt");
        let json = place.run(&format!("verify disk --root-hash {root} --json"));
        let json: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json["files_unknown"], unknown);
    }
}

#[test]
fn a_manifest_of_another_disk_is_refused() {
    let place = WorkFolder::new();
    let (root, _) = disk(&place);
    let good: Value = serde_json::from_slice(&place.read("disk.json")).unwrap();
    let with = |field: &str, value: Value| {
        let mut other = good.clone();
        other[field] = value;
        other
    };
    let files = |change: fn(&mut Vec<Value>)| {
        let mut other = good.clone();
        change(other["files"].as_array_mut().unwrap());
        other
    };
    let zeros = "00".repeat(32);
    let cases = [
        (with("root_hash", json!(zeros)), "it says root_hash \"00"),
        (with("layout", json!(2)), "it says layout 2, the disk has 1"),
        (
            with("data_blocks", json!(1)),
            "it says data_blocks 1, the disk has ",
        ),
        (
            with("salt", json!("00")),
            "it says salt \"00\", the disk has ",
        ),
        (with("uuid", json!("")), "it says uuid \"\", the disk has "),
        (
            with("salt", json!("\u{9b}31m")),
            "it says salt \"\\u{9b}31m\", the disk has ",
        ),
        (
            with("image_bytes", json!(0)),
            "it says image_bytes 0, the disk has ",
        ),
        (
            files(|files| drop(files.remove(0))),
            "it lists empty of 0 bytes, where the disk has config.json of 612 bytes",
        ),
        (
            files(|files| drop(files.pop())),
            "it lists no more, where the disk has y-3 of 500000 bytes",
        ),
        (
            files(|files| files.push(json!({ "path": "z", "bytes": 1 }))),
            "it lists z of 1 bytes, where the disk has no more",
        ),
        (
            files(|files| files[0]["bytes"] = json!(613)),
            "it lists config.json of 613 bytes, where the disk has config.json of 612 bytes",
        ),
    ];
    for (manifest, message) in cases {
        place.write("disk.json", manifest.to_string().as_bytes());
        let ended = verify(&place, &root);
        assert!(ended.stdout.starts_with("verified: "), "{ended:?}");
        assert!(
            ended.stderr.contains("disk.json is not about disk: "),
            "{ended:?}"
        );
        ended.refused(3, message);
    }
    fs::remove_file(place.path("disk.json")).unwrap();
    let printed = verify(&place, &root).ok();
    assert!(!printed.contains("manifest"), "{printed}");
}

/// It says nothing of the disk, which needs none.
#[test]
fn a_manifest_that_cannot_be_compared_is_said() {
    let place = WorkFolder::new();
    let (root, _) = disk(&place);
    let good: Value = serde_json::from_slice(&place.read("disk.json")).unwrap();
    let with = |change: fn(&mut Value)| {
        let mut other = good.clone();
        change(&mut other);
        other.to_string().into_bytes()
    };
    let mut cases = vec![
        (
            with(|manifest| manifest["schema"] = json!(2)),
            "is a manifest of schema 2, and only schema 1",
        ),
        (
            with(|manifest| manifest["files"] = json!("all")),
            "is not a manifest: invalid type",
        ),
        (
            with(|manifest| manifest["files"][0]["path"] = json!("../config.json")),
            "is not a manifest: the path has a name `.` or `..`",
        ),
        (
            with(|manifest| {
                manifest["files"][0] = json!({ "path_hex": "2f2", "bytes": 612 });
            }),
            "is not a manifest: the path is not written in hex digits",
        ),
        (
            with(|manifest| manifest["files"][0] = json!({ "bytes": 612 })),
            "is not a manifest: a file has neither path nor path_hex, or both",
        ),
        (vec![b'['; 200], "it is nested more than 100 deep"),
    ];
    for nonsense in [&b""[..], b"{}", b"\xff", b"[1]"] {
        cases.push((nonsense.to_vec(), "is not a manifest"));
    }
    for (manifest, message) in cases {
        place.write("disk.json", &manifest);
        let printed = verify(&place, &root).ok();
        assert!(printed.starts_with("verified: "), "{printed}");
        assert!(
            printed.contains("\nmanifest: disk.json not compared: "),
            "{printed}"
        );
        assert!(
            printed.contains(&format!("disk.json {message}"))
                || printed.contains(&format!("cannot read disk.json: {message}")),
            "{printed}"
        );
        let json = place.run(&format!("verify disk --root-hash {root} --json"));
        let json: Value = serde_json::from_str(&json.ok()).unwrap();
        assert_eq!(
            json["manifest"],
            json!({ "path": "disk.json", "agrees": null })
        );
    }
    let long = fs::File::create(place.path("disk.json")).unwrap();
    long.set_len((1 << 30) + 1).unwrap();
    let printed = verify(&place, &root).ok();
    assert!(
        printed.contains("not compared: disk.json has more than 1073741824 bytes"),
        "{printed}"
    );
    fs::remove_file(place.path("disk.json")).unwrap();
    fs::create_dir(place.path("disk.json")).unwrap();
    let printed = verify(&place, &root).ok();
    assert!(
        printed.contains("not compared: disk.json is neither a regular file"),
        "{printed}"
    );
}
