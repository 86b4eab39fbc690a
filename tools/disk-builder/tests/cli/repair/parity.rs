//! Parity that is wrong, something else in its place, and none.

use super::{BLOCK, DamagedImage, row};
use crate::program::data;

#[test]
fn parity_is_made_again() {
    let disk = DamagedImage::new(3000, 2);
    for row in [0, 3, 12] {
        disk.flip(disk.parity(row).start + 5);
    }
    let ended = disk.run("verify --fec");
    assert!(
        ended.stdout.contains("\nparity: wrong in 3 of 13 rows"),
        "{ended:?}"
    );
    ended.ok();
    let json = disk.verify("");
    assert_eq!(json["fec"]["rows_wrong"], 3);
    let printed = disk.repaired();
    assert!(
        printed.starts_with("corrected parity of 3 rows\n"),
        "{printed}"
    );

    // With damage in rows of wrong parity: what is left of it suffices for one block.
    disk.flip(disk.parity(3).start + 5);
    disk.damage([row(&disk, 3)[7], row(&disk, 5)[0], row(&disk, 5)[9]]);
    let ended = disk.repair();
    assert_eq!(
        ended.code,
        Some(3),
        "a bad block, and a wrong byte: {ended:?}"
    );
    let disk = DamagedImage::new(3000, 4);
    disk.flip(disk.parity(3).start + 5);
    disk.damage([row(&disk, 3)[7], row(&disk, 3)[9]]);
    disk.repaired();
}

/// There is one row alone, which is told from something else by the codewords that are right in it.
#[test]
fn parity_of_one_row() {
    let disk = DamagedImage::new(200, 2);
    assert_eq!(disk.layout.rounds(), 1);
    let mut bytes = disk.good.clone();
    let parity = disk.parity(0);
    bytes[parity.start..parity.start + parity.len() / 2].fill(0x5a);
    disk.place.write("disk", &bytes);
    assert!(disk.repaired().starts_with("corrected parity of 1 rows\n"));
    bytes[parity].fill(0x5a);
    disk.place.write("disk", &bytes);
    disk.repair().refused(3, "is no FEC area of disk");
    assert!(disk.place.read("disk") == bytes);
}

/// The last word of what stands in the place of parity is the user's.
#[test]
fn something_else_than_parity_is_not_written_over() {
    let disk = DamagedImage::new(3000, 2);
    let mut bytes = disk.good.clone();
    let area = disk.parity(0).start..disk.parity(12).end;
    bytes[area.clone()].copy_from_slice(&data(area.len(), 9));
    disk.place.write("disk", &bytes);
    for command in ["repair ", "verify --fec"] {
        let expected = format!(
            "what is at byte {} is no FEC area of disk: of 13 rows",
            area.start
        );
        disk.run(command).refused(3, &expected);
        assert!(disk.place.read("disk") == bytes);
    }
    // Nor is the parity of other roots.
    disk.place
        .write("disk", &[&disk.good[..], &[0; 100_000]].concat());
    let root = &disk.root;
    let ended = disk.place.run(&format!(
        "repair disk --root-hash {root} --hash-offset {} --fec-roots 5",
        3000 * BLOCK
    ));
    ended.refused(3, "is no FEC area of disk");
    assert!(disk.place.read("disk").starts_with(&disk.good));
    // There is none.
    bytes.truncate(area.start);
    disk.place.write("disk", &bytes);
    disk.repair()
        .refused(3, "disk has no whole FEC area at byte ");
    disk.place.write("disk", &disk.good[..area.end - 1]);
    disk.repair()
        .refused(3, "disk has no whole FEC area at byte ");
}

#[test]
fn what_is_cut_short_is_refused() {
    let disk = DamagedImage::new(3000, 2);
    for bytes in [0, 1000, 3000 * BLOCK - 1, disk.at(disk.hash_block(0, 5))] {
        disk.place.write("disk", &disk.good[..bytes]);
        let ended = disk.repair();
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(disk.place.read("disk") == disk.good[..bytes]);
    }
}
