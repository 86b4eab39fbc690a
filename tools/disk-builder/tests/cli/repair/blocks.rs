//! Which data blocks and hash blocks are corrected.

use std::fs;

use serde_json::{Value, json};

use super::{BLOCK, DamagedImage, row};

#[test]
fn nothing_to_do() {
    let disk = DamagedImage::new(3000, 2);
    let modified = || {
        fs::metadata(disk.place.path("disk"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = modified();
    let verified =
        "verified: 3000 data blocks of 512 bytes and 201 hash blocks are what the root hash says";
    assert_eq!(disk.repaired(), format!("{verified}\n"));
    assert_eq!(modified(), before);
    let printed = disk.run("verify --fec").ok();
    assert!(
        printed.contains("\nparity: right in all 13 rows"),
        "{printed}"
    );
    let json: Value = serde_json::from_str(&disk.run("repair --json").ok()).unwrap();
    assert_eq!(json["verified"], true);
    assert_eq!(json["corrected_parity_rows"], 0);
    assert_eq!(json["corrected_data"], json!([]));
}

/// As many blocks of each row as there are roots, whatever they are: twice what correction without
/// erasures does.
#[test]
fn as_many_blocks_of_each_row_as_there_are_roots() {
    for roots in [2, 3, 8, 24] {
        let disk = DamagedImage::new(3000, roots);
        let rows = 0..disk.layout.rounds();
        let bad = rows.flat_map(|number| {
            let mut row = row(&disk, number);
            // Data blocks from the start, the middle and the end of their column.
            row.truncate(roots as usize * 3);
            row.into_iter().step_by(3)
        });
        let bad: Vec<u64> = bad.collect();
        assert_eq!(bad.len() as u64, u64::from(roots) * disk.layout.rounds());
        disk.damage(bad);
        let json = disk.verify("");
        let correctable = json["corrupt_data"].as_array().unwrap().iter();
        assert!(correctable.clone().count() > 1);
        assert!(
            correctable
                .clone()
                .all(|range| range["correctable"] == true),
            "{json}"
        );
        let printed = disk.repaired();
        assert!(printed.contains("corrected data blocks 0 to "), "{printed}");
        assert!(printed.contains("verified: "), "{printed}");
    }
}

#[test]
fn one_block_more_than_there_are_roots_is_left_as_it_is() {
    let disk = DamagedImage::new(3000, 2);
    let (lost, good) = (row(&disk, 3), row(&disk, 4));
    disk.damage([&lost[5..8], &good[5..7]].concat());
    let damaged = disk.place.read("disk");
    let json = disk.verify("");
    let told: Vec<_> = json["corrupt_data"].as_array().unwrap().clone();
    for range in told {
        let first = range["first"].as_u64().unwrap();
        assert_eq!(
            range["count"], 1,
            "cut where what can be corrected begins: {range}"
        );
        assert_eq!(range["correctable"], !lost.contains(&first), "{range}");
    }
    assert!(disk.place.read("disk") == damaged);

    let ended = disk.repair();
    let line = |what, block| format!("{what} data blocks {block} to {block} ");
    for block in &lost[5..8] {
        assert!(
            ended.stdout.contains(&line("not corrected:", block)),
            "{ended:?}"
        );
    }
    for block in &good[5..7] {
        assert!(
            ended.stdout.contains(&line("corrected", block)),
            "{ended:?}"
        );
    }
    ended.refused(3, "disk is corrupt: 0 hash blocks, 3 ranges of data blocks");
    let mut expected = disk.good.clone();
    for block in &lost[5..8] {
        let at = disk.at(*block)..disk.at(*block) + BLOCK;
        expected[at.clone()].copy_from_slice(&damaged[at]);
    }
    assert!(disk.place.read("disk") == expected);
    // What is given back by other means lets the rest be corrected.
    disk.place.write("disk", &expected);
    let mut bytes = expected;
    let at = disk.at(lost[5])..disk.at(lost[5]) + BLOCK;
    bytes[at.clone()].copy_from_slice(&disk.good[at]);
    disk.place.write("disk", &bytes);
    disk.repaired();
}

/// More blocks of a row are bad than there are roots, but few bytes of each.
#[test]
fn single_bytes_of_many_blocks() {
    let disk = DamagedImage::new(3000, 2);
    for (at, block) in row(&disk, 7).into_iter().enumerate().step_by(9) {
        disk.flip(disk.at(block) + at);
    }
    disk.repaired();
}

#[test]
fn each_level_of_the_tree() {
    for roots in [2, 4] {
        let disk = DamagedImage::new(3000, roots);
        assert_eq!(disk.tree.levels().len(), 3);
        for level in 0..3 {
            disk.damage([disk.hash_block(level, 0)]);
            let json = disk.verify("");
            assert_eq!(json["corrupt_hash_blocks"][0]["level"], level);
            assert_eq!(json["corrupt_hash_blocks"][0]["correctable"], true);
            assert_eq!(json["unverifiable_data"], json!([]));
            let printed = disk.repaired();
            let expected = format!("corrected hash block 0 of level {level} (at byte ");
            assert!(printed.starts_with(&expected), "{printed}");
        }
        // One of each level, over bad data.
        let blocks = (0..3)
            .map(|level| disk.hash_block(level, 0))
            .chain([0, 9, 100]);
        disk.damage(blocks);
        let json = disk.verify("");
        assert_eq!(json["corrupt_hash_blocks"].as_array().unwrap().len(), 3);
        assert_eq!(json["corrupt_data"].as_array().unwrap().len(), 3, "{json}");
        disk.repaired();
    }
}

/// All that is known of the tree at first is that its top is wrong.
#[test]
fn the_whole_tree() {
    // 201 hash blocks follow each other in 14 to 25 rows.
    let disk = DamagedImage::new(3000, 24);
    let tree = disk.layout.data_blocks()..disk.layout.covered_blocks();
    assert!(201_u64.div_ceil(disk.layout.rounds()) <= 24);
    disk.damage(tree.clone());
    let json = disk.verify("");
    let told = json["corrupt_hash_blocks"].as_array().unwrap();
    assert_eq!(told.len() as u64, tree.end - tree.start);
    assert!(told.iter().all(|block| block["correctable"] == true));
    assert_eq!(json["corrupt_data"], json!([]));
    disk.repaired();

    // A whole level.
    let level = (0..disk.tree.levels()[0].blocks).map(|block| disk.hash_block(0, block));
    disk.damage(level);
    disk.repaired();
}

#[test]
fn a_top_that_is_beyond_repair_is_another_disk() {
    let disk = DamagedImage::new(3000, 2);
    let root_row = disk.layout.place(disk.hash_block(2, 0)).unwrap().row;
    let others = row(&disk, root_row);
    disk.damage([disk.hash_block(2, 0), others[0], others[1]]);
    let damaged = disk.place.read("disk");
    for command in ["repair ", "verify --fec"] {
        disk.run(command)
            .refused(3, "the root hash does not match: expected ");
        assert!(disk.place.read("disk") == damaged);
    }
    // Or the root hash is that of another one.
    disk.place.write("disk", &disk.good);
    let root = "00".repeat(32);
    let ended = disk
        .place
        .run(&format!("repair disk --root-hash {root} {}", disk.options));
    ended.refused(3, "the root hash does not match");
    disk.assert_good();
}
