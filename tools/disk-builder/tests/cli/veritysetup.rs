//! Against the real `veritysetup`: what one makes, the other accepts, and it is the same.

use crate::program::{WorkFolder, data, field};
use proptest::prelude::*;

/// The text of `veritysetup format` without its first line and those at its end, which name and measure
/// the devices.
pub(crate) fn labels(printed: &str) -> String {
    printed
        .lines()
        .filter(|line| !line.starts_with("VERITY header") && !line.contains(" device size: "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn prints_the_same() {
    for (bytes, arguments) in [
        (
            40960,
            "--salt 0a0b --uuid 3f1b9a52-7c0e-4d7b-9f55-0a1b2c3d4e5f",
        ),
        (4096, "--salt - --uuid 00000000-0000-0000-0000-000000000000"),
        (1 << 20, "--salt 00 --hash sha512 --no-superblock"),
    ] {
        let place = WorkFolder::new();
        place.write("data", &data(bytes, 1));
        let theirs = place
            .veritysetup(&format!("format data theirs {arguments}"))
            .ok();
        let ours = place
            .run(&format!("hash data --hash-device ours {arguments}"))
            .ok();
        assert_eq!(ours, labels(&theirs));
    }
}

#[test]
fn appended_as_they_do_with_an_offset() {
    let place = WorkFolder::new();
    place.write("ours", &data(300 * 4096, 2));
    place.write("theirs", &data(300 * 4096, 2));
    let printed = place.run("hash ours --salt 5a").ok();
    let uuid = field(&printed, "UUID");
    place
        .veritysetup(&format!(
            "format theirs theirs --salt 5a --uuid {uuid} --hash-offset 1228800 --data-blocks 300"
        ))
        .ok();
    assert!(place.read("ours") == place.read("theirs"));
    let root = field(&printed, "Root hash");
    place
        .veritysetup(&format!("verify ours ours {root} --hash-offset 1228800"))
        .ok();
    let dump = place.veritysetup("dump ours --hash-offset 1228800").ok();
    assert_eq!(field(&dump, "Data blocks"), "300");
}

#[test]
fn their_disks_that_are_not_allowed_are_refused() {
    let place = WorkFolder::new();
    place.write("data", &data(40960, 3));
    for (arguments, reason) in [
        ("--format 0", "hash type 0 is not supported"),
        ("--hash sha1", "hash algorithm \"sha1\" is not allowed"),
    ] {
        place
            .veritysetup(&format!("format data hashes {arguments}"))
            .ok();
        let root = "00".repeat(32);
        place
            .run(&format!(
                "verify data --hash-device hashes --root-hash {root}"
            ))
            .refused(3, reason);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_accepts_what_the_other_makes(
        algorithm in prop::sample::select(vec!["sha256", "sha512"]),
        data_bits in 9..=12u32,
        hash_bits in 9..=12u32,
        salt in prop::collection::vec(any::<u8>(), 0..=256),
        blocks in 1..600usize,
        superblock: bool,
        offset_blocks in 0..3u64,
        threads in 1..4,
        seed: u64,
        flipped: prop::sample::Index,
    ) {
        let place = WorkFolder::new();
        let bytes = blocks << data_bits;
        place.write("data", &data(bytes, seed));
        let salt = if salt.is_empty() { "-".to_owned() } else { hex::encode(salt) };
        let offset = offset_blocks * 4096;
        let tree = format!(
            "--hash {algorithm} --data-block-size {} --hash-block-size {} --salt {salt} \
             --hash-offset {offset}",
            1 << data_bits,
            1 << hash_bits,
        );
        let (format, verify, uuid) = if superblock {
            (tree.clone(), format!("--hash-offset {offset}"),
                "--uuid 3f1b9a52-7c0e-4d7b-9f55-0a1b2c3d4e5f")
        } else {
            let format = format!("{tree} --no-superblock");
            (format.clone(), format, "")
        };
        let theirs = place.veritysetup(&format!("format data theirs {format} {uuid}")).ok();
        let ours = place
            .run(&format!("hash data --hash-device ours {format} {uuid} --threads {threads}"))
            .ok();
        prop_assert_eq!(&ours, &labels(&theirs));
        // They make no file where one block has no tree and no superblock, and none is needed.
        let mut expected = place.read("theirs");
        let mut found = place.read("ours");
        let length = expected.len().max(found.len()).max(offset as usize);
        expected.resize(length, 0);
        found.resize(length, 0);
        prop_assert!(expected == found, "the hash devices differ");
        // A kernel takes no hash device that ends before the hash offset.
        place.write("theirs", &expected);

        let root = field(&ours, "Root hash");
        let blocks = format!("--data-blocks {blocks}");
        let theirs_of_ours = if superblock { verify.clone() } else { format!("{verify} {blocks}") };
        place.veritysetup(&format!("verify data ours {root} {theirs_of_ours}")).ok();
        let verify = format!("verify data --hash-device theirs --root-hash {root} {verify} {blocks}");
        place.run(&verify).ok();

        place.flip("data", flipped.index(bytes));
        let ended = place.run(&verify);
        prop_assert_eq!(ended.code, Some(3), "{:?}", ended);
    }
}
