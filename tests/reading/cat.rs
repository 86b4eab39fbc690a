//! `cat`.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use dm_verity::TreeLayout;
use model_disk::ExitCode;
use test_support::image::{DiskImage, SaltKind};

use crate::place::{DiskFolder, disk_of, model};

#[test]
fn the_bytes_of_every_file() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    for threads in ["1", "3"] {
        for (path, bytes) in &model {
            let printed = place.run("cat", &["--threads", threads, path]).ok();
            assert!(printed == *bytes, "{path}");
        }
        let paths: Vec<&str> = model.keys().map(String::as_str).collect();
        let all = place
            .run("cat", &[&["--threads", threads][..], &paths].concat())
            .ok();
        assert!(all == model.values().flatten().copied().collect::<Vec<_>>());
    }
}

#[test]
fn a_part_of_a_file() {
    let model = model();
    let place = DiskFolder::new(disk_of(&model));
    let path = "shards/1.safetensors";
    let bytes = &model[path];
    for (offset, length) in [
        (0, 0),
        (1, 1),
        (4095, 2),
        (1 << 20, 1 << 20),
        (2_999_999, 10),
        (3_000_000, 1),
        (1 << 40, 1),
    ] {
        let (from, length_text) = (offset.to_string(), length.to_string());
        let printed = place
            .run("cat", &[path, "--offset", &from, "--bytes", &length_text])
            .ok();
        let start = bytes.len().min(offset);
        assert!(
            printed == bytes[start..bytes.len().min(offset + length)],
            "{offset} {length}"
        );
    }
    let printed = place.run("cat", &[path, "--offset", "1M"]).ok();
    assert!(printed == bytes[1 << 20..]);
    let two = place.run("cat", &[path, "empty", "--bytes", "1"]);
    two.refused(ExitCode::Usage, &["are for one PATH"]);
}

/// Nothing of the others is printed.
#[test]
fn only_files_are_printed() {
    let place = DiskFolder::new(disk_of(&model()));
    for (path, code, said) in [
        (
            "shards",
            ExitCode::Usage,
            "shards is a directory on disk.img",
        ),
        ("/", ExitCode::Usage, "/ is a directory"),
        ("nothing", ExitCode::NotFound, "nothing is not on disk.img"),
    ] {
        let read = place.run("cat", &["config.json", path]);
        assert!(read.stdout.is_empty());
        read.refused(code, &[said]);
    }
}

/// All before the part with the corrupt block comes out, and nothing of what is after it.
#[test]
fn a_corrupt_block_ends_it() {
    let model = model();
    let path = "shards/1.safetensors";
    let place = DiskFolder::new(disk_of(&model));
    let block = place.start_of(path) + 2_500_000;
    place.flip(block);
    let read = place.run("cat", &[path]);
    assert!(read.stdout == model[path][..2 << 20]);
    let said = format!(
        "cannot read {path} on disk.img: data block {} is corrupt (byte {} of disk.img)",
        block / 4096,
        block / 4096 * 4096
    );
    read.refused(ExitCode::Integrity, &[&said]);
    place.run("cat", &[path, "--bytes", "2M"]).ok();
    place.run("cat", &["sparse"]).ok();
    // Each level of the tree.
    let image = &place.image;
    let area = image.bytes.len() - TreeLayout::new(&image.params).blocks() as usize * 4096;
    for (level, name) in TreeLayout::new(&image.params)
        .levels()
        .iter()
        .zip(["0", "1", "2"])
    {
        let place = DiskFolder::new(disk_of(&model));
        place.flip(area + level.first_block as usize * 4096 + 7);
        let said = format!("hash block 0 of level {name} is corrupt");
        // The top one is compared with the root hash before anything else is.
        let top = "the root hash does not match".to_owned();
        let is_top = level.first_block == 0;
        let read = place.run("cat", &[path]);
        assert!(read.stdout.is_empty());
        read.refused(ExitCode::Integrity, &[if is_top { &top } else { &said }]);
    }
}

#[test]
fn a_reader_that_goes_away_had_enough() {
    let place = DiskFolder::new(disk_of(&model()));
    let mut program = place.command("cat");
    program.arg("shards/1.safetensors");
    let mut child = program
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), &ended.stderr[..]),
        (Some(0), &b""[..])
    );
}

/// All options that say where things are.
#[test]
fn a_tree_elsewhere_and_without_a_superblock() {
    let model = model();
    let whole = disk_of(&model);
    let image = DiskImage::new(whole.data(), (1024, 512), SaltKind::Zero);
    let place = DiskFolder::new(image);
    let (image, path) = (&place.image, "shards/1.safetensors");
    assert!(place.run("cat", &[path]).ok() == model[path]);
    let offset = image.data_end().to_string();
    assert!(place.run("cat", &[path, "--hash-offset", &offset]).ok() == model[path]);

    let levels: Vec<u8> = image.levels.iter().rev().flatten().copied().collect();
    std::fs::write(place.path("tree"), levels).unwrap();
    std::fs::write(place.path("disk.img"), image.data()).unwrap();
    let blocks = image.params.data_blocks().to_string();
    let options = [
        "--hash-device",
        "tree",
        "--no-superblock",
        "--salt",
        "00",
        "--data-blocks",
        &blocks,
        "--data-block-size",
        "1K",
        "--hash-block-size",
        "512",
    ];
    assert!(place.run("cat", &[&[path][..], &options].concat()).ok() == model[path]);
    let read = place.run("cat", &[path]);
    read.refused(ExitCode::Integrity, &["cut short"]);
}

/// Whose root hash is not given, nothing is read of.
#[test]
fn no_root_hash() {
    let place = DiskFolder::new(disk_of(&model()));
    for command in ["ls", "cat", "extract", "check"] {
        let program = Command::new(env!("CARGO_BIN_EXE_disk-mounter"))
            .args([command, "disk.img", "x"])
            .current_dir(place.path(""))
            .output()
            .unwrap();
        assert_eq!(program.status.code(), Some(2));
        let said = String::from_utf8(program.stderr).unwrap();
        assert!(said.contains("--root-hash"), "{said}");
    }
}
