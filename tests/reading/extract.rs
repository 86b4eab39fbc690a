//! `extract`.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    process::Command,
};

use model_disk::ExitCode;
use test_support::image::{DiskImage, SaltKind};

use crate::place::{DiskFolder, LEFT, Read, disk_of, files_in, is_marked, mkfs, model};

#[test]
fn all_of_it() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    for threads in ["1", "4"] {
        let said = place.run("extract", &["out", "--threads", threads]).text();
        let bytes: usize = model.values().map(Vec::len).sum();
        assert_eq!(
            said,
            format!("7 files of {bytes} bytes are in out, verified\n")
        );
        assert!(files_in(&place.path("out")) == model);
        assert!(!is_marked(&place.path("out")));
        // Its zeros take no room.
        let sparse = place.path("out/sparse").metadata().unwrap();
        assert!(sparse.blocks() * 512 <= 128 << 10, "{}", sparse.blocks());
        assert_eq!(
            place.run("check", &["out"]).text(),
            "out is what is on the disk\n"
        );
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}

#[test]
fn into_an_empty_directory_and_as_json() {
    let place = DiskFolder::new(disk_of(&model()));
    fs::create_dir(place.path("out")).unwrap();
    let json = place.run("extract", &["--json", "out"]).text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["files"], &json["directories"]),
        (&7.into(), &4.into())
    );
    assert_eq!(
        (&json["kept_files"], &json["links"]),
        (&0.into(), &0.into())
    );
    assert_eq!(json["root_hash"], place.image.root_hash.to_string());
    // What is whole is found to be so, and left as it is.
    let json = place.run("extract", &["--json", "out"]).text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kept_files"], 7);
}

#[test]
fn some_paths_with_the_directories_that_they_are_in() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    let paths = [
        "out",
        "shards/deep/er/3",
        "tokenizer",
        "shards/2.safetensors",
        "shards/deep",
    ];
    place.run("extract", &paths).text();
    let mut expected = model.clone();
    expected.retain(|path, _| {
        path.starts_with("shards/deep") || path.starts_with("tokenizer") || path.contains("2.safe")
    });
    assert!(files_in(&place.path("out")) == expected);
    place.run("extract", &paths).text();
    let said = ["nothing is not on disk.img"];
    place
        .run("extract", &["new", "config.json", "nothing"])
        .refused(ExitCode::NotFound, &said);
    assert!(!place.path("new").exists());
}

/// Whatever a process does not let others do with its files.
#[test]
fn permissions_do_not_depend_on_the_umask() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    let root_hash = place.image.root_hash;
    let program = env!("CARGO_BIN_EXE_disk-mounter");
    let line = format!("umask 077; {program} extract disk.img out --root-hash {root_hash}");
    let ended = Command::new("sh")
        .args(["-c", &line])
        .current_dir(place.path(""))
        .output();
    Read::of(ended.unwrap()).ok();
    assert!(files_in(&place.path("out")) == model);
}

/// A file with a corrupt block does not appear; the others stay. With a good disk the next run
/// completes what is there.
#[test]
fn corrupt_and_continued() {
    let model = model();
    for (path, inside) in [
        ("shards/1.safetensors", 2_500_000),
        ("tokenizer/a\u{1b}[31m\n", 0),
    ] {
        let place = DiskFolder::new(disk_of(&model));
        let out = place.path("out");
        place.flip(place.start_of(path) + inside);
        let read = place.run("extract", &["out", "--threads", "2"]);
        let shown = path.escape_default().to_string();
        let said = [
            &format!("cannot read {shown} on disk.img: data block "),
            "is corrupt (byte ",
        ];
        assert!(read.stdout.is_empty());
        read.refused(ExitCode::Integrity, &said);
        let there = files_in(&out);
        assert!(!there.contains_key(path));
        assert!(there.iter().all(|(path, bytes)| model[path] == *bytes));
        assert!(is_marked(&out));
        assert_eq!(
            fs::read_dir(out.join(LEFT[1])).unwrap().count(),
            0,
            "nothing half is left"
        );
        place
            .run("check", &["out"])
            .refused(ExitCode::Integrity, &[]);

        // One that is there is changed, and as long as it was; another has other permissions.
        let changed = there.keys().find(|path| there[*path].len() > 2);
        if let Some(changed) = changed {
            let file = fs::File::options()
                .write(true)
                .open(out.join(changed))
                .unwrap();
            file.write_all_at(b"\xff", 1).unwrap();
        }
        fs::write(place.path("disk.img"), &place.image.bytes).unwrap();
        let json = place.run("extract", &["out", "--json"]).text();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let kept = there.len() - usize::from(changed.is_some());
        assert_eq!(json["kept_files"], kept);
        assert!(files_in(&out) == model);
        assert!(!is_marked(&out));
        place.run("check", &["out"]).ok();
    }
}

/// Every block of the metadata and of the tree that all files need.
#[test]
fn corrupt_metadata_makes_nothing() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    place.flip(place.start_of("tokenizer"));
    place
        .run("extract", &["out"])
        .refused(ExitCode::Integrity, &["is corrupt"]);
    assert!(!place.path("out").exists());
}

#[test]
fn directories_that_are_not_taken() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    let out = place.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "precious").unwrap();
    let said =
        ["out is not empty, and not what a run for this disk left: mine in it is not on the disk"];
    place
        .run("extract", &["out"])
        .refused(ExitCode::InTheWay, &said);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // What another disk's run left.
    fs::write(out.join(LEFT[0]), format!("{}\n", "00".repeat(32))).unwrap();
    let said = ["out has what a run for another disk left before its end"];
    place
        .run("extract", &["out"])
        .refused(ExitCode::InTheWay, &said);
    for text in ["", "\u{0}", &place.image.root_hash.to_string()] {
        fs::write(out.join(LEFT[0]), text).unwrap();
        place
            .run("extract", &["out"])
            .refused(ExitCode::InTheWay, &said);
    }
    assert_eq!(fs::read(out.join("mine")).unwrap(), b"precious");
    // Nothing but that: then it does not matter which disk it was.
    fs::remove_file(out.join("mine")).unwrap();
    place.run("extract", &["out"]).text();
    assert!(files_in(&out) == model);

    fs::write(place.path("file"), "").unwrap();
    let read = place.run("extract", &["file"]);
    read.refused(ExitCode::Failure, &["cannot open file"]);
    let read = place.run("extract", &["a/b"]);
    read.refused(ExitCode::NotFound, &["cannot make a/b"]);
}

#[test]
fn one_run_at_a_time() {
    let place = DiskFolder::new(disk_of(&model()));
    let out = place.path("out");
    fs::create_dir(&out).unwrap();
    let mark = fs::File::create(out.join(LEFT[0])).unwrap();
    mark.lock().unwrap();
    let said = ["another run is extracting to out"];
    place
        .run("extract", &["out"])
        .refused(ExitCode::InTheWay, &said);
    // Not only closed: a process that another test starts may have it open for a moment.
    mark.unlock().unwrap();
    place.run("extract", &["out"]).text();
}

/// Links that somebody put where a run goes on: nothing that they lead to is touched.
#[test]
fn no_link_is_followed_out_of_the_directory() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    let (out, elsewhere) = (place.path("out"), place.path("elsewhere"));
    let start = || {
        let _ = fs::remove_dir_all(&out);
        let _ = fs::remove_dir_all(&elsewhere);
        fs::create_dir(&out).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(out.join(LEFT[0]), format!("{}\n", place.image.root_hash)).unwrap();
        fs::write(elsewhere.join("2.safetensors"), "precious").unwrap();
    };
    let untouched = || {
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
        assert_eq!(
            fs::read(elsewhere.join("2.safetensors")).unwrap(),
            b"precious"
        );
    };
    // In the place of a directory.
    start();
    symlink(&elsewhere, out.join("shards")).unwrap();
    let read = place.run("extract", &["out"]);
    assert_ne!(read.code, Some(0));
    assert!(read.stderr.contains("shards"), "{}", read.stderr);
    untouched();
    // In the place of a file: it gives way to the file.
    start();
    symlink(elsewhere.join("2.safetensors"), out.join("config.json")).unwrap();
    place.run("extract", &["out"]).text();
    assert!(files_in(&out) == model);
    untouched();
    // In the place of what is not whole.
    start();
    fs::write(out.join("config.json"), "").unwrap();
    symlink(&elsewhere, out.join(LEFT[1])).unwrap();
    let read = place.run("extract", &["out"]);
    assert_ne!(read.code, Some(0));
    untouched();
    // In the place of the mark.
    start();
    fs::remove_file(out.join(LEFT[0])).unwrap();
    symlink(elsewhere.join("2.safetensors"), out.join(LEFT[0])).unwrap();
    let read = place.run("extract", &["out"]);
    assert_ne!(read.code, Some(0));
    untouched();
}

/// The disk of a folder, as `mkfs.erofs` makes it.
fn foreign(fill: impl FnOnce(&std::path::Path)) -> DiskFolder {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let image = mkfs(folder.path(), &["--chunksize=4096"]);
    DiskFolder::new(DiskImage::new(&image, (4096, 4096), SaltKind::Geometry))
}

#[test]
fn links_of_others_that_stay_inside() {
    let place = foreign(|folder| {
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/file"), "x").unwrap();
        symlink("../file", folder.join("a/b/up")).unwrap();
        symlink("a/b", folder.join("down")).unwrap();
        symlink("nothing", folder.join("dangling")).unwrap();
    });
    for _ in 0..2 {
        place.run("extract", &["out"]).text();
        place.run("check", &["out"]).ok();
        let target = fs::read_link(place.path("out/a/b/up")).unwrap();
        assert_eq!(target.to_str(), Some("../file"));
        assert_eq!(fs::read(place.path("out/down/up")).unwrap(), b"x");
        // As after a kill: what is there already is made again.
        fs::write(
            place.path("out").join(LEFT[0]),
            format!("{}\n", place.image.root_hash),
        )
        .unwrap();
    }
    place.run("extract", &["out"]).text();
    fs::remove_file(place.path("out/down")).unwrap();
    symlink("a", place.path("out/down")).unwrap();
    let said = "down is a link to another place than on the disk";
    let read = place.run("check", &["out"]);
    assert!(String::from_utf8_lossy(&read.stdout).contains(said));
}

/// Each by its name, and before anything is made.
#[test]
fn what_is_never_made() {
    let link = |target: &'static str| {
        foreign(move |folder| {
            fs::create_dir(folder.join("a")).unwrap();
            symlink(target, folder.join("a/evil")).unwrap();
        })
    };
    let said = "a/evil is not extracted: it is a symbolic link whose target could lead out";
    for target in [
        "/etc/passwd",
        "../..",
        "../../x",
        "b/../../../x",
        "b/..",
        "/",
    ] {
        let place = link(target);
        place
            .run("extract", &["out"])
            .refused(ExitCode::Unsupported, &[said]);
        assert!(!place.path("out").exists());
        // What is beside it can be had.
        place.run("ls", &["a"]).ok();
    }
    for mode in [0o4755, 0o2755, 0o6644] {
        let place = foreign(|folder| {
            fs::write(folder.join("evil"), "x").unwrap();
            fs::set_permissions(folder.join("evil"), fs::Permissions::from_mode(mode)).unwrap();
        });
        let said = "evil is not extracted: it is a set-user-ID or set-group-ID file";
        place
            .run("extract", &["out"])
            .refused(ExitCode::Unsupported, &[said]);
        assert!(!place.path("out").exists());
    }
    let place = foreign(|folder| {
        let made = Command::new("mkfifo")
            .arg(folder.join("evil"))
            .status()
            .unwrap();
        assert!(made.success());
    });
    let said = "evil is not extracted: it is a device, a pipe or a socket";
    place
        .run("extract", &["out"])
        .refused(ExitCode::Unsupported, &[said]);
    for name in LEFT {
        let place = DiskFolder::new(disk_of(&[(format!("{name}/x"), Vec::new())].into()));
        let said = format!("{name} is not extracted: its name is that of what an unfinished run");
        place
            .run("extract", &["out"])
            .refused(ExitCode::Unsupported, &[&said]);
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "all the same ".repeat(10_000)).unwrap();
    let image = mkfs(folder.path(), &["-zlz4"]);
    let place = DiskFolder::new(DiskImage::new(&image, (4096, 4096), SaltKind::Geometry));
    let said = ["cannot read text on disk.img: it is compressed"];
    place
        .run("extract", &["out"])
        .refused(ExitCode::Unsupported, &said);
    assert!(!place.path("out").exists());
}

/// A publisher may be hostile: names that are there twice, or out of their order.
#[test]
fn names_that_are_there_twice() {
    let files = ["file-a", "file-b", "file-c"].map(|path| (path.to_owned(), path.into()));
    let good = disk_of(&files.into());
    for (from, to) in [
        ("file-b", "file-a"),
        ("file-b", "file-c"),
        ("file-b", "file-d"),
    ] {
        let mut data = good.data().to_vec();
        let at = (4096..data.len())
            .find(|at| data[*at..].starts_with(b"file-afile-b"))
            .unwrap();
        assert_eq!(from, "file-b");
        data[at + 6..at + 12].copy_from_slice(to.as_bytes());
        let place = DiskFolder::new(DiskImage::new(&data, (4096, 4096), SaltKind::Geometry));
        let said = ["is not extracted: it is not in the order of its directory"];
        place
            .run("extract", &["out"])
            .refused(ExitCode::Unsupported, &said);
        assert!(!place.path("out").exists());
    }
}
