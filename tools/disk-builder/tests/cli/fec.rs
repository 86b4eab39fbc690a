//! `hash --fec` and `build --fec`: the same parity as the real `veritysetup`, and everything else as
//! it is without.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use nix::sys::signal::Signal;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    model_dir::model,
    program::{Ended, WorkFolder, data, field, signal},
    veritysetup::labels,
};

const UUID: &str = "--uuid 3f1b9a52-7c0e-4d7b-9f55-0a1b2c3d4e5f";

/// Where parity and tree are: `--hash-device`, `--fec-device` and the offsets, in data lengths.
#[derive(Clone, Copy, Debug)]
enum Devices {
    /// The data's file has all.
    One,
    /// The data has the tree, and parity is elsewhere.
    FecApart,
    /// The tree has parity after it.
    FecWithTree,
    Three,
}

/// The same disk by both, of so many bytes of `data`: what is printed and written must be the same.
#[track_caller]
fn compare(place: &WorkFolder, devices: Devices, bytes: usize, options: &str, threads: usize) {
    let length = place.read("data").len();
    for name in ["t", "th", "tf", "o", "oh", "of"] {
        let _ = fs::remove_file(place.path(name));
    }
    let ours = |options: &str| {
        let options = format!("hash {options} --fec --threads {threads} {UUID}");
        place.run(&options).ok()
    };
    let theirs = |options: &str| place.veritysetup(&format!("format {options} {UUID}")).ok();
    for name in ["t", "o"] {
        fs::copy(place.path("data"), place.path(name)).unwrap();
    }
    let fec_offset = |printed: &str, at: &str| {
        let number = |label| field(printed, label).parse::<usize>().unwrap();
        let parity = number("FEC blocks") * number("Data block size");
        place.read(at).len() - parity
    };
    let appended = format!("--hash-offset {length} --data-blocks");
    let (printed, expected, files) = match devices {
        Devices::One => {
            let printed = ours(&format!("o {options}"));
            let blocks = field(&printed, "Data blocks");
            let offset = fec_offset(&printed, "o");
            let there = format!("--fec-device t --fec-offset {offset}");
            let expected = theirs(&format!("t t {options} {appended} {blocks} {there}"));
            (printed, expected, vec![("o", "t")])
        }
        Devices::FecApart => {
            let printed = ours(&format!("o {options} --fec-device of"));
            let blocks = field(&printed, "Data blocks");
            let there = "--fec-device tf";
            let expected = theirs(&format!("t t {options} {appended} {blocks} {there}"));
            (printed, expected, vec![("o", "t"), ("of", "tf")])
        }
        Devices::FecWithTree => {
            let printed = ours(&format!("data {options} --hash-device oh"));
            let offset = fec_offset(&printed, "oh");
            let there = format!("--fec-device th --fec-offset {offset}");
            let expected = theirs(&format!("data th {options} {there}"));
            (printed, expected, vec![("oh", "th")])
        }
        Devices::Three => {
            let there = "--hash-device oh --fec-device of";
            let printed = ours(&format!("data {options} {there}"));
            let expected = theirs(&format!("data th {options} --fec-device tf"));
            (printed, expected, vec![("oh", "th"), ("of", "tf")])
        }
    };
    let context = format!("{devices:?} {bytes} {options} {threads}");
    assert_eq!(printed, labels(&expected), "{context}");
    for (ours, theirs) in files {
        assert!(place.read(ours) == place.read(theirs), "{context}: {ours}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_as_veritysetup(
        algorithm in prop::sample::select(vec!["sha256", "sha512"]),
        bits in 9..=12u32,
        roots in 2..=24u32,
        // More than one block, as they write nothing over one alone.
        blocks in 2..3000usize,
        devices in prop::sample::select(vec![
            Devices::One, Devices::FecApart, Devices::FecWithTree, Devices::Three,
        ]),
        superblock: bool,
        threads in prop::sample::select(vec![1usize, 2, 8]),
        seed: u64,
    ) {
        let place = WorkFolder::new();
        place.write("data", &data(blocks << bits, seed));
        let size = 1 << bits;
        let options = format!(
            "--hash {algorithm} --data-block-size {size} --hash-block-size {size} --salt 5a \
             --fec-roots {roots}"
        );
        // Without a superblock there is no UUID.
        if superblock {
            compare(&place, devices, blocks << bits, &options, threads);
        }
    }
}

/// Where a number of blocks, rows or hash blocks is full, and one more.
#[test]
fn sizes_at_the_edges() {
    let place = WorkFolder::new();
    for blocks in [
        2, 127, 128, 129, 250, 251, 252, 253, 254, 16383, 16384, 16385,
    ] {
        place.write("data", &data(blocks * 4096, 7));
        compare(&place, Devices::Three, blocks * 4096, "--salt -", 2);
    }
    // More strips than one, on any number of threads.
    place.write("data", &data(40 << 20, 7));
    for threads in [1, 2, 8] {
        compare(
            &place,
            Devices::One,
            40 << 20,
            "--salt - --fec-roots 3",
            threads,
        );
    }
    for roots in [2, 24] {
        let options = format!("--fec-roots {roots} --no-superblock");
        let options = format!("{options} --salt 00 --hash sha512");
        let theirs = format!("format data th {options} --fec-device tf");
        place.veritysetup(&theirs).ok();
        let ours = format!("hash data --hash-device oh {options} --fec --fec-device of --force");
        place.run(&ours).ok();
        assert!(place.read("oh") == place.read("th") && place.read("of") == place.read("tf"));
    }
}

/// All of the tree's file or device is covered, or all up to the FEC area, as they do.
#[test]
fn what_is_after_the_tree_is_covered() {
    let place = WorkFolder::new();
    let mut file = data(10 << 20, 3);
    // They leave what follows the superblock in its block.
    file[4 << 20..][..4096].fill(0);
    let options = format!("--data-blocks 1000 --hash-offset 4M --salt 5a {UUID}");
    for (ours, theirs, rounds) in [
        ("--fec-device of", "--fec-device tf", 11),
        ("--fec-offset 8M", "--fec-device t --fec-offset 8388608", 8),
    ] {
        place.write("o", &file);
        place.write("t", &file);
        let printed = place.run(&format!("hash o --fec {ours} {options}")).ok();
        let options = options.replace("4M", "4194304");
        place
            .veritysetup(&format!("format t t {theirs} {options}"))
            .ok();
        assert_eq!(field(&printed, "FEC blocks"), (2 * rounds).to_string());
        assert!(place.read("o") == place.read("t"), "{ours}");
    }
    assert!(place.read("of") == place.read("tf"));
}

/// A file that ends before the FEC area is filled up with zeros, which count.
#[test]
fn a_gap_before_the_fec_area_is_zeros() {
    let place = WorkFolder::new();
    place.write("o", &data(40960, 3));
    let mut theirs = data(40960, 3);
    theirs.resize(1 << 20, 0);
    place.write("t", &theirs);
    place
        .run(&format!("hash o --fec --fec-offset 1M --salt 5a {UUID}"))
        .ok();
    let offsets = "--hash-offset 40960 --fec-device t --fec-offset 1048576";
    let options = format!("--data-blocks 10 {offsets} --salt 5a {UUID}");
    place.veritysetup(&format!("format t t {options}")).ok();
    assert!(place.read("o") == place.read("t"));
}

#[test]
fn holes_give_the_same_as_zeros() {
    let place = WorkFolder::new();
    let sparse = File::create(place.path("holes")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(&data(5000, 1), 20 << 20).unwrap();
    sparse.write_all_at(&data(300_000, 2), 40 << 20).unwrap();
    place.write("zeros", &place.read("holes"));
    let holes = place.run("hash holes --fec").ok();
    assert_eq!(place.run("hash zeros --fec").ok(), holes);
    assert!(place.read("holes") == place.read("zeros"));
}

/// Root hash and tree are those of a disk without parity, which comes after it.
#[test]
fn nothing_else_changes() {
    let place = WorkFolder::new();
    model(&place, "model");
    let plain = place.run("build model --output plain").ok();
    let printed = place
        .run("build model --output disk --fec --fec-roots 4")
        .ok();
    assert_eq!(field(&printed, "FEC RS roots"), "4");
    let root = field(&printed, "Root hash");
    assert_eq!(root, field(&plain, "Root hash"));
    assert_eq!(root, place.run("root-hash model").ok().trim());
    let (plain, disk) = (place.read("plain"), place.read("disk"));
    assert!(disk[..plain.len()] == plain);

    let manifest = |name| serde_json::from_slice::<Value>(&place.read(name)).unwrap();
    let (without, mut with) = (manifest("plain.json"), manifest("disk.json"));
    let fec = with.as_object_mut().unwrap().remove("fec").unwrap();
    let bytes = disk.len() - plain.len();
    assert_eq!(
        fec,
        json!({ "roots": 4, "offset": plain.len(), "bytes": bytes })
    );
    assert_eq!(with, without);

    // The image alone gets the same from `hash`.
    let image = with["hash_offset"].as_u64().unwrap() as usize;
    place.write("image", &disk[..image]);
    let hashed = place.run("hash image --fec --fec-roots 4").ok();
    assert!(place.read("image") == disk);
    assert_eq!(hashed, printed);
    // Parity is no part of what is verified.
    place.flip("disk", disk.len() - 1);
    place.run(&format!("verify disk --root-hash {root}")).ok();
}

#[test]
fn json_says_the_same() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let printed = place.run("hash data --fec --json").ok();
    let said: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(said["fec_roots"], 2);
    assert_eq!(said["fec_blocks"], 2);
    assert_eq!(said["fec_offset"], 49152);
    assert_eq!(place.read("data").len(), 49152 + 2 * 4096);
}

/// With any parity or none, whatever the second run asks for.
#[test]
fn a_second_run_is_refused_and_changes_nothing() {
    for first in ["--fec", "--fec --fec-roots 24", "--fec --data-blocks 3", ""] {
        for second in ["", "--fec", "--fec --fec-roots 5"] {
            let place = WorkFolder::new();
            place.write("data", &data(1 << 20, 1));
            place.run(&format!("hash data {first}")).ok();
            let image = place.read("data");
            let blocks = first
                .strip_prefix("--fec ")
                .filter(|more| more.contains("blocks"));
            let second = format!("hash data {second} {}", blocks.unwrap_or_default());
            let said = "already has a hash tree, with its superblock at byte 1048576";
            place.run(&second).refused(5, said);
            assert!(place.read("data") == image, "{first}, {second}");
        }
    }
}

/// Over an older tree and older parity, which was longer.
#[test]
fn made_again_in_its_place() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    place.run("hash data --fec --fec-roots 24").ok();
    let longer = place.read("data");
    let again = "hash data --data-blocks 10 --hash-offset 40960 --force --fec";
    place.run(again).ok();
    let now = place.read("data");
    place.write("new", &data(40960, 1));
    place.run("hash new --fec").ok();
    let new = place.read("new");
    assert!(now[..new.len()] == new && now[new.len()..] == longer[new.len()..]);
}

#[test]
fn refusals() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    place.write("there", &data(40960, 1));
    fs::hard_link(place.path("data"), place.path("name")).unwrap();
    let apart = "--hash-device h --fec-device";
    let overlap = "is storage of data by another name, and parity would be written over it";
    for (arguments, code, message) in [
        (
            "--fec-offset 40960",
            2,
            "would not be after the hash area, which ends at byte 49152",
        ),
        (
            "--fec-device name --fec-offset 4K",
            2,
            "would not be after the hash area",
        ),
        (
            "--fec-offset 49664",
            2,
            "FEC offset 49664 is not a multiple of 4096 bytes",
        ),
        (
            "--fec-offset 8388608T",
            2,
            "hash blocks are too many for FEC",
        ),
        ("--data-block-size 1024", 2, "FEC needs one size"),
        (&format!("{apart} data"), 2, overlap),
        (&format!("{apart} name --fec-offset 1M"), 2, overlap),
        (
            &format!("{apart} h --fec-offset 4K"),
            2,
            "would not be after the hash area",
        ),
        (
            &format!("{apart} there"),
            5,
            "there exists: --force replaces it",
        ),
        (
            &format!("{apart} no/such"),
            4,
            "cannot write beside no/such",
        ),
        (&format!("{apart} /dev/null"), 2, "/dev/null is neither"),
    ] {
        place
            .run(&format!("hash data --fec {arguments}"))
            .refused(code, message);
    }
    for (arguments, message) in [
        ("--fec-roots 2", "--fec"),
        ("--fec-device f", "--fec"),
        ("--fec-offset 0", "--fec"),
        ("--fec --fec-roots 1", "no number of FEC roots from 2 to 24"),
        (
            "--fec --fec-roots 25",
            "no number of FEC roots from 2 to 24",
        ),
    ] {
        place.run(&format!("hash data {arguments}")).usage(message);
    }
    assert_eq!(place.names(), ["data", "name", "there"]);
    assert!(place.read("data") == data(40960, 1) && place.read("there") == data(40960, 1));
    place
        .run(&format!("hash data --fec {apart} there --force"))
        .ok();
}

/// A write that fails half-way: no file may become larger than the limit says.
#[test]
fn a_failed_write_is_taken_back() {
    let place = WorkFolder::new();
    place.write("data", &data(1 << 20, 1));
    for arguments in [
        // Room for the tree, and not for parity.
        "hash data --fec",
        "hash data --fec --fec-device parity --fec-offset 2M",
        "hash data --fec --hash-device hashes --fec-offset 2M",
        "hash data --fec --hash-device hashes --fec-device parity --fec-offset 2M",
    ] {
        place
            .run_limited(1040, arguments)
            .refused(1, "File too large");
        assert!(place.read("data") == data(1 << 20, 1), "{arguments}");
        assert_eq!(place.names(), ["data"], "{arguments}");
    }
}

#[test]
fn a_signal_takes_everything_back() {
    let place = WorkFolder::new();
    let sparse = File::create(place.path("data")).unwrap();
    // So large that it is still at work when the signal comes.
    let bytes = 1 << 40;
    sparse.set_len(bytes).unwrap();
    let child = place.spawn("hash data --fec --fec-device parity");
    while place.names().len() == 1 {
        std::thread::yield_now();
    }
    signal(&child, Signal::SIGTERM);
    let ended = Ended::of(child.wait_with_output().unwrap());
    ended.refused(1, "disk-builder: interrupted");
    assert_eq!(sparse.metadata().unwrap().len(), bytes);
    assert_eq!(place.names(), ["data"]);
}
