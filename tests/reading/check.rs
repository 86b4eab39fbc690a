//! `check`.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
};

use model_disk::ExitCode;

use crate::place::{DiskFolder, LEFT, disk_of, model};

fn extracted() -> DiskFolder {
    let place = DiskFolder::new(disk_of(&model()));
    place.run("extract", &["out"]).ok();
    place
}

#[test]
fn every_kind_of_difference_is_told() {
    let place = extracted();
    let out = |path: &str| place.path("out").join(path);
    let write = |path: &str, offset: u64| {
        let file = fs::File::options().write(true).open(out(path)).unwrap();
        file.write_all_at(b"\xfe\xfe", offset).unwrap();
    };
    fs::remove_file(out("empty")).unwrap();
    fs::create_dir(out("empty")).unwrap();
    write("shards/1.safetensors", 2_999_000);
    write("shards/1.safetensors", 1_234_567);
    fs::write(out("shards/2.safetensors"), "short").unwrap();
    fs::remove_dir_all(out("shards/deep")).unwrap();
    fs::set_permissions(out("shards"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(out("sparse"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(out("tokenizer/new"), "").unwrap();
    fs::create_dir(out("more")).unwrap();
    fs::write(out("more/of-it"), "").unwrap();
    let read = place.run("check", &["out"]);
    assert_eq!(
        String::from_utf8(read.stdout.clone()).unwrap(),
        "empty is of another type than on the disk\n\
         more is not on the disk\n\
         shards has permissions 0700, and not 0755\n\
         shards/1.safetensors differs from the disk, first at byte 1234567\n\
         shards/2.safetensors has 5 bytes, and 4096 on the disk\n\
         shards/deep is missing\n\
         shards/deep/er is missing\n\
         shards/deep/er/3 is missing\n\
         sparse has permissions 0666, and not 0644\n\
         tokenizer/new is not on the disk\n"
    );
    read.refused(ExitCode::Integrity, &[]);
    let json = place.run("check", &["out", "--json"]);
    assert_eq!(json.code, Some(3));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["same"], false);
    assert_eq!(json["differences"].as_array().unwrap().len(), 10);
    assert_eq!(json["differences"][1]["path"], "more");
}

/// What an unfinished run left is no whole model.
#[test]
fn the_mark_of_an_unfinished_run_is_a_difference() {
    let place = extracted();
    fs::write(place.path("out").join(LEFT[0]), "").unwrap();
    let read = place.run("check", &["out"]);
    assert_eq!(read.stdout, b".disk-mounter-extract is not on the disk\n");
    assert_eq!(read.code, Some(3));
}

/// A link in the place of a file has the bytes of that file, and is none.
#[test]
fn no_link_is_followed() {
    let place = extracted();
    let config = place.path("out/config.json");
    fs::rename(&config, place.path("config.json")).unwrap();
    symlink(place.path("config.json"), &config).unwrap();
    fs::rename(place.path("out/shards"), place.path("shards")).unwrap();
    symlink(place.path("shards"), place.path("out/shards")).unwrap();
    let read = place.run("check", &["out"]);
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(said.contains("config.json is of another type"), "{said}");
    assert!(said.contains("shards is of another type"), "{said}");
    assert_eq!(read.code, Some(3), "{}", read.stderr);
}

#[test]
fn a_corrupt_disk_and_no_directory() {
    let place = extracted();
    place.flip(place.start_of("shards/1.safetensors"));
    let said = ["cannot read shards/1.safetensors on disk.img", "is corrupt"];
    place
        .run("check", &["out"])
        .refused(ExitCode::Integrity, &said);
    place
        .run("check", &["nowhere"])
        .refused(ExitCode::NotFound, &["cannot open nowhere"]);
}
