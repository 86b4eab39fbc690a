//! Names that somebody else chose cannot forge a line of what the program says, or a colour.

use std::{ffi::OsStr, fs, os::unix::fs::symlink};

use crate::program::{Ended, WorkFolder, data, field};

/// What would be a line of its own, and what hides the one before.
const FORGED: &str = "x\ndisk-builder: all is well\x1b[8m\r";

/// The same as it is to be shown.
const SHOWN: &str = r"x\ndisk-builder: all is well\u{1b}[8m\r";

#[track_caller]
fn is_clean(ended: &Ended) {
    for line in ended.stdout.lines().chain(ended.stderr.lines()) {
        let forged = line.starts_with("disk-builder: all is well");
        assert!(!forged && !line.contains(['\x1b', '\r']), "{ended:?}");
    }
}

#[test]
fn links_in_a_model() {
    let place = WorkFolder::new();
    fs::create_dir(place.path("model")).unwrap();
    place.write("model/config.json", b"{}");
    for (name, target) in [("link", FORGED), (FORGED, "nothing")] {
        let link = place.path("model").join(name);
        symlink(target, &link).unwrap();
        let ended = place.run("root-hash model");
        is_clean(&ended);
        ended.refused(1, SHOWN);
        fs::remove_file(link).unwrap();
    }
    symlink(place.path("outside").join(FORGED), place.path("model/link")).unwrap();
    fs::create_dir(place.path("outside")).unwrap();
    fs::write(place.path("outside").join(FORGED), "").unwrap();
    let ended = place.run("root-hash model");
    is_clean(&ended);
    assert!(ended.stderr.contains(SHOWN), "{ended:?}");
}

#[test]
fn arguments_and_where_they_lead() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    symlink("data", place.path(FORGED)).unwrap();
    let arguments = ["hash", "data", "--hash-device", FORGED];
    let ended = Ended::of(place.builder().args(arguments).output().unwrap());
    is_clean(&ended);
    ended.refused(5, SHOWN);
    fs::remove_file(place.path(FORGED)).unwrap();
    let root_hash = "00".repeat(32);
    for arguments in [
        &["inspect", FORGED][..],
        &["hash", FORGED],
        &["verify", FORGED, "--root-hash", &root_hash],
        &["root-hash", FORGED],
        &["build", FORGED, "--output", "disk"],
    ] {
        let arguments = arguments.iter().map(OsStr::new);
        let ended = Ended::of(place.builder().args(arguments).output().unwrap());
        is_clean(&ended);
        ended.refused(4, SHOWN);
    }
}

#[test]
fn files_of_a_corrupt_disk() {
    let place = WorkFolder::new();
    fs::create_dir(place.path("model")).unwrap();
    fs::write(place.path("model").join(FORGED), data(40960, 2)).unwrap();
    let built = place.run("build model --output image").ok();
    place.flip("image", 16384);
    let root_hash = field(&built, "Root hash");
    for json in ["", " --json"] {
        let ended = place.run(&format!("verify image --root-hash {root_hash}{json}"));
        assert_eq!(ended.code, Some(3), "{ended:?}");
        is_clean(&ended);
        assert!(ended.stdout.contains("all is well"), "{ended:?}");
    }
}
