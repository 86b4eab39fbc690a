//! Hostile disks, as their operator could present them: of each class those that the kernel, the
//! exit code or what is left behind could tell apart. The classes as a whole are tried without a
//! kernel, in `tests/hostile`.

mod filesystem;
mod place;
mod superblock;
mod tree;

use std::{cell::Cell, fs};

use crate::{
    Test,
    disk::{TestDisk, write},
    machine::Leftovers,
    run::{Outcome, mounter},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "superblocks_with_a_changed_bit",
        superblock::superblocks_with_a_changed_bit,
    ),
    (
        "superblocks_with_other_sizes",
        superblock::superblocks_with_other_sizes,
    ),
    (
        "a_level_of_the_tree_as_data",
        tree::a_level_of_the_tree_as_data,
    ),
    ("trees_of_another_model", tree::trees_of_another_model),
    (
        "every_level_with_a_changed_bit",
        tree::every_level_with_a_changed_bit,
    ),
    ("places_of_the_hash_area", place::places_of_the_hash_area),
    (
        "block_devices_that_are_cut_short",
        place::block_devices_that_are_cut_short,
    ),
    (
        "filesystems_that_were_changed_after_the_tree",
        filesystem::filesystems_that_were_changed_after_the_tree,
    ),
    (
        "filesystems_of_another_size_under_their_own_tree",
        filesystem::filesystems_of_another_size_under_their_own_tree,
    ),
    (
        "malformed_filesystems_under_their_own_tree",
        filesystem::malformed_filesystems_under_their_own_tree,
    ),
];

/// What is tried, and how often something was.
struct Hostile {
    name: &'static str,
    disk: TestDisk,
    image: Vec<u8>,
    tried: Cell<usize>,
}

impl Hostile {
    /// Starts from a good disk.
    fn new(name: &'static str, disk: TestDisk) -> Self {
        let image = fs::read(&disk.image).unwrap();
        Self {
            name,
            disk,
            image,
            tried: Cell::new(0),
        }
    }

    /// Puts the good disk back.
    fn restore(&self) {
        fs::write(&self.disk.image, &self.image).unwrap();
    }

    /// Puts bytes at a place of the superblock.
    fn set(&self, offset: usize, bytes: &[u8]) {
        write(
            &self.disk.image,
            self.disk.data_bytes + offset as u64,
            bytes,
        );
    }

    /// The mounter refuses the disk, says one of these reasons, and leaves nothing behind.
    #[track_caller]
    fn is_refused(&self, options: &str, code: i32, reasons: &[&str]) {
        self.line_is_refused(&self.disk.mount_line(options), code, reasons);
    }

    #[track_caller]
    fn line_is_refused(&self, line: &str, code: i32, reasons: &[&str]) {
        let outcome = self.try_line(line);
        let told = reasons.iter().any(|reason| outcome.stderr.contains(reason));
        assert!(
            outcome.code == code && told,
            "{}: expected exit code {code} and one of {reasons:?}: {outcome:#?}",
            self.name
        );
    }

    /// Runs the mounter on the disk, which must not get anywhere.
    #[track_caller]
    fn try_line(&self, line: &str) -> Outcome {
        let before = Leftovers::look();
        let outcome = mounter(line);
        assert!(!self.disk.mount_point().exists(), "a mount point was left");
        before.check();
        self.tried.set(self.tried.get() + 1);
        outcome
    }

    /// The disk is good again: what was refused before was refused for what was changed.
    #[track_caller]
    fn is_mounted(&self, options: &str) {
        mounter(&self.disk.mount_line(options)).is(0, &[]);
        mounter(&self.disk.line("unmount")).is(0, &[]);
        fs::remove_dir(self.disk.mount_point()).unwrap();
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        println!("{}: hostile disks tried: {}", self.name, self.tried.get());
    }
}
