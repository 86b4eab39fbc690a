//! Who is in the way of a repair, and runs that are cut off.

use std::{
    fs::{self, File},
    hash::{BuildHasher, RandomState},
    os::unix::fs::symlink,
    thread,
    time::Instant,
};

use super::{BLOCK, DamagedImage, row};
use crate::program::WorkFolder;

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
    let repair = format!("repair disk --root-hash {} {}", disk.root, disk.options);
    for round in 0..10u64 {
        disk.place.write("disk", &damaged);
        let mut child = disk.place.spawn(&repair);
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
