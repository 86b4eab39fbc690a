//! `ls`.

use model_disk::ExitCode;

use crate::place::{DiskFolder, disk_of, model};

#[test]
fn names_sizes_and_json() {
    let place = DiskFolder::new(disk_of(&model()));
    let top = "config.json\nempty\nshards\nsparse\ntokenizer\n";
    for path in [&[][..], &["/"], &["."]] {
        assert_eq!(place.run("ls", path).text(), top);
    }
    assert_eq!(
        place.run("ls", &["-l", "/shards/"]).text(),
        "-rw-r--r--         3000000 1.safetensors\n\
         -rw-r--r--            4096 2.safetensors\n\
         drwxr-xr-x              41 deep\n"
    );
    assert_eq!(
        place.run("ls", &["shards/deep/er/3"]).text(),
        "shards/deep/er/3\n"
    );
    // Whoever chose a name does not command the terminal.
    assert_eq!(place.run("ls", &["tokenizer"]).text(), "a\\u{1b}[31m\\n\n");
    let json = place.run("ls", &["--json", "tokenizer"]).text();
    assert_eq!(
        json,
        "{\"entries\":[{\"path\":\"a\\u001b[31m\\n\",\"type\":\"file\",\"mode\":\"0644\",\"size\":10}]}\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&place.run("ls", &["--json"]).text()).unwrap();
    assert_eq!(json["entries"].as_array().unwrap().len(), 5);
}

#[test]
fn what_is_not_there_and_what_is_no_path() {
    let place = DiskFolder::new(disk_of(&model()));
    for path in ["nothing", "config.json/x", "shards/1", "Shards"] {
        let said = format!("{path} is not on disk.img");
        place
            .run("ls", &[path])
            .refused(ExitCode::NotFound, &[&said]);
    }
    place
        .run("ls", &["a/../b"])
        .refused(ExitCode::Usage, &["is no path on a disk"]);
}

/// Metadata is verified as anything else is.
#[test]
fn a_corrupt_directory_is_not_listed() {
    let place = DiskFolder::new(disk_of(&model()));
    place.flip(place.start_of("shards") + 5);
    let whole = place.run("ls", &[]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let said = ["the filesystem on disk.img cannot be read", "is corrupt"];
    place
        .run("ls", &["shards"])
        .refused(ExitCode::Integrity, &said);
    // The superblock, and another root hash.
    place.flip(1100);
    let said = ["data block 0 is corrupt (byte 0 of disk.img)"];
    place.run("ls", &[]).refused(ExitCode::Integrity, &said);
    let other = DiskFolder::new(disk_of(&[("a".to_owned(), Vec::new())].into()));
    std::fs::copy(other.path("disk.img"), place.path("disk.img")).unwrap();
    place
        .run("ls", &[])
        .refused(ExitCode::Integrity, &["the root hash does not match"]);
    std::fs::remove_file(place.path("disk.img")).unwrap();
    place
        .run("ls", &[])
        .refused(ExitCode::NotFound, &["cannot open disk.img"]);
}
