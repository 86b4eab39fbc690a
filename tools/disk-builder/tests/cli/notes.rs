//! What is told of a model besides its root hash: on the standard error, and without a change of
//! the disk or of the exit code.

use std::{ffi::OsStr, fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::{
    model_dir::{files, model, root_hash, write},
    program::{Ended, WorkFolder, data},
};

/// The notes of a run that must succeed.
#[track_caller]
fn notes(place: &WorkFolder, arguments: &str) -> String {
    let ended = place.run(arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

/// A repository of somebody else, behind whose harmless links one leads to a secret.
#[test]
fn links_that_lead_out_of_the_model_are_refused() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    let root = root_hash(&place, "model");
    let top = place.path("").canonicalize().unwrap();
    let top = top.to_str().unwrap();
    place.write("secret", b"key");
    write(&place.path("elsewhere"), &files());
    for number in 10..35 {
        symlink("../elsewhere/empty", directory.join(format!("{number}"))).unwrap();
    }
    symlink("../secret", directory.join("5-tokenizer.json")).unwrap();
    symlink("../elsewhere", directory.join("linked")).unwrap();
    // Links within the model.
    symlink("config.json", directory.join("same.json")).unwrap();
    let error = "links in model lead out of it, and would bring onto the disk what is not the \
                 model's: leave them out with --exclude, or name the place with --allow-outside";
    for arguments in ["root-hash model", "build model --output disk"] {
        let notes = place.run(arguments).refused_with_notes(5, error);
        assert_eq!(notes.lines().count(), 22, "{notes}");
        assert!(notes.ends_with("\n    and 7 more"), "{notes}");
        assert!(!place.path("disk").exists());

        let ended = place.run(&format!("{arguments} --json"));
        assert_eq!(ended.code, Some(5), "{ended:?}");
        let refusal: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(refusal["error"], error);
        assert_eq!(refusal["notes"][0]["kind"], "outside");
        let links = refusal["notes"][0]["links"].as_array().unwrap();
        assert_eq!(links.len(), 27, "{refusal}");
        let expected = json!({"path": "5-tokenizer.json", "leads_to": format!("{top}/secret")});
        assert!(links.contains(&expected), "{refusal}");
    }
    let some = "root-hash model --exclude [1-3]* --exclude same.json";
    assert_eq!(
        place.run(some).refused_with_notes(5, error),
        format!(
            "disk-builder: note: out of the model:\n    \
             5-tokenizer.json leads to {top}/secret\n    linked leads to {top}/elsewhere"
        ),
    );
    let one = place.run(&format!("{some} --allow-outside elsewhere"));
    let notes = one.refused_with_notes(5, error);
    assert!(!notes.contains("elsewhere"), "{notes}");
    let allowed = format!("{some} --allow-outside elsewhere --allow-outside secret --strict");
    let ended = place.run(&allowed);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_ne!(ended.stdout.trim_end(), root);
    let same = format!("{some} --exclude linked --exclude 5*");
    assert_eq!(place.run(&same).stdout.trim_end(), root);
}

/// Its blobs are the model's own, but only where the hub keeps them.
#[test]
fn a_hub_cache_is_no_outside() {
    let place = WorkFolder::new();
    let snapshot = place.path("hub/snapshots/REV");
    write(&place.path("hub/blobs"), &[("1", b"x".to_vec())]);
    fs::create_dir_all(snapshot.join("onnx")).unwrap();
    symlink("../../blobs/1", snapshot.join("weights")).unwrap();
    symlink("../../../blobs/1", snapshot.join("onnx/weights")).unwrap();
    symlink("hub/snapshots/REV", place.path("link")).unwrap();
    for name in ["hub/snapshots/REV", "link"] {
        assert_eq!(notes(&place, &format!("root-hash {name}")), "");
    }
    fs::rename(place.path("hub/snapshots"), place.path("hub/others")).unwrap();
    let outside = "links in hub/others/REV lead out of it";
    place
        .run("root-hash hub/others/REV")
        .refused_with_notes(5, outside);

    // A repository that looks like a cache.
    fs::rename(place.path("hub/others"), place.path("hub/snapshots")).unwrap();
    fs::rename(place.path("hub/blobs"), place.path("secrets")).unwrap();
    symlink("../secrets", place.path("hub/blobs")).unwrap();
    let ended = place.run("root-hash hub/snapshots/REV");
    let notes = ended.refused_with_notes(5, "links in hub/snapshots/REV lead out of it");
    assert!(notes.ends_with("/secrets/1"), "{notes}");
}

/// Each kind, with the disk unchanged by it, in the JSON object, and an error where it should be.
#[test]
fn what_is_hardly_meant_for_a_disk_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    let index = br#"{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}"#;
    for (file, bytes, kind, says) in [
        (
            "onnx/lfs.onnx",
            &pointer[..],
            "lfs_pointers",
            "Git LFS pointers in the place of files, which `git lfs pull` fetches:\n    onnx/lfs.onnx\n",
        ),
        (
            "x.incomplete",
            b"x",
            "leftovers",
            "left behind by a download, and hardly a part of the model; --exclude leaves it out:\n    x.incomplete\n",
        ),
        (
            ".huggingface/x",
            b"x",
            "leftovers",
            "\n    .huggingface/x\n",
        ),
        (
            ".env",
            b"x",
            "secrets",
            "named like secrets, which a disk gives to everybody; --exclude leaves them out:\n    .env\n",
        ),
        ("a/id_ed25519", b"x", "secrets", "\n    a/id_ed25519\n"),
        (
            "model.index.json",
            index,
            "missing_shards",
            "model.index.json names what does not go onto the disk; is the download complete?\n    model-2.safetensors\n",
        ),
        (
            "cut.index.json",
            b"{",
            "unreadable_index",
            "cut.index.json is no JSON that can be read; is the download complete? EOF",
        ),
    ] {
        let place = WorkFolder::new();
        let directory = model(&place, "model");
        write(&directory, &[(file, bytes.to_vec())]);
        let noted = notes(&place, "root-hash model");
        assert!(noted.starts_with("disk-builder: note: "), "{noted}");
        assert!(noted.contains(says), "{noted}");
        for arguments in ["root-hash model", "build model --output disk"] {
            let ended = place.run(&format!("{arguments} --json"));
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let report: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(report["notes"].as_array().unwrap().len(), 1, "{report}");
            assert_eq!(report["notes"][0]["kind"], kind, "{report}");
            fs::remove_file(place.path("disk.json")).ok();
            fs::remove_file(place.path("disk")).ok();

            let strict = place.run(&format!("{arguments} --strict"));
            let error = "model may not be a whole model and nothing else, and --strict makes";
            strict.refused_with_notes(1, error);
            assert!(!place.path("disk").exists());
            let strict = place.run(&format!("{arguments} --strict --json"));
            let refusal: Value = serde_json::from_str(&strict.stdout).unwrap();
            assert_eq!(refusal["notes"][0]["kind"], kind, "{refusal}");
        }
        let left_out = format!("root-hash model --strict --exclude {file}");
        assert_eq!(notes(&place, &left_out), "");
    }
    let place = WorkFolder::new();
    model(&place, "model");
    let report: Value = serde_json::from_str(&place.run("root-hash model --json").ok()).unwrap();
    assert_eq!(report["notes"], json!([]));
}

#[test]
fn patterns_that_leave_nothing_out_are_named() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    let root = root_hash(&place, "model");
    write(&directory, &[("README.md", b"x".to_vec())]);
    let arguments = "root-hash model --exclude *.md --exclude *.mx --exclude README.*";
    let ended = place.run(arguments);
    assert_eq!(ended.stdout.trim_end(), root);
    assert_eq!(
        ended.stderr,
        "disk-builder: note: --exclude \"*.mx\" left nothing out\n"
    );
    assert_eq!(
        notes(&place, "build model --output disk --exclude *.md"),
        ""
    );
    for pattern in ["new//", "a//b", "//", "a/"] {
        let ended = place.run(&format!("root-hash model --exclude {pattern}"));
        match pattern {
            "a/" => assert!(
                ended.stderr.contains("\"a/\" left nothing out"),
                "{ended:?}"
            ),
            _ => ended.refused(2, "matches nothing"),
        }
    }
}

#[test]
fn blocks_larger_than_most_pages_are_told() {
    let place = WorkFolder::new();
    place.write("data", &data(1 << 17, 1));
    for (size, noted) in [
        ("512", false),
        ("4096", false),
        ("8192", true),
        ("64K", true),
    ] {
        for json in ["", "--json --quiet"] {
            let hash = format!("hash data --hash-device tree --force --data-block-size {size}");
            let bytes = size.replace("64K", "65536");
            let note = format!(
                "disk-builder: note: data blocks of {bytes} bytes can be mounted only where the \
                 kernel's pages are as large, and most have 4096 bytes\n"
            );
            let told = notes(&place, &format!("{hash} {json}"));
            assert_eq!(told, if noted { note } else { String::new() });
        }
    }
    // Those of the tree may be larger.
    let hash = "hash data --hash-device tree --force --hash-block-size 64K";
    assert_eq!(notes(&place, hash), "");
}

/// What a file is called is no business of the terminal.
#[test]
fn names_do_not_reach_the_terminal_raw() {
    let place = WorkFolder::new();
    let run = |place: &WorkFolder, model: &OsStr| {
        let output = place.builder().arg("root-hash").arg(model).output();
        Ended::of(output.unwrap())
    };
    let name = "\x1b[31mX\nroot hash ok\u{202e}";
    let shown = r"\u{1b}[31mX\nroot hash ok\u{202e}";
    let directory = model(&place, "model");
    nix::unistd::mkfifo(&directory.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    run(&place, "model".as_ref()).refused(1, &format!("model/{shown} is a named pipe"));

    fs::remove_file(directory.join(name)).unwrap();
    symlink(name, directory.join("link")).unwrap();
    let ended = run(&place, "model".as_ref());
    ended.refused(
        1,
        &format!("model/link is a symbolic link to {shown}, which is not there"),
    );

    fs::write(place.path(name), b"x").unwrap();
    fs::remove_file(directory.join("link")).unwrap();
    symlink(format!("../{name}"), directory.join("link")).unwrap();
    let ended = run(&place, "model".as_ref());
    assert!(ended.stderr.contains("link leads to "), "{ended:?}");
    assert!(ended.stderr.contains(&format!("/{shown}\n")), "{ended:?}");
    assert!(!ended.stderr.contains('\x1b'), "{ended:?}");
    run(&place, name.as_ref()).refused(2, &format!("{shown} is not a directory"));
}
