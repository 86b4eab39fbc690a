//! Disks whose corrupt blocks the kernel corrects, and those that it cannot.

mod areas;
mod correction;
mod limits;
mod serving;

use std::{
    fs,
    path::{Path, PathBuf},
};

use dm_verity::{BlockSize, HashAlgorithm, HashArea, Salt, TreeLayout, VerityParams};

use crate::{
    Test,
    disk::{TestDisk, files, in_the_largest_file, noise, root_hash, write},
    machine::kernel_is_before,
    run::{check, mounter, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "corrupt_blocks_are_corrected",
        correction::corrupt_blocks_are_corrected,
    ),
    ("block_sizes_and_roots", correction::block_sizes_and_roots),
    ("devices_of_its_own", correction::devices_of_its_own),
    (
        "a_corrupt_hash_block_is_corrected",
        correction::a_corrupt_hash_block_is_corrected,
    ),
    (
        "more_than_can_be_corrected",
        limits::more_than_can_be_corrected,
    ),
    ("without_the_option", serving::without_the_option),
    ("hostile_areas", areas::hostile_areas),
    ("areas_that_cannot_be", areas::areas_that_cannot_be),
    (
        "what_a_corrupt_block_costs",
        limits::what_a_corrupt_block_costs,
    ),
    (
        "what_a_disk_is_judged_by_is_corrected",
        correction::what_a_disk_is_judged_by_is_corrected,
    ),
    (
        "blocks_that_cannot_be_read",
        limits::blocks_that_cannot_be_read,
    ),
    (
        "an_area_that_cannot_be_read",
        limits::an_area_that_cannot_be_read,
    ),
    ("by_fuse", serving::by_fuse),
    ("run_twice", serving::run_twice),
    ("the_sidecar_tells", serving::the_sidecar_tells),
    ("in_the_table", serving::in_the_table),
];

/// Where the tree and the FEC area of a disk are.
#[derive(Clone, Copy, PartialEq)]
enum FecDevices {
    /// Both after the filesystem.
    OneImage,
    /// Both on a hash device.
    HashDevice,
    /// Each on a device of its own.
    ThreeDevices,
}

/// A disk with an FEC area, as veritysetup makes it.
pub(crate) struct FecDisk {
    pub(crate) disk: TestDisk,
    /// What the kernel is to be told of it.
    options: String,
    block_size: u64,
    roots: u64,
    data_blocks: u64,
    tree: TreeLayout,
    /// A block in the middle of the largest file.
    block: u64,
    /// What holds the tree, and where that starts in it.
    hash: (PathBuf, u64),
    /// What holds the FEC area, and where that starts in it.
    fec: (PathBuf, u64),
}

impl FecDisk {
    pub(crate) fn new() -> Self {
        Self::with(4096, 2, FecDevices::OneImage)
    }

    fn with(block_size: u64, roots: u64, place: FecDevices) -> Self {
        let mut disk = TestDisk::filesystem();
        let size = BlockSize::new(block_size).unwrap();
        let data_blocks = disk.data_bytes / block_size;
        let salt: Salt = "00ff".parse().unwrap();
        let sha256 = HashAlgorithm::Sha256;
        let params = VerityParams::new(sha256, size, size, data_blocks, salt).unwrap();
        let layout = TreeLayout::new(&params);
        let (image, hash, fec) = (disk.image.clone(), disk.path("tree"), disk.path("fec"));
        let (hash, hash_offset) = match place {
            FecDevices::OneImage => (image.clone(), disk.data_bytes),
            FecDevices::HashDevice | FecDevices::ThreeDevices => (hash, 0),
        };
        let area = HashArea::new(&params, hash_offset, true).unwrap();
        let tree_end = area.end(&layout);
        let (fec, fec_offset) = match place {
            FecDevices::OneImage | FecDevices::HashDevice => (hash.clone(), tree_end),
            FecDevices::ThreeDevices => (fec, 0),
        };
        let mut arguments = vec![
            "format".to_owned(),
            text(&image).to_owned(),
            text(&hash).to_owned(),
            "--salt=00ff".to_owned(),
            format!("--data-blocks={data_blocks}"),
            format!("--data-block-size={block_size}"),
            format!("--hash-block-size={block_size}"),
            format!("--fec-device={}", text(&fec)),
            format!("--fec-roots={roots}"),
        ];
        arguments.extend((hash_offset > 0).then(|| format!("--hash-offset={hash_offset}")));
        arguments.extend((fec_offset > 0).then(|| format!("--fec-offset={fec_offset}")));
        disk.root_hash = root_hash(&check("veritysetup", arguments));
        let mut options = format!("--fec --fec-roots {roots}");
        if place != FecDevices::OneImage {
            options += &format!(" --hash-device {}", text(&hash));
        }
        if place == FecDevices::ThreeDevices {
            options += &format!(" --fec-device {}", text(&fec));
        }
        Self {
            options,
            block_size,
            roots,
            data_blocks,
            block: in_the_largest_file(&disk) / block_size,
            hash: (hash, area.block_offset(0)),
            tree: layout,
            fec: (fec, fec_offset),
            disk,
        }
    }

    /// How many rows of blocks there are, each of which has codewords of its own.
    fn rows(&self) -> u64 {
        (self.data_blocks + self.tree.blocks()).div_ceil(255 - self.roots)
    }

    /// Data blocks of the largest file that are in one row, that of `block` the first.
    pub(crate) fn row(&self) -> impl Iterator<Item = u64> {
        (self.block..self.data_blocks).step_by(self.rows() as usize)
    }

    /// Makes nonsense of a data block.
    pub(crate) fn spoil(&self, block: u64) {
        spoil(&self.disk.image, block * self.block_size, self.block_size);
    }

    /// Mounts it, and all of it is right.
    #[track_caller]
    fn reads_right(&self) {
        mounter(&self.disk.mount_line(&self.options)).is(0, &["is mounted at"]);
        assert_eq!(files(&self.disk.mount_point()), self.disk.files);
        mounter(&self.disk.line("status")).is(0, &["verified"]);
        mounter(&self.disk.line("unmount")).is(0, &[]);
    }

    /// Mounts it, and a file of it cannot be read; no other byte than the right one is.
    #[track_caller]
    fn is_corrupt(&self, options: &str) {
        mounter(&self.disk.mount_line(options)).is(0, &["is mounted at"]);
        let mut failed = 0;
        for path in self.disk.files.keys() {
            let source = fs::read(self.disk.path("model").join(path)).unwrap();
            match fs::read(self.disk.mount_point().join(path)) {
                Ok(bytes) => assert!(bytes == source, "{path:?}"),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
                    failed += 1;
                }
            }
        }
        assert!(failed > 0);
        mounter(&self.disk.line("status")).is(3, &["corrupt"]);
        mounter(&self.disk.line("unmount")).is(0, &[]);
    }

    /// What `status` says of its mount.
    fn status(&self) -> serde_json::Value {
        let printed = mounter(&self.disk.line("status --json")).stdout;
        serde_json::from_str(&printed).unwrap()
    }
}

fn spoil(file: &Path, offset: u64, bytes: u64) {
    write(
        file,
        offset,
        &noise(&format!("spoil {offset}"), bytes as usize),
    );
}

/// Whether a mount says how many blocks were corrected.
pub(crate) fn are_counted() -> bool {
    let disk = FecDisk::new();
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &[]);
    let status = disk.status();
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    !status["fec_corrected"].is_null()
}

/// Whether this kernel counts what it has corrected.
fn counts() -> bool {
    !kernel_is_before([6, 19])
}
