//! `verify`: what is found, what is refused.

use std::fs::{self, OpenOptions};

use dm_verity::Superblock;
use model_disk::erofs;
use serde_json::Value;

use crate::program::{WorkFolder, data, field};

/// An EROFS superblock that claims so many blocks, in data of that size.
fn filesystem(blocks: u32) -> Vec<u8> {
    let mut bytes = data(blocks as usize * 4096, 7);
    bytes[1024..1024 + erofs::SUPERBLOCK_SIZE].fill(0);
    bytes[1024..1028].copy_from_slice(&0xE0F5_E1E2u32.to_le_bytes());
    bytes[1036] = 12;
    bytes[1060..1064].copy_from_slice(&blocks.to_le_bytes());
    bytes
}

/// A hashed image of 300 blocks: one hash block on level 1, three on level 0. Gives the root hash.
fn image(place: &WorkFolder, options: &str) -> String {
    place.write("image", &filesystem(300));
    let printed = place.run(&format!("hash image {options}")).ok();
    field(&printed, "Root hash").to_owned()
}

const SUPERBLOCK: usize = 300 * 4096;
const LEVEL_1: usize = SUPERBLOCK + 4096;
const LEVEL_0: usize = LEVEL_1 + 4096;

#[test]
fn finds_the_tree_after_the_filesystem() {
    for options in [
        "",
        "--hash-block-size 64K",
        "--data-block-size 512 --hash-block-size 512",
    ] {
        let place = WorkFolder::new();
        let root = image(&place, options);
        let printed = place.run(&format!("verify image --root-hash {root}")).ok();
        assert!(printed.starts_with("verified: "), "{printed}");
        assert!(printed.contains("bound by the geometry salt"), "{printed}");
        // In either case of letters.
        place
            .run(&format!("verify image --root-hash {}", root.to_uppercase()))
            .ok();
    }
}

#[test]
fn a_flipped_byte_is_told_with_its_block() {
    let place = WorkFolder::new();
    let root = image(&place, "");
    let good = place.read("image");
    for (offset, expected) in [
        (
            5 * 4096,
            "corrupt data blocks 5 to 5 (bytes 20480 to 24575)\n",
        ),
        (
            SUPERBLOCK - 1,
            "corrupt data blocks 299 to 299 (bytes 1224704 to 1228799)\n",
        ),
        (
            LEVEL_0 + 4096,
            "corrupt hash block 1 of level 0 (at byte 1241088 of the hash device)\n\
             under a corrupt hash block: data blocks 128 to 255 (bytes 524288 to 1048575)\n",
        ),
        (
            LEVEL_0 + 3 * 4096 - 1,
            "corrupt hash block 2 of level 0 (at byte 1245184 of the hash device)\n\
             under a corrupt hash block: data blocks 256 to 299 (bytes 1048576 to 1228799)\n",
        ),
    ] {
        place.write("image", &good);
        place.flip("image", offset);
        let ended = place.run(&format!("verify image --root-hash {root}"));
        let unknown = "not all files that this lies in are known: inode 0 of the EROFS image is no \
                       readable directory\n";
        assert_eq!(ended.stdout, [expected, unknown].concat());
        ended.refused(3, "image is corrupt: ");
    }
}

#[test]
fn a_flipped_byte_in_the_top_block_shows_both_root_hashes() {
    let place = WorkFolder::new();
    let root = image(&place, "");
    place.flip("image", LEVEL_1);
    let ended = place.run(&format!("verify image --root-hash {root}"));
    assert!(ended.stderr.contains("the disk has "), "{ended:?}");
    ended.refused(3, &format!("the root hash does not match: expected {root}"));
}

#[test]
fn a_flipped_byte_anywhere_in_the_superblock_but_the_uuid() {
    let place = WorkFolder::new();
    let root = image(&place, "");
    let good = place.read("image");
    for offset in (0..16).chain(32..512) {
        place.write("image", &good);
        place.flip("image", SUPERBLOCK + offset);
        let ended = place.run(&format!("verify image --root-hash {root}"));
        assert_eq!(ended.code, Some(3), "{offset}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

/// A superblock that cuts the disk short by less than a hash block: the root hash fits.
#[test]
fn a_disk_cut_short_is_refused() {
    let place = WorkFolder::new();
    let root = image(&place, "--salt 00");
    let mut image = place.read("image");
    image[SUPERBLOCK + 72..SUPERBLOCK + 80].copy_from_slice(&299u64.to_le_bytes());
    place.write("image", &image);
    let verify = format!("verify image --root-hash {root}");
    place
        .run(&verify)
        .refused(3, "nothing binds the number of data blocks");
    place
        .run(&format!("{verify} --data-blocks 300"))
        .refused(3, "the disk claims 299 data blocks, the arguments say 300");
    place
        .run(&format!("{verify} --data-blocks 299"))
        .refused(3, "the tree is one of more data blocks than 299");
}

/// The attack that geometry is bound against: the first hash block of level 0 as if it were data.
#[test]
fn a_level_of_the_tree_passed_off_as_data_is_refused() {
    let place = WorkFolder::new();
    let root = image(&place, "--salt 00");
    let image = place.read("image");
    let mut superblock =
        Superblock::parse(image[SUPERBLOCK..SUPERBLOCK + 512].try_into().unwrap()).unwrap();
    superblock.params = dm_verity::VerityParams::new(
        superblock.params.algorithm(),
        superblock.params.data_block_size(),
        superblock.params.hash_block_size(),
        3,
        superblock.params.salt().clone(),
    )
    .unwrap();
    let mut hashes = superblock.to_bytes().to_vec();
    hashes.resize(4096, 0);
    hashes.extend(&image[LEVEL_1..LEVEL_0]);
    place.write("data", &image[LEVEL_0..]);
    place.write("hashes", &hashes);
    let verify = format!("verify data --hash-device hashes --root-hash {root}");
    // The root hash does fit, or the attack would be none.
    place.run(&format!("{verify} --data-blocks 3")).ok();
    place
        .run(&verify)
        .refused(3, "name them with --data-blocks");
    place
        .run(&format!("{verify} --data-blocks 300"))
        .refused(3, "the disk claims 3 data blocks, the arguments say 300");
}

#[test]
fn what_binds_is_told() {
    let place = WorkFolder::new();
    for (options, arguments, expected) in [
        ("", "", "geometry salt"),
        ("--salt 00", "", "filesystem"),
        ("--salt 00", "--data-blocks 300", "arguments"),
    ] {
        let root = image(&place, options);
        let printed = place
            .run(&format!(
                "verify image --root-hash {root} --json {arguments}"
            ))
            .ok();
        let json: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(json["bound_by"], expected);
        assert_eq!(json["verified"], true);
        assert_eq!(json["data_blocks"], 300);
    }
    // A filesystem that does not fill the data binds nothing.
    let root = image(&place, "--salt 00 --data-blocks 299 --hash-offset 1224704");
    place
        .run(&format!(
            "verify image --root-hash {root} --hash-offset 1224704"
        ))
        .refused(
            3,
            "the filesystem has 1228800 bytes, the data blocks 1224704",
        );
}

#[test]
fn json_lists_what_is_corrupt() {
    let place = WorkFolder::new();
    let root = image(&place, "");
    for offset in [0, 4096, 3 * 4096, LEVEL_0 + 4096] {
        place.flip("image", offset);
    }
    let ended = place.run(&format!("verify image --root-hash {root} --json"));
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["verified"], false);
    assert_eq!(
        json["corrupt_data"].to_string(),
        r#"[{"count":2,"files":[],"first":0},{"count":1,"files":[],"first":3}]"#
    );
    let unknown = json["files_unknown"].as_str().unwrap();
    assert_eq!(unknown, "the filesystem's metadata is corrupt at byte 0");
    assert_eq!(
        json["corrupt_hash_blocks"].to_string(),
        r#"[{"block":1,"level":0,"offset":1241088}]"#
    );
    assert_eq!(
        json["unverifiable_data"].to_string(),
        r#"[{"count":128,"files":[],"first":128}]"#
    );
    ended.refused(
        3,
        "image is corrupt: 1 hash blocks, 2 ranges of data blocks",
    );
}

#[test]
fn a_truncated_disk_says_so() {
    let place = WorkFolder::new();
    let root = image(&place, "");
    let length = place.read("image").len() as u64;
    let cut = |bytes| {
        let file = OpenOptions::new()
            .write(true)
            .open(place.path("image"))
            .unwrap();
        file.set_len(bytes).unwrap();
        place.run(&format!("verify image --root-hash {root}"))
    };
    cut(length - 1).refused(
        3,
        "image is cut short: the hash tree would end at byte 1249280, and it has 1249279 bytes",
    );
    cut(SUPERBLOCK as u64 + 512).refused(3, "image is cut short");
    cut(SUPERBLOCK as u64).refused(
        3,
        "image is cut short: the superblock would end at byte 1229312",
    );
    let missing = "no erofs filesystem, which would tell where the superblock is";
    cut(1100).refused(3, missing);
    cut(0).refused(3, missing);
}

#[test]
fn truncated_data_beside_a_whole_tree_says_so() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 1));
    let printed = place.run("hash data --hash-device hashes").ok();
    let root = field(&printed, "Root hash");
    place.write("data", &data(40959, 1));
    place
        .run(&format!(
            "verify data --hash-device hashes --root-hash {root}"
        ))
        .refused(
            3,
            "data is cut short: the data would end at byte 40960, and it has 40959 bytes",
        );
}

#[test]
fn without_a_superblock() {
    let place = WorkFolder::new();
    let root = image(&place, "--no-superblock --salt 5a");
    let offset = "--hash-offset 1228800";
    let verify = format!("verify image --root-hash {root} --no-superblock");
    place
        .run(&format!("{verify} {offset} --data-blocks 300 --salt 5a"))
        .ok();
    place
        .run(&format!("{verify} --data-blocks 300 --salt 5a"))
        .refused(2, "--hash-offset or --hash-device must be given");
    place
        .run(&format!("{verify} {offset} --salt 5a"))
        .refused(2, "--data-blocks must be given");
    place
        .run(&format!("{verify} {offset} --data-blocks 300"))
        .refused(2, "--salt must be given");
    place
        .run(&format!(
            "{verify} {offset} --data-blocks 300 --salt 5a --hash sha512"
        ))
        .refused(2, "--hash sha512, but the root hash is one of sha256");
    for other in [
        "--data-blocks 299 --salt 5a",
        "--data-blocks 300 --salt 5b",
        "--data-blocks 300 --salt 5a --hash-block-size 512",
        "--data-blocks 600 --data-block-size 2048 --salt 5a",
    ] {
        let ended = place.run(&format!("{verify} {offset} {other}"));
        assert_eq!(ended.code, Some(3), "{other}: {ended:?}");
    }
}

#[test]
fn one_block_has_no_tree() {
    let place = WorkFolder::new();
    place.write("data", &data(4096, 1));
    let printed = place.run("hash data --hash-device hashes").ok();
    assert_eq!(field(&printed, "Hash blocks"), "0");
    let root = field(&printed, "Root hash");
    let verify = format!("verify data --hash-device hashes --root-hash {root}");
    place.run(&verify).ok();
    place.flip("data", 4095);
    place
        .run(&verify)
        .refused(3, "the root hash does not match");
}

#[test]
fn refusals() {
    let place = WorkFolder::new();
    let root = image(&place, "");
    fs::create_dir(place.path("directory")).unwrap();
    let other = "00".repeat(32);
    let long = "00".repeat(64);
    for (arguments, code, message) in [
        (
            format!("missing --root-hash {root}"),
            4,
            "cannot open missing",
        ),
        (
            format!("directory --root-hash {root}"),
            2,
            "is neither a regular file",
        ),
        (
            format!("image --root-hash {root} --hash-device missing"),
            4,
            "cannot open missing",
        ),
        (
            format!("image --root-hash {other}"),
            3,
            "the root hash does not match",
        ),
        (
            format!("image --root-hash {long}"),
            3,
            "the disk is hashed with sha256, the root hash is one of sha512",
        ),
        (
            format!("image --root-hash {root} --salt 00"),
            3,
            "the arguments say 00",
        ),
        (
            format!("image --root-hash {root} --data-blocks 299"),
            3,
            "the arguments say 299",
        ),
        (
            format!("image --root-hash {root} --hash-offset 0"),
            3,
            "the superblock at byte 0 of image is not accepted: there is no dm-verity",
        ),
        (
            format!(
                "image --root-hash {root} --hash-offset 1K --no-superblock --data-blocks 300 --salt 00"
            ),
            2,
            "hash offset 1024 is not a multiple of 4096",
        ),
        (
            format!(
                "image --root-hash {root} --hash-offset 0 --no-superblock --data-blocks 300 --salt 00"
            ),
            3,
            "lies within the data",
        ),
    ] {
        place
            .run(&format!("verify {arguments}"))
            .refused(code, message);
    }
    place.run("verify image").usage("--root-hash");
    place
        .run("verify image --root-hash 00")
        .usage("64 hex digits (sha256) or 128");
    let bad = "zz".repeat(32);
    place
        .run(&format!("verify image --root-hash {bad}"))
        .usage("hex digits only");
}
