//! Hostile disks, as their operator could present them: of each class those that the kernel, the
//! exit code or what is left behind could tell apart. The classes as a whole are tried without a
//! kernel, in `tests/hostile`.

use std::{cell::Cell, fs, os::unix::fs::FileExt, path::Path};

use disk_mounter::verity::{Superblock, VerityParams};

use crate::{
    Test,
    disk::{Disk, Loop, flip, root_hash, write},
    machine::Leftovers,
    run::{Outcome, check, mounter},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "superblocks_with_a_changed_bit",
        superblocks_with_a_changed_bit,
    ),
    ("superblocks_with_other_sizes", superblocks_with_other_sizes),
    ("a_level_of_the_tree_as_data", a_level_of_the_tree_as_data),
    ("trees_of_another_model", trees_of_another_model),
    (
        "every_level_with_a_changed_bit",
        every_level_with_a_changed_bit,
    ),
    ("places_of_the_hash_area", places_of_the_hash_area),
    (
        "block_devices_that_are_cut_short",
        block_devices_that_are_cut_short,
    ),
    (
        "filesystems_that_were_changed_after_the_tree",
        filesystems_that_were_changed_after_the_tree,
    ),
    (
        "filesystems_of_another_size_under_their_own_tree",
        filesystems_of_another_size_under_their_own_tree,
    ),
    (
        "malformed_filesystems_under_their_own_tree",
        malformed_filesystems_under_their_own_tree,
    ),
];

/// What is tried, and how often something was.
struct Hostile {
    name: &'static str,
    disk: Disk,
    image: Vec<u8>,
    tried: Cell<usize>,
}

impl Hostile {
    /// Starts from a good disk.
    fn new(name: &'static str, disk: Disk) -> Self {
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

/// Reasons for a disk with other parameters.
const GEOMETRY: &[&str] = &[
    "cut short",
    "inside the data",
    "nothing binds",
    "does not match",
    "data block size",
    "hash block size",
    "are too many",
    "is zero",
];

fn superblocks_with_a_changed_bit() {
    for salt in [&[][..], &["--salt", "00"]] {
        let hostile = Hostile::new("changed bits", Disk::with(salt));
        let superblock = hostile.image[hostile.disk.data_bytes as usize..].to_vec();
        let once = (0..16).chain(32..64).chain((80..512).step_by(16));
        let often = (64..80).flat_map(|offset| (0..8).map(move |bit| (offset, bit)));
        for (offset, bit) in once.map(|offset| (offset, 5)).chain(often) {
            hostile.set(offset, &[superblock[offset] ^ 1 << bit]);
            let reasons = match offset {
                64..80 => GEOMETRY,
                0..8 => &["its magic is missing"],
                _ => &[
                    "not supported",
                    "hash algorithm",
                    "must be zero",
                    "too long",
                    "does not match",
                    "nothing binds",
                ],
            };
            hostile.is_refused("", 3, reasons);
            hostile.set(offset, &superblock[offset..=offset]);
        }
        // The UUID names a disk, and proves nothing.
        hostile.set(16, &[0xaa; 16]);
        hostile.is_mounted("");
    }
}

fn with_params(old: &Superblock, change: impl Fn(&VerityParams) -> (u64, u64)) -> Superblock {
    let (data_blocks, data_block) = change(&old.params);
    let params = VerityParams::new(
        old.params.algorithm(),
        disk_mounter::verity::BlockSize::new(data_block).unwrap(),
        old.params.hash_block_size(),
        data_blocks,
        old.params.salt().clone(),
    );
    Superblock {
        params: params.unwrap(),
        ..old.clone()
    }
}

/// The root block is the same for each of these, and the filesystem fills the data: the first
/// block that the kernel reads tells, or the salt.
fn superblocks_with_other_sizes() {
    for (salt, arguments) in [("", false), ("00", false), ("00", true)] {
        let options: &[&str] = if salt.is_empty() {
            &[]
        } else {
            &["--salt", salt]
        };
        let hostile = Hostile::new("other sizes", Disk::with(options));
        let old = hostile.disk.superblock();
        let blocks = old.params.data_blocks();
        let options = match arguments {
            true => format!("--data-blocks {blocks}"),
            false => String::new(),
        };
        for fewer in [
            1,
            2,
            127,
            128,
            129,
            200,
            blocks / 2,
            blocks - 1,
            blocks + 1,
            128 * 128,
            1 << 40,
        ] {
            hostile
                .disk
                .set_superblock(&with_params(&old, |_| (fewer, 4096)));
            let reasons = [GEOMETRY, &["data blocks, the arguments say"]].concat();
            hostile.is_refused(&options, 3, &reasons);
        }
        for size in [512, 1024, 2048] {
            let same_bytes = blocks * 4096 / size;
            hostile
                .disk
                .set_superblock(&with_params(&old, |_| (same_bytes, size)));
            let reasons = [
                GEOMETRY,
                &["the disk is corrupt", "data blocks, the arguments say"],
            ];
            hostile.is_refused(&options, 3, &reasons.concat());
        }
        // Larger than a page, which no disk for this machine has: told as that.
        hostile
            .disk
            .set_superblock(&with_params(&old, |_| (blocks / 2, 8192)));
        hostile.is_refused(&options, 6, &["this machine's pages"]);
        hostile.restore();
        hostile.is_mounted(&options);
    }
}

/// Level 0 as the data, what stands above it as its tree: the root hash fits.
fn a_level_of_the_tree_as_data() {
    for salt in [&[][..], &["--salt", "00"]] {
        let hostile = Hostile::new("level as data", Disk::with(salt));
        let (start, end) = hostile.disk.levels()[0];
        let (top, _) = hostile.disk.levels()[1];
        let bytes = |start: u64, end: u64| &hostile.image[start as usize..end as usize];
        let level = bytes(start, end);
        let blocks = level.len() as u64 / 4096;
        let superblock = with_params(&hostile.disk.superblock(), |_| (blocks, 4096));
        let disk = |level: &[u8]| {
            let mut slot = superblock.to_bytes().to_vec();
            slot.resize(4096, 0);
            [level, &slot, bytes(top, start)].concat()
        };
        let offset = format!("--hash-offset {}", level.len());
        let right = format!("{offset} --data-blocks {}", hostile.disk.data_bytes / 4096);
        fs::write(&hostile.disk.image, disk(level)).unwrap();
        hostile.is_refused("", 3, &["no erofs filesystem"]);
        hostile.is_refused(&offset, 3, &["nothing binds"]);
        hostile.is_refused(&right, 3, &["data blocks, the arguments say"]);

        // A superblock of a filesystem in it, which claims to fill it.
        let mut forged = level.to_vec();
        forged[1024..1152].copy_from_slice(&hostile.image[1024..1152]);
        forged[1024 + 36..1024 + 40].copy_from_slice(&(blocks as u32).to_le_bytes());
        fs::write(&hostile.disk.image, disk(&forged)).unwrap();
        hostile.is_refused("", 3, &["the disk is corrupt"]);
        hostile.is_refused(&offset, 3, &["the disk is corrupt"]);
        hostile.is_refused(&right, 3, &["data blocks, the arguments say"]);
        hostile.restore();
        hostile.is_mounted("");
    }
}

/// Another model of the same size: its disk, its tree over our data, and our tree over its data.
fn trees_of_another_model() {
    for salt in [&[][..], &["--salt", "00"]] {
        let hostile = Hostile::new("another model", Disk::with(salt));
        let mut other = Disk::filesystem();
        // Its first file's first bytes are others, its filesystem the same.
        flip(&other.image, crate::disk::in_the_largest_file(&other));
        flip(&other.image, 1024 + 48);
        let image = other.image.to_str().unwrap();
        other.root_hash = root_hash(&check("disk-builder", [&["hash", image], salt].concat()));
        let theirs = fs::read(&other.image).unwrap();
        let ours = &hostile.image;
        assert_eq!(ours.len(), theirs.len());
        assert_ne!(hostile.disk.root_hash, other.root_hash);
        let end = hostile.disk.data_bytes as usize;
        let level_0 = hostile.disk.levels()[0].0 as usize;

        for (disk, reason) in [
            (theirs.clone(), "does not match"),
            ([&ours[..end], &theirs[end..]].concat(), "does not match"),
            (
                [&theirs[..end], &ours[end..]].concat(),
                "the disk is corrupt",
            ),
            // Our root block over their level 0, which is right for their data.
            (
                [&theirs[..end], &ours[end..level_0], &theirs[level_0..]].concat(),
                "the disk is corrupt",
            ),
        ] {
            fs::write(&hostile.disk.image, disk).unwrap();
            hostile.is_refused("", 3, &[reason]);
        }
        hostile.restore();
        hostile.is_mounted("");
    }
}

/// The root block is told before the kernel reads it; below it, what the first read needs.
fn every_level_with_a_changed_bit() {
    let hostile = Hostile::new("changed levels", Disk::new());
    let levels = hostile.disk.levels();
    let (root, first) = (levels[1].0, levels[0].0);
    for (at, reason) in [
        (root, "does not match"),
        (root + 4095, "does not match"),
        (first, "the disk is corrupt"),
        (first + 4095, "the disk is corrupt"),
        (0, "the disk is corrupt"),
        (4095, "the disk is corrupt"),
    ] {
        hostile.disk.flip(at);
        hostile.is_refused("", 3, &[reason]);
        hostile.disk.flip(at);
    }
    hostile.is_mounted("");
}

fn places_of_the_hash_area() {
    let hostile = Hostile::new("places", Disk::new());
    let end = hostile.disk.data_bytes;
    let length = hostile.image.len() as u64;
    let reasons = &[
        "its magic is missing",
        "cut short",
        "not a multiple",
        "too large",
    ];
    for offset in [
        0,
        1,
        512,
        1024,
        end - 4096,
        end - 512,
        end - 1,
        end + 1,
        end + 512,
        end + 4096,
        length - 512,
        length - 511,
        length,
        length + 4096,
        1 << 40,
        1 << 62,
        (1 << 63) - 512,
        1 << 63,
        u64::MAX - 511,
        u64::MAX,
    ] {
        hostile.is_refused(&format!("--hash-offset {offset}"), 3, reasons);
    }
    // The whole hash area once more, inside the data, where the filesystem claims to end.
    let area = &hostile.image[end as usize..];
    for at in [4096, 8192, (end - area.len() as u64) / 4096 * 4096] {
        write(&hostile.disk.image, at, area);
        hostile.is_refused(&format!("--hash-offset {at}"), 3, &["inside the data"]);
        write(
            &hostile.disk.image,
            1024 + 36,
            &(at as u32 / 4096).to_le_bytes(),
        );
        hostile.is_refused("", 3, &["inside the data"]);
        hostile.restore();
    }
    hostile.is_mounted("");
}

fn block_devices_that_are_cut_short() {
    let hostile = Hostile::new("short devices", Disk::new());
    let length = hostile.image.len() as u64;
    for bytes in [
        length - 512,
        length - 4096,
        hostile.disk.data_bytes + 512,
        hostile.disk.data_bytes,
        8192,
        2048,
    ] {
        fs::write(&hostile.disk.image, &hostile.image[..bytes as usize]).unwrap();
        let before = Leftovers::look();
        let device = Loop::new(&hostile.disk.image);
        let image = hostile.disk.image.to_str().unwrap();
        let line = hostile.disk.mount_line("");
        let line = line.replace(image, device.path().to_str().unwrap());
        hostile.line_is_refused(&line, 3, &["cut short"]);
        drop(device);
        before.check();
    }
}

/// Bytes of its superblock. Some lead to another place for the tree; whatever is found
/// there, the kernel reads the first block, which is corrupt.
fn filesystems_that_were_changed_after_the_tree() {
    for (salt, step) in [(&[][..], 12), (&["--salt", "00"], 2)] {
        let hostile = Hostile::new("changed filesystems", Disk::with(salt));
        for offset in (0..128).step_by(step) {
            hostile.disk.flip(1024 + offset);
            let reasons: &[&str] = match offset {
                0..4 => &["no erofs filesystem"],
                12 | 36..40 => &[
                    "no erofs filesystem",
                    "its magic is missing",
                    "cut short",
                    "nothing binds",
                    "the disk is corrupt",
                ],
                _ => &["the disk is corrupt"],
            };
            hostile.is_refused("", 3, reasons);
            hostile.disk.flip(1024 + offset);
        }
        hostile.is_mounted("");
    }
}

/// A tree by the book over a filesystem that claims more or less than there is.
fn filesystems_of_another_size_under_their_own_tree() {
    let mut hostile = Hostile::new("other filesystem sizes", Disk::filesystem());
    let blocks = (hostile.disk.data_bytes / 4096) as u32;
    for claimed in [
        1,
        2,
        blocks / 2,
        blocks - 1,
        blocks + 1,
        2 * blocks,
        u32::MAX,
    ] {
        hostile.restore();
        write(&hostile.disk.image, 1024 + 36, &claimed.to_le_bytes());
        let image = hostile.disk.image.to_str().unwrap();
        let length = hostile.disk.data_bytes.to_string();
        let arguments = ["hash", image, "--salt", "00", "--hash-offset", &length];
        let blocks = blocks.to_string();
        let arguments = [&arguments[..], &["--data-blocks", &blocks]].concat();
        hostile.disk.root_hash = root_hash(&check("disk-builder", arguments));
        let offset = format!("--hash-offset {length}");
        hostile.is_refused(&offset, 3, &["nothing binds"]);
        hostile.is_refused(
            "",
            3,
            &["nothing binds", "its magic is missing", "cut short"],
        );
    }
}

/// What a publisher would have to have signed for: the kernel refuses it, with its own errno, and
/// nothing stays.
fn malformed_filesystems_under_their_own_tree() {
    let mut hostile = Hostile::new("malformed filesystems", Disk::filesystem());
    // Without its checksum, so that the kernel comes to what is behind it.
    let plain = |image: &Path| {
        let mut compat = [0; 4];
        let file = fs::File::open(image).unwrap();
        file.read_exact_at(&mut compat, 1024 + 8).unwrap();
        write(image, 1024 + 8, &[compat[0] & !1]);
    };
    let malformed: &[(u64, &[u8])] = &[
        // The root directory's inode: nowhere, and in the middle of a file.
        (14, &[0xff, 0xff]),
        // Where the metadata starts.
        (40, &[0xff; 4]),
        // Incompatible features.
        (80, &[0, 0, 0, 0x80]),
        (80, &[0xff; 4]),
    ];
    for (offset, bytes) in malformed {
        hostile.restore();
        plain(&hostile.disk.image);
        write(&hostile.disk.image, 1024 + offset, bytes);
        let image = hostile.disk.image.to_str().unwrap();
        hostile.disk.root_hash = root_hash(&check("disk-builder", ["hash", image]));
        let outcome = hostile.try_line(&hostile.disk.mount_line(""));
        // What the kernel calls corrupt, and what it says it cannot do.
        assert!(matches!(outcome.code, 1 | 6), "{outcome:#?}");
        outcome.is(outcome.code, &["erofs filesystem cannot be mounted"]);
    }
}
