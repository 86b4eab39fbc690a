//! `build`: what it writes, and what it refuses.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
};

use model_disk::derived_uuid;
use serde_json::{Value, json};

use crate::{
    model_dir::{files, model, root_hash, write},
    program::{WorkFolder, field},
};

#[test]
fn a_disk_and_its_manifest() {
    let place = WorkFolder::new();
    model(&place, "model");
    let printed = place
        .run("build model --output disk --source https://example.org/m --revision v1 --exclude z*")
        .ok();
    let root = field(&printed, "Root hash");
    assert_eq!(field(&printed, "Hash type"), "1");
    let image = place.read("disk");
    let blocks: u64 = field(&printed, "Data blocks").parse().unwrap();
    let tree_blocks: u64 = field(&printed, "Hash blocks").parse().unwrap();
    assert_eq!(image.len() as u64, (blocks + 1 + tree_blocks) * 4096);
    assert_eq!(place.names(), ["disk", "disk.json", "model"]);

    let manifest: Value = serde_json::from_slice(&place.read("disk.json")).unwrap();
    let mut listed: Vec<_> = files();
    listed.sort_by_key(|(path, _)| path.split('/').collect::<Vec<_>>());
    let listed: Vec<Value> = listed
        .iter()
        .map(|(path, bytes)| json!({ "path": path, "bytes": bytes.len() }))
        .collect();
    let expected = json!({
        "schema": 1,
        "layout": 1,
        "root_hash": root,
        "data_blocks": blocks,
        "data_block_size": 4096,
        "hash_block_size": 4096,
        "hash_offset": blocks * 4096,
        "hash_algorithm": "sha256",
        "salt": field(&printed, "Salt"),
        "uuid": derived_uuid(&root.parse().unwrap()).to_string(),
        "image_bytes": image.len(),
        "source": "https://example.org/m",
        "revision": "v1",
        "excluded": ["z*"],
        "files": listed,
        "builder_version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(manifest, expected);

    let verified = place.run(&format!("verify disk --root-hash {root}")).ok();
    assert!(verified.contains("manifest: disk.json is about this disk"));
    // As any new file: the mode that the umask leaves.
    place.write("other", b"");
    for name in ["disk", "disk.json"] {
        let mode = |name| fs::metadata(place.path(name)).unwrap().permissions().mode();
        assert_eq!(mode(name), mode("other"));
    }
}

#[test]
fn json_says_the_same() {
    let place = WorkFolder::new();
    model(&place, "model");
    let text = place.run("build model --output one").ok();
    let json = place.run("build model --output two --json").ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["root_hash"], field(&text, "Root hash"));
    assert_eq!(json["uuid"], field(&text, "UUID"));
    let json = place.run("root-hash model --json").ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    let expected = json!({ "root_hash": field(&text, "Root hash"), "notes": [] });
    assert_eq!(json, expected);
    assert!(place.read("one") == place.read("two"));
}

/// The tree that `hash` would have made, and the same disk to the byte.
#[test]
fn hash_makes_the_same_of_the_image_alone() {
    let place = WorkFolder::new();
    model(&place, "model");
    let built = place.run("build model --output disk").ok();
    let disk = place.read("disk");
    let blocks: usize = field(&built, "Data blocks").parse().unwrap();
    place.write("image", &disk[..blocks * 4096]);
    assert_eq!(place.run("hash image").ok(), built);
    assert!(place.read("image") == disk);
}

#[test]
fn holes_stay_holes() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    let sparse = File::create(directory.join("sparse")).unwrap();
    sparse.set_len((1 << 30) + 5).unwrap();
    place.run("build model --output disk").ok();
    let metadata = fs::metadata(place.path("disk")).unwrap();
    assert!(metadata.len() > 1 << 30);
    assert!(metadata.blocks() * 512 < 64 << 20, "{}", metadata.blocks());
    // Zeros that are written give the same.
    let root = root_hash(&place, "model");
    sparse.set_len(0).unwrap();
    fs::write(directory.join("sparse"), vec![0; (1 << 30) + 5]).unwrap();
    assert_eq!(root_hash(&place, "model"), root);
}

#[test]
fn what_is_there_stays_unless_forced() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    place.run("build model --output disk").ok();
    let (disk, manifest) = (place.read("disk"), place.read("disk.json"));
    fs::write(directory.join("config.json"), b"other").unwrap();
    place
        .run("build model --output disk")
        .refused(5, "disk exists: --force replaces it");
    place
        .run("build model --output new --manifest disk.json")
        .refused(5, "disk.json exists: --force replaces it");
    assert_eq!(place.names(), ["disk", "disk.json", "model"]);
    assert!(place.read("disk") == disk && place.read("disk.json") == manifest);

    let printed = place.run("build model --output disk --force").ok();
    assert!(place.read("disk") != disk && place.read("disk.json") != manifest);
    let root = field(&printed, "Root hash");
    place.run(&format!("verify disk --root-hash {root}")).ok();
    // The manifest of the old disk goes with it.
    place
        .run("build model --output disk --force --manifest m")
        .ok();
    assert_eq!(place.names(), ["disk", "m", "model"]);
}

/// Whoever of them is last, it is with both its disk and its manifest.
#[test]
fn a_manifest_is_that_of_its_disk_whoever_builds_too() {
    let place = WorkFolder::new();
    for model in 0..4 {
        fs::create_dir(place.path(&format!("m{model}"))).unwrap();
        place.write(&format!("m{model}/weights"), &[model; 5000]);
    }
    for _ in 0..20 {
        let build = |model: u8| {
            let arguments = format!("build m{model} --output disk --force --threads 1");
            place.builder().args(arguments.split(' ')).spawn().unwrap()
        };
        for mut running in [0, 1, 2, 3].map(build) {
            assert!(running.wait().unwrap().success());
        }
        let manifest: Value = serde_json::from_slice(&place.read("disk.json")).unwrap();
        let root = manifest["root_hash"].as_str().unwrap();
        place.run(&format!("verify disk --root-hash {root}")).ok();
    }
}

#[test]
fn what_is_left_out() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    let root = root_hash(&place, "model");
    let more = [
        (".git/config", b"x".to_vec()),
        (".cache/huggingface/download/x", b"x".to_vec()),
    ];
    write(&directory, &more);
    assert_eq!(root_hash(&place, "model"), root);
    write(&directory, &[("README.md", b"x".to_vec())]);
    assert_ne!(root_hash(&place, "model"), root);
    assert_eq!(root_hash(&place, "model --exclude *.md"), root);
    assert_eq!(
        root_hash(&place, "model --exclude no --exclude README.md"),
        root
    );
    place
        .run("build model --output disk --exclude [")
        .refused(2, "exclude pattern \"[\" cannot be read");
    place
        .run("root-hash model --exclude ./README.md")
        .refused(2, "matches nothing");
    place
        .run("root-hash model --exclude *")
        .refused(1, "there is no file to put onto a disk");
}

/// An output within the model would be on the next disk.
#[test]
fn outputs_are_outside_of_the_model() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    symlink("model", place.path("link")).unwrap();
    symlink("model/onnx", place.path("out")).unwrap();
    for arguments in [
        "build model --output model",
        "build model --output model/disk",
        "build model --output ./model/onnx/disk",
        "build link --output model/disk",
        "build model --output out/disk",
        "build model --output disk --manifest model/disk.json",
        "build model --output model/config.json --force",
        "build model --output model/disk --exclude disk",
    ] {
        let ended = place.run(arguments);
        ended.refused(2, "an output must be outside of it");
    }
    // A link out of the model leads to what would be an output.
    fs::create_dir(place.path("elsewhere")).unwrap();
    place.write("elsewhere/disk", b"weights");
    symlink("../elsewhere", directory.join("more")).unwrap();
    for arguments in [
        "build model --output elsewhere/disk --force",
        "build model --output new --force --manifest elsewhere/disk",
    ] {
        let ended = place.run(&format!("{arguments} --allow-outside elsewhere"));
        ended.refused(2, "is a file of the model, as model/more/disk");
    }
    assert!(place.read("elsewhere/disk") == b"weights");
    place
        .run("build model --output elsewhere/new --allow-outside elsewhere")
        .refused(
            2,
            "elsewhere/new is in the model directory model/more: an output must",
        );
    for arguments in [
        "build model --output new --manifest new",
        "build model --output new --manifest ./new",
    ] {
        let ended = place.run(arguments);
        ended.refused(2, "cannot be both the disk and its manifest");
    }
    assert_eq!(place.names(), ["elsewhere", "link", "model", "out"]);
}

#[test]
fn refusals() {
    let place = WorkFolder::new();
    model(&place, "model");
    place.write("file", b"x");
    fs::create_dir(place.path("other")).unwrap();
    for (arguments, code, message) in [
        ("build missing --output disk", 4, "cannot read missing"),
        ("build file --output disk", 2, "file is not a directory"),
        ("root-hash missing", 4, "cannot read missing"),
        (
            "build model --output other",
            2,
            "other is neither a regular file nor a block device",
        ),
        (
            "build model --output no/such",
            4,
            "cannot write beside no/such",
        ),
        (
            "build model --output disk --manifest no/such",
            4,
            "cannot write beside no/such",
        ),
        ("build model --output /dev/null", 2, "/dev/null is neither"),
    ] {
        place.run(arguments).refused(code, message);
    }
    place.run("build model").usage("--output");
    place.run("build --output disk").usage("MODEL_DIR");
    place.run("root-hash model --output disk").usage("--output");
    assert_eq!(place.names(), ["file", "model", "other"]);
}

/// Each is an error that names the path, and there is no output.
#[test]
fn models_that_no_disk_is_made_of() {
    type Make = fn(&std::path::Path);
    let cases: [(Make, &str, &str); 5] = [
        (
            |path| symlink("gone", path).unwrap(),
            "is a symbolic link to gone, which is not there",
            "model/bad",
        ),
        (
            |path| symlink("bad", path).unwrap(),
            "leads back to itself",
            "model/bad",
        ),
        (
            |path| symlink(".", path).unwrap(),
            "is the directory model that it lies in",
            "model/bad",
        ),
        (
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "is a named pipe",
            "model/bad",
        ),
        (
            |path| symlink("bad/below", path).unwrap(),
            "leads back to itself",
            "model/bad",
        ),
    ];
    for (make, message, path) in cases {
        let place = WorkFolder::new();
        make(&model(&place, "model").join("bad"));
        for arguments in ["build model --output disk", "root-hash model"] {
            let ended = place.run(arguments);
            assert!(ended.stderr.contains(path), "{ended:?}");
            ended.refused(1, message);
        }
        assert_eq!(place.names(), ["model"]);
    }
}

#[test]
fn names_that_are_not_text() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    let odd = OsStr::from_bytes(b"odd \xff name");
    fs::write(directory.join(odd), b"x").unwrap();
    let root = field(&place.run("build model --output disk").ok(), "Root hash").to_owned();
    let manifest: Value = serde_json::from_slice(&place.read("disk.json")).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let hex = json!({ "path_hex": hex::encode(odd.as_bytes()), "bytes": 1 });
    assert!(files.contains(&hex), "{files:?}");
    place.run(&format!("verify disk --root-hash {root}")).ok();
}
