//! Disks that share the blocks of their model, on XFS.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use nix::sys::statvfs::statvfs;

use crate::{
    Test,
    disk::{Loop, TestDisk},
    foreign::make_empty_xfs,
    machine::unmount_below,
    run::{check, run, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "a_disk_in_the_space_of_its_model",
        a_disk_in_the_space_of_its_model,
    ),
    (
        "a_file_that_is_not_shared_any_more",
        a_file_that_is_not_shared_any_more,
    ),
];

/// Of the largest file, without a block that is not full.
const WEIGHTS: u64 = 24 << 20;

/// An XFS with a model on it, mounted for the time of `work`, which gets its model and its output.
fn on_xfs(work: impl FnOnce(&TestDisk, &Path, &Path)) {
    let disk = TestDisk::filesystem();
    make_empty_xfs(&disk, "4096");
    let device = Loop::new(&disk.image);
    let at = disk.path("at");
    fs::create_dir(&at).unwrap();
    check("mount", ["-t", "xfs", text(device.path()), text(&at)]);
    let model = at.join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("config.json"), "{}").unwrap();
    // Of several extents, with a hole and a block that is not full.
    let mut weights = File::create(model.join("weights")).unwrap();
    for block in 0..WEIGHTS / 4096 {
        weights.write_all(&block.to_le_bytes().repeat(512)).unwrap();
    }
    weights.write_all(b"end").unwrap();
    weights.set_len(WEIGHTS + (8 << 20)).unwrap();
    weights
        .write_all_at(b"really", WEIGHTS + (8 << 20))
        .unwrap();
    drop(weights);
    fs::write(model.join("weights-2"), [7; 100_000]).unwrap();
    work(&disk, &model, &at.join("disk"));
    unmount_below(&at);
}

fn build<'a>(model: &'a Path, output: &'a Path) -> [&'a str; 6] {
    let (model, output) = (text(model), text(output));
    ["build", "--json", "--quiet", "--output", output, model]
}

fn used(place: &Path) -> u64 {
    nix::unistd::sync();
    let space = statvfs(place).unwrap();
    (space.blocks() - space.blocks_free()) * space.fragment_size()
}

fn a_disk_in_the_space_of_its_model() {
    on_xfs(|disk, model, output| {
        let (elsewhere, copy): (PathBuf, PathBuf) = (disk.path("elsewhere"), disk.path("copy"));
        check("cp", ["-r", text(model), text(&copy)]);
        let copied = check("disk-builder", build(&copy, &elsewhere));
        assert!(copied.contains("\"reflinked_bytes\": 0"), "{copied}");
        assert!(!copied.contains("\"not_reflinked\": null"), "{copied}");

        let before = used(model);
        let shared = check("disk-builder", build(model, output));
        let more = used(model) - before;
        // The tree has 1/128 of the data; the rest is for files that are not shared, and for XFS.
        assert!(more < WEIGHTS / 20, "{more}");
        let bytes = WEIGHTS + (8 << 20) + (100_000 - 100_000 % 4096);
        assert!(
            shared.contains(&format!("\"reflinked_bytes\": {bytes}")),
            "{shared}"
        );
        assert!(shared.contains("\"not_reflinked\": null"), "{shared}");
        assert!(fs::read(output).unwrap() == fs::read(&elsewhere).unwrap());

        // What becomes of the model does not matter any more.
        let weights = File::options()
            .write(true)
            .open(model.join("weights"))
            .unwrap();
        weights.write_all_at(b"changed", 5000).unwrap();
        weights.sync_all().unwrap();
        let root = check("disk-builder", ["root-hash", text(&copy)]);
        let verify = ["verify", text(output), "--root-hash", root.trim_end()];
        run("disk-builder", verify).is(0, &["verified"]);
    });
}

/// A call that shares nothing stands for a file that is written to as soon as it is shared.
fn a_file_that_is_not_shared_any_more() {
    on_xfs(|disk, model, output| {
        let log = disk.path("log");
        let traced = |inject: &[&str]| {
            let options = ["-o", text(&log), "-e", "trace=ioctl"];
            let words = [&options, inject, &["disk-builder"], &build(model, output)].concat();
            run("strace", words)
        };
        traced(&[]).is(0, &[]);
        let log = fs::read_to_string(&log).unwrap();
        let calls = log.lines().filter(|line| line.contains("ioctl(")).zip(1..);
        let clones = calls.filter(|(line, _)| line.contains("FICLONERANGE"));
        let clones: Vec<u32> = clones.map(|(_, number)| number).collect();
        assert_eq!(clones.len(), 2, "{log}");
        let folder = output.parent().unwrap();
        for name in ["disk", "disk.json"] {
            fs::remove_file(folder.join(name)).unwrap();
        }
        for (number, file) in clones.iter().zip(["weights", "weights-2"]) {
            let inject = format!("inject=ioctl:retval=0:when={number}");
            let named = format!("{file} changed while it was read");
            traced(&["-e", &inject]).is(1, &[&named]);
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
        }
    });
}
