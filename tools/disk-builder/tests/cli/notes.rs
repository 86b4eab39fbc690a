//! What is told of a model besides its root hash: on the standard error, and without a change of
//! the disk or of the exit code.

use std::{ffi::OsStr, fs, os::unix::fs::symlink};

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

#[test]
fn files_from_outside_of_the_model_are_named() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    assert_eq!(notes(&place, "root-hash model"), "");
    place.write("secret", b"key");
    symlink("../secret", directory.join("notes.md")).unwrap();
    // Links within the model, and into a directory outside.
    symlink("config.json", directory.join("same.json")).unwrap();
    symlink("onnx", directory.join("more")).unwrap();
    write(&place.path("elsewhere"), &files());
    symlink("../elsewhere", directory.join("linked")).unwrap();
    let top = place.path("").canonicalize().unwrap();
    let top = top.display();
    let expected = format!(
        "disk-builder: note: links lead to 8 files outside of model; --exclude leaves out what \
         does not belong on the disk:\n    \
         linked/config.json is {top}/elsewhere/config.json\n    \
         linked/empty is {top}/elsewhere/empty\n    \
         linked/model.safetensors is {top}/elsewhere/model.safetensors\n    \
         linked/onnx/deep/er/x is {top}/elsewhere/onnx/deep/er/x\n    \
         linked/onnx/model.onnx is {top}/elsewhere/onnx/model.onnx\n    \
         and 3 more\n"
    );
    for arguments in [
        "root-hash model",
        "root-hash model --json --quiet",
        "build model --output disk",
    ] {
        assert_eq!(notes(&place, arguments), expected, "{arguments}");
    }
    let one = notes(&place, "root-hash model --exclude linked");
    assert!(
        one.contains("links lead to 1 file outside of model"),
        "{one}"
    );
    assert!(
        one.contains(&format!("notes.md is {top}/secret\n")),
        "{one}"
    );
    let none = notes(
        &place,
        "root-hash model --exclude linked --exclude notes.md",
    );
    assert_eq!(none, "");
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
    let noted = notes(&place, "root-hash hub/others/REV");
    assert!(
        noted.contains("2 files outside of hub/others/REV"),
        "{noted}"
    );

    // A repository that looks like a cache.
    fs::rename(place.path("hub/others"), place.path("hub/snapshots")).unwrap();
    fs::rename(place.path("hub/blobs"), place.path("secrets")).unwrap();
    symlink("../secrets", place.path("hub/blobs")).unwrap();
    let noted = notes(&place, "root-hash hub/snapshots/REV");
    assert!(noted.contains("2 files outside of"), "{noted}");
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
    assert!(ended.stderr.contains(&format!("/{shown}\n")), "{ended:?}");
    assert!(!ended.stderr.contains('\x1b'), "{ended:?}");
    run(&place, name.as_ref()).refused(2, &format!("{shown} is not a directory"));
}
