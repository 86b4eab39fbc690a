//! Disks of every kind: as `veritysetup` and as `build` make them, and with holes.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
};

use crate::{
    model_dir::model,
    program::{WorkFolder, data, field},
};

/// Data, tree and FEC area in one, two and three files, as `veritysetup` makes them.
#[test]
fn disks_of_veritysetup() {
    for (blocks, roots) in [(300, 2), (1000, 5), (253, 24), (2, 2)] {
        for (hash_device, fec, fec_options) in [
            ("tree", "fec", "--fec-device fec"),
            ("tree", "tree", "--fec-device tree --fec-offset 409600"),
        ] {
            let place = WorkFolder::new();
            place.write("data", &data(blocks * 4096, 5));
            if fec == "tree" {
                // They cover all up to the area, and want it to be there.
                place.write("tree", &vec![0; 409_600]);
            }
            let options = format!("--hash-device {hash_device} {fec_options} --fec-roots {roots}");
            let printed = place.veritysetup(&format!(
                "format data {hash_device} {fec_options} --fec-roots {roots}"
            ));
            let root = field(&printed.ok(), "Root hash").to_owned();
            let bound = format!("--root-hash {root} --data-blocks {blocks}");
            let names = ["data", "tree", "fec"];
            let files = || names.map(|name| fs::read(place.path(name)).unwrap_or_default());
            let good = files();
            place.flip("data", 5000);
            place.flip("data", 4096);
            place.flip("tree", 4096 + 40);
            place.flip("tree", 4096 + 4095);
            let damaged = files();
            let ended = place.run(&format!("verify data {options} {bound} --fec"));
            assert_eq!(ended.code, Some(3), "{ended:?}");
            assert!(!ended.stdout.contains("not correctable"), "{ended:?}");
            assert!(files() == damaged);
            let printed = place.run(&format!("repair data {options} {bound}")).ok();
            assert!(files() == good, "{blocks} {options} {printed}");
            // Their own program finds nothing to complain of.
            place.veritysetup(&format!("verify data tree {root}")).ok();
        }
    }
}

/// The FEC area on the data's device, after the data, beside a tree elsewhere; and no superblock.
#[test]
fn other_places() {
    let place = WorkFolder::new();
    place.write("data", &data(300 * 4096, 5));
    let fec = "--fec-device data --fec-offset 1228800";
    let tree = "--hash-device tree --no-superblock --data-blocks 300 --salt 5a";
    let printed = place.veritysetup(&format!(
        "format data tree {fec} {}",
        tree.replace("--hash-device tree", "")
    ));
    let root = field(&printed.ok(), "Root hash").to_owned();
    let good = (place.read("data"), place.read("tree"));
    place.flip("data", 9999);
    place.flip("tree", 99);
    let printed = place
        .run(&format!("repair data {tree} {fec} --root-hash {root}"))
        .ok();
    assert!(
        (place.read("data"), place.read("tree")) == good,
        "{printed}"
    );
}

/// A disk as `build` makes it: files are named, the first block is corrected, and the manifest agrees.
#[test]
fn a_built_disk() {
    let place = WorkFolder::new();
    model(&place, "model");
    let printed = place.run("build model --output disk --fec").ok();
    let root = field(&printed, "Root hash").to_owned();
    let blocks: usize = field(&printed, "Data blocks").parse().unwrap();
    let good = place.read("disk");
    let repair = |options: &str| place.run(&format!("repair disk --root-hash {root} {options}"));

    place.flip("disk", blocks / 2 * 4096);
    let printed = repair("").ok();
    assert!(printed.starts_with("corrected data blocks "), "{printed}");
    assert!(
        printed.lines().nth(1).unwrap().starts_with("    in "),
        "{printed}"
    );
    assert!(place.read("disk") == good);

    // A flipped bit of what tells where the tree is.
    place.flip("disk", 1024 + 1);
    let missing = "no erofs filesystem, which would tell where the superblock is (--hash-offset";
    repair("").refused(3, missing);
    let printed = repair(&format!("--hash-offset {}", blocks * 4096)).ok();
    assert!(place.read("disk") == good, "{printed}");
    // And one of what else is there.
    for offset in [4095, 1024 + 80, 100] {
        place.flip("disk", offset);
        let printed = repair(&format!("--hash-offset {}", blocks * 4096)).ok();
        assert!(
            printed.starts_with("corrected data blocks 0 to 0 "),
            "{printed}"
        );
        assert!(place.read("disk") == good, "{offset}");
    }
    let printed = place
        .run(&format!("verify disk --fec --root-hash {root}"))
        .ok();
    assert!(
        printed.contains("manifest: disk.json is about this disk"),
        "{printed}"
    );
}

/// Nothing covers it, but the root hash proves what it said.
#[test]
fn the_superblock() {
    let place = WorkFolder::new();
    model(&place, "model");
    let printed = place.run("build model --output disk --fec").ok();
    let root = field(&printed, "Root hash").to_owned();
    let blocks: usize = field(&printed, "Data blocks").parse().unwrap();
    let good = place.read("disk");
    let start = blocks * 4096;
    for offset in [0, 8, 40, 72, 90, 400] {
        place.flip("disk", start + offset);
        place.flip("disk", start / 2);
        let printed = place.run(&format!("repair disk --root-hash {root}")).ok();
        let expected = format!("made the superblock at byte {start} again\n");
        assert!(printed.starts_with(&expected), "{printed}");
        assert!(place.read("disk") == good, "{offset}");
    }
    place.flip("disk", start);
    let other = "00".repeat(32);
    let ended = place.run(&format!("repair disk --root-hash {other}"));
    ended.refused(
        3,
        &format!("disk has no dm-verity superblock at byte {start}"),
    );
    assert!(place.read("disk")[..start] == good[..start]);

    // Of a salt of somebody's own the arguments must tell.
    place.write("data", &data(300 * 4096, 5));
    let devices = "--hash-device tree --fec-device fec";
    let uuid = "--uuid 3f1b9a52-7c0e-4d7b-9f55-0a1b2c3d4e5f";
    let hashed = place
        .run(&format!("hash data {devices} --fec --salt 5a {uuid}"))
        .ok();
    let root = field(&hashed, "Root hash").to_owned();
    let good = place.read("tree");
    place.flip("tree", 3);
    let repair = format!("repair data {devices} --root-hash {root}");
    place
        .run(&repair)
        .refused(3, "the superblock at byte 0 of tree is not accepted");
    place
        .run(&format!("{repair} --salt 5a --data-blocks 300"))
        .ok();
    let now = place.read("tree");
    assert!(
        now[..16] == good[..16] && now[32..] == good[32..],
        "all but the UUID"
    );
    place
        .run(&format!(
            "verify data --hash-device tree --root-hash {root} --data-blocks 300"
        ))
        .ok();
}

/// Sparse images: what was a hole in the file becomes data, and a block of zeros is written as one.
#[test]
fn holes() {
    let place = WorkFolder::new();
    let file = File::create(place.path("disk")).unwrap();
    file.set_len(8 << 20).unwrap();
    let root = field(&place.run("hash disk --fec").ok(), "Root hash").to_owned();
    let good = place.read("disk");
    place.write("copy", &good);
    let options = format!("--root-hash {root} --hash-offset 8M");
    // Ones where zeros were.
    let mut bytes = good.clone();
    bytes[4096 * 100..4096 * 102].fill(1);
    place.write("disk", &bytes);
    place.run(&format!("repair disk {options}")).ok();
    assert!(place.read("disk") == good);
    // And a hole where data was.
    let mut data_bytes = data(8 << 20, 1);
    data_bytes.truncate(8 << 20);
    place.write("disk", &data_bytes);
    let root = field(&place.run("hash disk --fec").ok(), "Root hash").to_owned();
    let good = place.read("disk");
    let file = OpenOptions::new()
        .write(true)
        .open(place.path("disk"))
        .unwrap();
    file.set_len(4096 * 5).unwrap();
    file.set_len(4096 * 7).unwrap();
    drop(file);
    let mut holed = place.read("disk");
    holed.extend(&good[4096 * 7..]);
    let sparse = File::create(place.path("disk")).unwrap();
    sparse.set_len(good.len() as u64).unwrap();
    sparse.write_all_at(&holed[..4096 * 5], 0).unwrap();
    sparse.write_all_at(&good[4096 * 7..], 4096 * 7).unwrap();
    drop(sparse);
    let options = format!("--root-hash {root} --hash-offset 8M");
    place.run(&format!("repair disk {options}")).ok();
    assert!(place.read("disk") == good);
}
