//! `repair`, and `verify --fec`: what is corrected, what is told, and what is left alone.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    ops::Range,
    os::unix::fs::symlink,
    process::Stdio,
    thread,
    time::Instant,
};

use dm_verity::{
    BlockSize, HashAlgorithm, HashArea, Salt, TreeLayout, VerityParams,
    fec::{FecLayout, FecRoots},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    model_dir::model,
    program::{Ended, WorkFolder, data, field},
};

/// A disk in one file, `disk`: data, superblock, tree and FEC area. Small blocks, for a tree of many.
struct DamagedImage {
    place: WorkFolder,
    root: String,
    layout: FecLayout,
    tree: TreeLayout,
    hash_area: HashArea,
    options: String,
    good: Vec<u8>,
}

const BLOCK: usize = 512;

impl DamagedImage {
    fn new(data_blocks: u64, roots: u32) -> Self {
        Self::in_folder(WorkFolder::new(), data_blocks, roots)
    }

    fn in_folder(place: WorkFolder, data_blocks: u64, roots: u32) -> Self {
        place.write("disk", &data(data_blocks as usize * BLOCK, 3));
        let hashed = place.run(&format!(
            "hash disk --data-block-size {BLOCK} --hash-block-size {BLOCK} --fec --fec-roots {roots}"
        ));
        let root = field(&hashed.ok(), "Root hash").to_owned();
        let size = BlockSize::new(BLOCK as u64).unwrap();
        let algorithm = HashAlgorithm::Sha256;
        let params =
            VerityParams::new(algorithm, size, size, data_blocks, Salt::default()).unwrap();
        let roots = FecRoots::try_from(roots).unwrap();
        let offset = data_blocks as usize * BLOCK;
        Self {
            options: format!("--hash-offset {offset} --fec-roots {roots}"),
            good: place.read("disk"),
            root,
            layout: FecLayout::new(&params, roots).unwrap(),
            tree: TreeLayout::new(&params),
            hash_area: HashArea::new(&params, offset as u64, true).unwrap(),
            place,
        }
    }

    /// Where a block of the covered sequence stands.
    fn at(&self, block: u64) -> usize {
        match block.checked_sub(self.layout.data_blocks()) {
            None => block as usize * BLOCK,
            Some(hash_block) => self.hash_area.block_offset(hash_block) as usize,
        }
    }

    fn hash_block(&self, level: usize, block: u64) -> u64 {
        self.layout.data_blocks() + self.tree.levels()[level].first_block + block
    }

    /// Where the parity of a row stands.
    fn parity(&self, row: u64) -> Range<usize> {
        let start = self.hash_area.end(&self.tree) as usize;
        let range = self.layout.row_parity_range(row).unwrap();
        start + range.start as usize..start + range.end as usize
    }

    /// Fills blocks with something else.
    fn damage(&self, blocks: impl IntoIterator<Item = u64>) {
        let mut bytes = self.place.read("disk");
        for block in blocks {
            for byte in &mut bytes[self.at(block)..][..BLOCK] {
                *byte = byte.wrapping_mul(7) ^ 0x5a;
            }
        }
        self.place.write("disk", &bytes);
    }

    fn flip(&self, offset: usize) {
        self.place.flip("disk", offset);
    }

    fn run(&self, command: &str) -> Ended {
        let (root, options) = (&self.root, &self.options);
        let command = command.replacen(' ', " disk ", 1);
        self.place
            .run(&format!("{command} --root-hash {root} {options}"))
    }

    fn repair(&self) -> Ended {
        self.run("repair ")
    }

    fn verify(&self, options: &str) -> Value {
        let ended = self.run(&format!("verify --fec --json {options}"));
        serde_json::from_str(&ended.stdout).unwrap()
    }

    #[track_caller]
    fn assert_good(&self) {
        assert!(self.place.read("disk") == self.good);
    }

    #[track_caller]
    fn repaired(&self) -> String {
        let printed = self.repair().ok();
        self.assert_good();
        printed
    }
}

/// Blocks from all over the disk, a row each.
fn row(disk: &DamagedImage, row: u64) -> Vec<u64> {
    let columns = 0..disk.layout.columns();
    columns
        .filter_map(|column| disk.layout.block_at(row, column))
        .collect()
}

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

#[test]
fn who_is_in_the_way() {
    let disk = DamagedImage::new(300, 2);
    disk.damage([5]);
    let damaged = disk.place.read("disk");
    let file = File::open(disk.place.path("disk")).unwrap();
    file.lock().unwrap();
    disk.repair().refused(5, "disk is locked by process ");
    // Not only closed: a process that another test starts may have it open for a moment.
    file.unlock().unwrap();
    let path = |name| disk.place.path(name);
    fs::rename(path("disk"), path("elsewhere")).unwrap();
    symlink("elsewhere", path("disk")).unwrap();
    disk.repair().refused(5, "disk is a symbolic link");
    fs::rename(path("elsewhere"), path("disk")).unwrap();
    assert!(disk.place.read("disk") == damaged);
    disk.repaired();
    disk.place
        .run("repair gone --root-hash")
        .usage("--root-hash");
    let root = "00".repeat(32);
    let ended = disk.place.run(&format!("repair gone --root-hash {root}"));
    ended.refused(4, "cannot open gone");
    let ended = disk
        .place
        .run(&format!("verify disk --root-hash {root} --fec-roots 2"));
    ended.usage("--fec");
}

/// Cut off at any moment, it leaves the disk no worse: the next run corrects the rest.
#[test]
fn killed_at_any_moment() {
    let disk = DamagedImage::in_folder(WorkFolder::on_disk(), 20_000, 2);
    let hash_blocks = [disk.hash_block(1, 3), disk.hash_block(0, 7)];
    // In the rows of hash blocks, and of wrong parity, there is no room for more.
    let mut full = hash_blocks
        .map(|block| disk.layout.place(block).unwrap().row)
        .to_vec();
    full.push(0);
    let rows = (0..disk.layout.rounds()).filter(|row| !full.contains(row));
    let blocks = rows.flat_map(|number| row(&disk, number)[3..5].to_vec());
    disk.damage(blocks.chain(hash_blocks));
    disk.flip(disk.parity(0).start);
    let damaged = disk.place.read("disk");
    let started = Instant::now();
    disk.repaired();
    let whole = started.elapsed();
    for round in 0..10u64 {
        disk.place.write("disk", &damaged);
        let mut child = disk
            .place
            .builder()
            .args(["repair", "disk", "--root-hash", &disk.root])
            .args(disk.options.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let random = RandomState::new().hash_one(round) % 1000;
        thread::sleep(whole.mul_f64(random as f64 / 1000.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = disk.place.read("disk");
        // Each block is as it was, or as it should be.
        for ((now, damaged), good) in now
            .chunks(BLOCK)
            .zip(damaged.chunks(BLOCK))
            .zip(disk.good.chunks(BLOCK))
        {
            assert!(now == damaged || now == good);
        }
        disk.repaired();
    }
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
    std::os::unix::fs::FileExt::write_all_at(&sparse, &holed[..4096 * 5], 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &good[4096 * 7..], 4096 * 7).unwrap();
    drop(sparse);
    let options = format!("--root-hash {root} --hash-offset 8M");
    place.run(&format!("repair disk {options}")).ok();
    assert!(place.read("disk") == good);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Random damage. Whatever comes of it, no block is written but to what it should be; and where no
    /// row has more bad blocks than roots, and its parity is right, all of it is corrected.
    #[test]
    fn random_damage(
        data_blocks in 1..4000u64,
        roots in 2..=24u32,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..2000usize), 1..20),
        seed: u64,
    ) {
        let disk = DamagedImage::new(data_blocks, roots);
        let area = disk.parity(0).start;
        let superblock = data_blocks as usize * BLOCK;
        let mut bytes = disk.good.clone();
        for (at, length) in damage {
            let start = at.index(bytes.len());
            let end = (start + length).min(bytes.len());
            let noise = data(end - start, seed ^ start as u64);
            bytes[start..end].copy_from_slice(&noise);
        }
        // Nothing covers that.
        bytes[superblock..superblock + BLOCK].copy_from_slice(&disk.good[superblock..][..BLOCK]);
        disk.place.write("disk", &bytes);

        let differs = |offset: usize| bytes[offset..][..BLOCK] != disk.good[offset..][..BLOCK];
        // What is under a bad hash block is not known at first: beside one there may be one more.
        let hopeful = (0..disk.layout.rounds()).all(|number| {
            let bad = row(&disk, number).into_iter();
            let bad: Vec<_> = bad.filter(|block| differs(disk.at(*block))).collect();
            let of_tree = bad.last().is_some_and(|block| *block >= disk.layout.data_blocks());
            bad.len() <= if of_tree { 2 } else { roots as usize }
        }) && bytes[area..] == disk.good[area..];
        let top = if data_blocks == 1 { 0 } else { disk.layout.data_blocks() };
        let ended = disk.repair();
        let now = disk.place.read("disk");
        if hopeful && !differs(disk.at(top)) {
            prop_assert_eq!(ended.code, Some(0), "{:?}", ended);
            prop_assert!(now == disk.good);
        }
        prop_assert!(matches!(ended.code, Some(0 | 3)), "{:?}", ended);
        for block in 0..area / BLOCK {
            let at = block * BLOCK..(block + 1) * BLOCK;
            prop_assert!(now[at.clone()] == bytes[at.clone()] || now[at.clone()] == disk.good[at]);
        }
        if ended.code == Some(0) {
            prop_assert!(now[..area] == disk.good[..area]);
        }
    }

    /// Any superblock and any area: nothing but what the root hash covers is written, and no panic.
    #[test]
    fn hostile_superblocks_and_areas(
        change in prop::collection::vec((0..512usize, any::<u8>()), 0..6),
        area in prop::collection::vec(any::<u8>(), 0..3000),
        bad in prop::collection::vec(0..300u64, 0..6),
    ) {
        let disk = DamagedImage::new(300, 3);
        let superblock = 300 * BLOCK;
        let mut bytes = disk.good.clone();
        for (at, byte) in change {
            bytes[superblock + at] = byte;
        }
        let start = disk.parity(0).start;
        let length = area.len().min(bytes.len() - start);
        bytes[start..start + length].copy_from_slice(&area[..length]);
        disk.place.write("disk", &bytes);
        disk.damage(bad);
        let damaged = disk.place.read("disk");
        let ended = disk.repair();
        prop_assert!(matches!(ended.code, Some(0 | 2 | 3)), "{:?}", ended);
        let now = disk.place.read("disk");
        for block in 0..start / BLOCK {
            let at = block * BLOCK..(block + 1) * BLOCK;
            prop_assert!(now[at.clone()] == damaged[at.clone()] || now[at.clone()] == disk.good[at]);
        }
    }
}
