//! `hash`: where the tree goes, what is refused, what is taken back.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use dm_verity::Superblock;
use model_disk::derived_uuid;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::{Ended, WorkFolder, data, field, signal};

#[test]
fn appended_and_verified() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let printed = place.run("hash data").ok();
    let image = place.read("data");
    assert!(image[..40960] == data(40960, 1));
    assert_eq!(image.len(), 40960 + 2 * 4096);
    let superblock = Superblock::parse(image[40960..41472].try_into().unwrap()).unwrap();
    let root = field(&printed, "Root hash");
    assert_eq!(superblock.uuid, derived_uuid(&root.parse().unwrap()));
    assert_eq!(field(&printed, "UUID"), superblock.uuid.to_string());
    assert_eq!(
        field(&printed, "Salt"),
        superblock.params.salt().to_string()
    );
    place
        .run(&format!(
            "verify data --root-hash {root} --hash-offset 40960"
        ))
        .ok();
}

#[test]
fn one_image_for_any_number_of_threads() {
    let images = ["1", "2", "7"].map(|threads| {
        let place = WorkFolder::new();
        place.write("data", &data(40 << 20, 1));
        place.run(&format!("hash data --threads {threads}")).ok();
        place.read("data")
    });
    assert!(images[0] == images[1] && images[0] == images[2]);
}

#[test]
fn a_file_that_ends_within_a_block_is_padded() {
    let place = WorkFolder::new();
    place.write("data", &data(40961, 1));
    let printed = place.run("hash data").ok();
    assert_eq!(field(&printed, "Data blocks"), "11");
    let padded = [data(40961, 1), vec![0; 4095]].concat();
    place.write("padded", &padded);
    assert_eq!(place.run("hash padded").ok(), printed);
    assert!(place.read("data") == place.read("padded"));
}

#[test]
fn holes_give_the_same_as_zeros() {
    let place = WorkFolder::new();
    let sparse = File::create(place.path("sparse")).unwrap();
    sparse.set_len(50 << 20).unwrap();
    place.write("zeros", &vec![0; 50 << 20]);
    let printed = place.run("hash sparse").ok();
    assert_eq!(place.run("hash zeros").ok(), printed);
    assert!(place.read("sparse") == place.read("zeros"));
}

#[test]
fn json_says_the_same() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let text = place.run("hash data --hash-device one --salt 00").ok();
    let json = place
        .run("hash data --hash-device two --salt 00 --json")
        .ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["root_hash"], field(&text, "Root hash"));
    assert_eq!(json["uuid"], field(&text, "UUID"));
    assert_eq!(json["salt"], "00");
    assert_eq!(json["data_blocks"], 10);
    assert_eq!(json["hash_blocks"], 1);
    assert_eq!(json["hash_offset"], 0);
    assert!(place.read("one") == place.read("two"));
}

#[test]
fn sizes_take_suffixes() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let printed = place
        .run("hash data --hash-device h --hash-offset 4K --data-block-size 1k --hash-block-size 8K")
        .ok();
    assert_eq!(field(&printed, "Data block size"), "1024");
    assert_eq!(field(&printed, "Hash block size"), "8192");
    assert_eq!(place.read("h")[4096..4102], *b"verity");
}

#[test]
fn a_tree_can_be_made_again_in_its_place() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let first = place.run("hash data").ok();
    let image = place.read("data");
    place.flip("data", 40960 + 4096);
    place
        .run("hash data --data-blocks 10 --hash-offset 40960")
        .refused(
            5,
            "data has a dm-verity hash tree on it, by its mark at byte 40960: --force overwrites it",
        );
    let again = place
        .run("hash data --data-blocks 10 --hash-offset 40960 --force")
        .ok();
    assert_eq!(again, first);
    assert!(place.read("data") == image);
}

#[test]
fn the_hash_device_may_be_the_data_by_another_name() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    place.write("other", &data(40960, 1));
    fs::hard_link(place.path("data"), place.path("name")).unwrap();
    let printed = place.run("hash data --hash-device name").ok();
    assert_eq!(place.run("hash other").ok(), printed);
    assert!(place.read("data") == place.read("other"));
}

#[test]
fn a_hash_file_is_made_whole_and_readable() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    place.run("hash data --hash-device hashes").ok();
    assert_eq!(place.names(), ["data", "hashes"]);
    // As any new file: the mode that the umask leaves.
    let mode = |name| fs::metadata(place.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("hashes"), mode("data"));
}

#[test]
fn a_hash_file_that_exists_stays_unless_forced() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    place.write("hashes", &[7; 20000]);
    place
        .run("hash data --hash-device hashes")
        .refused(5, "hashes exists: --force replaces it");
    assert!(place.read("hashes") == [7; 20000]);
    place.run("hash data --hash-device hashes --force").ok();
    assert_eq!(place.read("hashes").len(), 8192);
    // An empty one, as mktemp makes it, holds nothing that could be lost.
    place.write("empty", &[]);
    place.run("hash data --hash-device empty").ok();
    assert!(place.read("empty") == place.read("hashes"));
}

#[test]
fn a_second_run_is_refused_and_changes_nothing() {
    for options in [
        "",
        "--hash sha512",
        "--hash-block-size 512",
        "--data-blocks 3",
    ] {
        let place = WorkFolder::new();
        place.write("data", &data(1 << 20, 1));
        place.run(&format!("hash data {options}")).ok();
        let image = place.read("data");
        let again = place.run(&format!("hash data {options}"));
        again.refused(
            5,
            "already has a hash tree, with its superblock at byte 1048576",
        );
        assert!(place.read("data") == image);
    }
}

#[test]
fn refusals() {
    let place = WorkFolder::new();
    place.write("data", &data(40961, 1));
    place.write("empty", &[]);
    fs::create_dir(place.path("directory")).unwrap();
    for (arguments, code, message) in [
        ("missing", 4, "cannot open missing: No such file"),
        (
            "directory",
            2,
            "directory is neither a regular file nor a block device",
        ),
        (
            "/dev/null",
            2,
            "/dev/null is neither a regular file nor a block device",
        ),
        ("empty", 1, "cannot hash empty: there is no data"),
        (
            "data --hash-device h",
            2,
            "the last 1 bytes would not be covered",
        ),
        (
            "data --hash-device directory --data-blocks 10",
            2,
            "directory is neither",
        ),
        (
            "data --hash-device no/such --data-blocks 10",
            4,
            "cannot write beside no/such",
        ),
        (
            "data --hash-offset 0",
            2,
            "would overwrite the data, which ends at byte 45056",
        ),
        (
            "data --hash-device data --hash-offset 4096",
            2,
            "would overwrite the data",
        ),
        (
            "data --hash-offset 45057",
            2,
            "hash offset 45057 is not a multiple of 512",
        ),
        (
            "data --hash-offset 45568 --no-superblock",
            2,
            "is not a multiple of 4096",
        ),
        (
            "data --data-blocks 12",
            2,
            "12 data blocks of 4096 bytes are more than the 40961",
        ),
        (
            "data --data-blocks 0",
            2,
            "the number of data blocks is zero",
        ),
        (
            "data --hash-device h --data-blocks 11",
            2,
            "11 data blocks of 4096 bytes are more",
        ),
    ] {
        place
            .run(&format!("hash {arguments}"))
            .refused(code, message);
    }
    for (arguments, message) in [
        ("", "<DATA>"),
        ("data --hash sha1", "hash algorithm \"sha1\" is not allowed"),
        ("data --salt 0", "an even number of hex digits"),
        (
            "data --data-block-size 4095",
            "block size 4095 is not a power of two",
        ),
        (
            "data --hash-block-size 1M",
            "block size 1048576 is not a power of two",
        ),
        ("data --hash-offset 1X", "a size is a number of bytes"),
        ("data --uuid 1", "--uuid"),
        ("data --threads 0", "--threads"),
        (
            "data --no-superblock --uuid 3f1b9a52-7c0e-4d7b-9f55-0a1b2c3d4e5f",
            "cannot be used with",
        ),
    ] {
        place.run(&format!("hash {arguments}")).usage(message);
    }
    let long = "5a".repeat(257);
    place
        .run(&format!("hash data --salt {long}"))
        .usage("a salt of 257 bytes is too long");
    assert!(place.read("data") == data(40961, 1));
    assert_eq!(place.names(), ["data", "directory", "empty"]);
}

#[test]
fn a_file_in_use_by_another_run_is_busy() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let other = OpenOptions::new()
        .write(true)
        .open(place.path("data"))
        .unwrap();
    other.lock().unwrap();
    let said = format!("data is locked by process {} (", std::process::id());
    place.run("hash data").refused(5, &said);
    // Not only closed: a process that another test starts may have it open for a moment.
    other.unlock().unwrap();
    place.run("hash data").ok();
}

/// A write that fails half-way: the file may not become larger than the limit says.
#[test]
fn a_failed_write_is_taken_back() {
    let place = WorkFolder::new();
    place.write("data", &data(1 << 20, 1));
    for (arguments, names) in [
        ("hash data", vec!["data"]),
        (
            "hash data --hash-device hashes --hash-offset 1M",
            vec!["data"],
        ),
    ] {
        // 1028 KiB: room for the superblock, not for the tree.
        place
            .run_limited(1028, arguments)
            .refused(1, "File too large");
        assert!(place.read("data") == data(1 << 20, 1), "{arguments}");
        assert_eq!(place.names(), names, "{arguments}");
    }
}

#[test]
fn a_signal_takes_back_what_was_appended() {
    for sent in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let place = WorkFolder::new();
        let sparse = File::create(place.path("data")).unwrap();
        // So large that it is still at work when the signal comes.
        let bytes = 1 << 40;
        sparse.set_len(bytes).unwrap();
        let child = place.spawn("hash data");
        while sparse.metadata().unwrap().len() == bytes {
            std::thread::yield_now();
        }
        signal(&child, sent);
        let ended = Ended::of(child.wait_with_output().unwrap());
        ended.refused(1, "disk-builder: interrupted");
        assert_eq!(sparse.metadata().unwrap().len(), bytes);
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = place
        .builder()
        .args(["hash", "data"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let ended = Ended::of(output);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(place.read("data").len(), 49152);
}
