//! Disks with an FEC area, as `veritysetup` makes it.

use std::{fs, os::unix::fs::FileExt, process::Command};

use model_disk::ExitCode;
use test_support::model::bytes;

use crate::place::{DiskFolder, Read, disk_of, files_in, model};

const BLOCK: usize = 4096;

/// More than the blocks that a row of the disk has.
const GAP: usize = 300 * BLOCK;

/// Where `veritysetup` puts things.
#[derive(Clone, Copy, PartialEq)]
enum AreaPlace {
    /// Right after the tree.
    Disk,
    /// The tree on one device, and the area on another.
    Others,
    /// After a gap behind the tree, with bytes that count as well.
    Gap,
    /// On another device, and the tree on one that goes on behind it.
    LongTree,
}

/// A disk with an FEC area, and the options that say where that is.
fn disk(place: AreaPlace, roots: u32) -> (DiskFolder, Vec<String>) {
    let folder = DiskFolder::new(disk_of(&model()));
    let (end, data_end) = (folder.image.bytes.len(), folder.image.data_end());
    let salt = folder.image.params.salt();
    let data_blocks = folder.image.params.data_blocks();
    let mut format = Command::new("veritysetup");
    format
        .args(["format", "disk.img"])
        .current_dir(folder.path(""))
        .arg(format!("--salt={salt}"))
        .arg(format!("--data-blocks={data_blocks}"))
        .arg(format!("--fec-roots={roots}"));
    let mut options = vec!["--fec".to_owned(), format!("--fec-roots={roots}")];
    match place {
        AreaPlace::Disk => {
            format
                .args(["disk.img", "--fec-device=disk.img"])
                .arg(format!("--hash-offset={data_end}"))
                .arg(format!("--fec-offset={end}"));
        }
        AreaPlace::Gap => {
            let disk = fs::File::options()
                .write(true)
                .open(folder.path("disk.img"));
            let noise = bytes(GAP, 9);
            disk.unwrap().write_all_at(&noise, end as u64).unwrap();
            let offset = format!("--fec-offset={}", end + GAP);
            format
                .args(["disk.img", "--fec-device=disk.img", &offset])
                .arg(format!("--hash-offset={data_end}"));
            options.push(offset);
        }
        AreaPlace::Others | AreaPlace::LongTree => {
            if place == AreaPlace::LongTree {
                // A part of a block at its end does not count.
                fs::write(folder.path("tree.img"), bytes(GAP + 100, 9)).unwrap();
            }
            format.args(["tree.img", "--fec-device=fec.img"]);
            options.extend(["--hash-device=tree.img", "--fec-device=fec.img"].map(str::to_owned));
        }
    }
    let output = format.output();
    let output = output.expect("veritysetup is needed: install the package cryptsetup-bin");
    let printed = String::from_utf8(output.stdout).unwrap();
    let root_hash = folder.image.root_hash.to_string();
    assert!(printed.contains(&root_hash), "{printed}");
    (folder, options)
}

fn run(folder: &DiskFolder, command: &str, arguments: &[&str], options: &[String]) -> Read {
    let output = folder
        .command(command)
        .args(arguments)
        .args(options)
        .output();
    Read::of(output.unwrap())
}

/// Makes nonsense of a block of a file.
fn spoil(folder: &DiskFolder, file: &str, offset: usize) {
    let file = fs::File::options().write(true).open(folder.path(file));
    let offset = offset / BLOCK * BLOCK;
    file.unwrap()
        .write_all_at(&[0x5a; BLOCK], offset as u64)
        .unwrap();
}

#[test]
fn what_is_corrupt_is_corrected_and_counted() {
    for place in [
        AreaPlace::Disk,
        AreaPlace::Others,
        AreaPlace::Gap,
        AreaPlace::LongTree,
    ] {
        let (folder, options) = disk(place, 3);
        let shard = &model()["shards/1.safetensors"];
        // Nothing is said of a disk that is well.
        let cat = run(&folder, "cat", &["shards/1.safetensors"], &options);
        assert!(cat.ok() == *shard);
        let start = folder.start_of("shards/1.safetensors");
        spoil(&folder, "disk.img", start + 1_000_000);
        spoil(&folder, "disk.img", start + 2_000_000);
        let without: Vec<_> = options
            .iter()
            .filter(|word| word.starts_with("--hash"))
            .cloned()
            .collect();
        run(&folder, "cat", &["shards/1.safetensors"], &without)
            .refused(ExitCode::Integrity, &["data block"]);
        let cat = run(&folder, "cat", &["shards/1.safetensors"], &options);
        assert!(cat.stdout == *shard);
        cat.refused(ExitCode::Success, &["disk.img: blocks corrected (FEC): 2"]);

        let extract = run(&folder, "extract", &["out", "--json"], &options);
        let json: serde_json::Value = serde_json::from_slice(&extract.stdout).unwrap();
        assert_eq!(json["fec_corrected"], 2);
        assert_eq!(files_in(&folder.path("out")), model());
        let check = run(&folder, "check", &["out", "--json"], &options);
        let json: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
        assert_eq!(
            (&json["same"], &json["fec_corrected"]),
            (&true.into(), &2.into())
        );
        check.refused(ExitCode::Success, &["blocks corrected (FEC): 2"]);
    }
}

/// The first block of the data, and the block that the root hash is of.
#[test]
fn what_a_disk_is_judged_by_is_corrected() {
    let (folder, options) = disk(AreaPlace::Others, 2);
    spoil(&folder, "disk.img", 0);
    // The superblock is before it, and no FEC area covers that.
    spoil(&folder, "tree.img", BLOCK);
    let listed = run(&folder, "ls", &[], &options);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("config.json\n"));
    listed.refused(ExitCode::Success, &["blocks corrected (FEC): 2"]);

    // A root hash of another disk is told as ever.
    let mut words = vec!["ls", "disk.img", "--root-hash"];
    let other = "7".repeat(64);
    words.push(&other);
    let output = Command::new(env!("CARGO_BIN_EXE_disk-mounter"))
        .args(words)
        .args(&options)
        .current_dir(folder.path(""))
        .output();
    Read::of(output.unwrap()).refused(ExitCode::Integrity, &["the root hash does not match"]);
}

#[test]
fn more_than_can_be_corrected() {
    let (folder, options) = disk(AreaPlace::Disk, 2);
    let layout_blocks = (folder.image.bytes.len() - BLOCK) / BLOCK;
    let rounds = layout_blocks.div_ceil(253);
    let start = folder.start_of("shards/1.safetensors") + 4 * BLOCK;
    for number in 0..3 {
        spoil(&folder, "disk.img", start + number * rounds * BLOCK);
    }
    let read = run(&folder, "cat", &["shards/1.safetensors"], &options);
    assert_eq!(
        read.stdout,
        model()["shards/1.safetensors"][..read.stdout.len()]
    );
    let block = format!("data block {}", start / BLOCK);
    read.refused(ExitCode::Integrity, &[&block, "shards/1.safetensors"]);
    // Of what is not in that row, all comes.
    let read = run(&folder, "cat", &["config.json"], &options);
    assert_eq!(read.ok(), b"{}\n");
}

#[test]
fn areas_that_cannot_be() {
    let (folder, _) = disk(AreaPlace::Disk, 2);
    let end = folder.image.bytes.len();
    let (within, unaligned) = (
        format!("--fec-offset={}", end - BLOCK),
        format!("--fec-offset={}", end + 1),
    );
    fs::write(folder.path("short"), [0; BLOCK]).unwrap();
    for (options, code, word) in [
        (
            &["--fec", "--fec-roots=24"][..],
            ExitCode::Integrity,
            "no whole FEC area",
        ),
        (
            &["--fec", &within],
            ExitCode::Integrity,
            "lies within the hash tree",
        ),
        (
            &["--fec", &unaligned],
            ExitCode::Usage,
            "not a multiple of 4096 bytes",
        ),
        (
            &["--fec", "--fec-device=short"],
            ExitCode::Integrity,
            "no whole FEC area",
        ),
        (
            &["--fec", "--fec-device=disk.img", "--fec-offset=0"],
            ExitCode::Integrity,
            "within the hash tree",
        ),
        (
            &["--fec", "--fec-device=nothing"],
            ExitCode::NotFound,
            "nothing",
        ),
        (
            &["--fec", "--fec-offset=9223372036854775808"],
            ExitCode::Usage,
            "too large",
        ),
        (&["--fec-roots=3"], ExitCode::Usage, "--fec"),
        (&["--fec", "--fec-roots=1"], ExitCode::Usage, "2 to 24"),
    ] {
        let options: Vec<_> = options.iter().map(|word| (*word).to_owned()).collect();
        run(&folder, "ls", &[], &options).refused(code, &[word]);
    }
}
