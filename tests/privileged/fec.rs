//! Disks whose corrupt blocks the kernel corrects, and those that it cannot.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use dm_verity::{BlockSize, HashAlgorithm, HashArea, Salt, TreeLayout, VerityParams};

use crate::{
    Test,
    disk::{Loop, TestDisk, files, flip, in_the_largest_file, noise, root_hash, write},
    fault_device::FaultDevice,
    machine::{Leftovers, drop_caches, kernel_is_before},
    run::{check, mounter, text},
    sidecar::Sidecar,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("corrupt_blocks_are_corrected", corrupt_blocks_are_corrected),
    ("block_sizes_and_roots", block_sizes_and_roots),
    ("devices_of_its_own", devices_of_its_own),
    (
        "a_corrupt_hash_block_is_corrected",
        a_corrupt_hash_block_is_corrected,
    ),
    ("more_than_can_be_corrected", more_than_can_be_corrected),
    ("without_the_option", without_the_option),
    ("hostile_areas", hostile_areas),
    ("areas_that_cannot_be", areas_that_cannot_be),
    ("what_a_corrupt_block_costs", what_a_corrupt_block_costs),
    (
        "what_a_disk_is_judged_by_is_corrected",
        what_a_disk_is_judged_by_is_corrected,
    ),
    ("blocks_that_cannot_be_read", blocks_that_cannot_be_read),
    ("an_area_that_cannot_be_read", an_area_that_cannot_be_read),
    ("by_fuse", by_fuse),
    ("run_twice", run_twice),
    ("the_sidecar_tells", the_sidecar_tells),
    ("in_the_table", in_the_table),
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

fn corrupt_blocks_are_corrected() {
    let disk = FecDisk::new();
    disk.reads_right();
    // A bit under the mount, then as many whole blocks of a row as there are roots.
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &[]);
    let status = disk.status();
    assert_eq!(status["fec"], true);
    let none = if counts() {
        0.into()
    } else {
        serde_json::Value::Null
    };
    assert_eq!(status["fec_corrected"], none);
    disk.disk.flip(in_the_largest_file(&disk.disk));
    drop_caches();
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    let status = disk.status();
    assert_eq!(status["status"], "verified");
    match status["fec_corrected"].as_u64() {
        None => assert!(!counts(), "{status}"),
        Some(corrected) => assert!(counts() && corrected > 0, "{status}"),
    }
    let words: &[&str] = if counts() {
        &["corrected"]
    } else {
        &["verified"]
    };
    mounter(&disk.disk.line("status")).is(0, words);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    disk.row().take(2).for_each(|block| disk.spoil(block));
    disk.reads_right();
}

fn block_sizes_and_roots() {
    for (block_size, roots) in [(4096, 24), (4096, 3), (1024, 8), (512, 2)] {
        let disk = FecDisk::with(block_size, roots, FecDevices::OneImage);
        let blocks: Vec<_> = disk.row().take(roots as usize).collect();
        blocks.iter().for_each(|block| disk.spoil(*block));
        disk.reads_right();
    }
}

fn devices_of_its_own() {
    for place in [FecDevices::HashDevice, FecDevices::ThreeDevices] {
        let mut disk = FecDisk::with(4096, 2, place);
        disk.spoil(disk.block);
        disk.reads_right();
        // The same by block devices, which can be read in blocks of the disk alone.
        let (image, tree, fec) = (&disk.disk.image, &disk.hash.0, &disk.fec.0);
        let devices = [image, tree, fec].map(|file| Loop::with(file, &["--sector-size", "4096"]));
        let [image, tree, fec] = devices.each_ref().map(|device| text(device.path()));
        disk.options = format!("--fec --hash-device {tree}");
        if place == FecDevices::ThreeDevices {
            disk.options += &format!(" --fec-device {fec}");
        }
        disk.disk.image = image.into();
        disk.reads_right();
    }
    // On the device of the tree, by its name.
    let mut disk = FecDisk::with(4096, 2, FecDevices::HashDevice);
    let (fec, offset) = disk.fec.clone();
    disk.options += &format!(" --fec-device {} --fec-offset {offset}", text(&fec));
    disk.spoil(disk.block);
    disk.reads_right();
}

/// One of level 0. Where it is itself what blocks of its row are verified by, the kernel calls the disk
/// corrupt while it corrects it; what is read is right all the same.
fn a_corrupt_hash_block_is_corrected() {
    let disk = FecDisk::with(512, 2, FecDevices::OneImage);
    // SHA-256 has 16 digests in such a block, and the row of none of its data blocks is that of the block.
    let level = disk.tree.levels()[0];
    let is_apart = |block: &u64| {
        let row = (disk.data_blocks + level.first_block + block) % disk.rows();
        (0..16).all(|child| (block * 16 + child) % disk.rows() != row)
    };
    let block = (disk.block / 16..level.blocks).find(is_apart).unwrap();
    let (hash, start) = &disk.hash;
    flip(hash, start + (level.first_block + block) * 512 + 100);
    disk.reads_right();
    disk.spoil(disk.block);
    disk.reads_right();

    let disk = FecDisk::new();
    let (hash, start) = &disk.hash;
    // The root block comes first.
    flip(hash, start + 4096 + disk.block / 128 * 4096 + 1000);
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    mounter(&disk.disk.line("status")).is(3, &["corrupt"]);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

fn more_than_can_be_corrected() {
    let disk = FecDisk::new();
    disk.row().take(3).for_each(|block| disk.spoil(block));
    disk.is_corrupt(&disk.options);
    let line = disk.disk.mount_line(&disk.options);
    let mut sidecar = Sidecar::start("disk-mounter", &line.replacen("mount", "sidecar", 1));
    sidecar.wait_for("ready:");
    let error = fs::read(disk.disk.mount_point().join("model.safetensors")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    sidecar.wait_for("is corrupt");
    sidecar
        .terminate()
        .is(3, &["model.safetensors", "is not what the root hash says"]);
}

/// Whoever does not know of the area, or does not ask for it, reads the disk as any other.
fn without_the_option() {
    for place in [
        FecDevices::OneImage,
        FecDevices::HashDevice,
        FecDevices::ThreeDevices,
    ] {
        let disk = FecDisk::with(4096, 2, place);
        let options = match place {
            FecDevices::OneImage => String::new(),
            _ => format!("--hash-device {}", text(&disk.hash.0)),
        };
        mounter(&disk.disk.mount_line(&options)).is(0, &[]);
        assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
        let status = disk.status();
        assert_eq!(status["fec"], false);
        assert_eq!(status["fec_corrected"], serde_json::Value::Null);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
        disk.disk.flip(in_the_largest_file(&disk.disk));
        disk.is_corrupt(&options);
        disk.reads_right();
    }
}

/// What is in the area is never believed: it corrects, or it does not.
fn hostile_areas() {
    let parity = |disk: &FecDisk| disk.rows() * disk.roots * disk.block_size;
    type Change = fn(&FecDisk, u64);
    let changes: [Change; 4] = [
        |disk, bytes| spoil(&disk.fec.0, disk.fec.1, bytes),
        |disk, bytes| write(&disk.fec.0, disk.fec.1, &vec![0; bytes as usize]),
        |disk, bytes| write(&disk.fec.0, disk.fec.1, &vec![0xff; bytes as usize]),
        // The parity of other rows.
        |disk, bytes| {
            let row = disk.roots * disk.block_size;
            let mut area = vec![0; bytes as usize];
            let file = File::open(&disk.fec.0).unwrap();
            file.read_exact_at(&mut area, disk.fec.1).unwrap();
            area.rotate_left(row as usize);
            write(&disk.fec.0, disk.fec.1, &area);
        },
    ];
    for change in changes {
        let disk = FecDisk::new();
        change(&disk, parity(&disk));
        // As long as nothing is corrupt, nobody looks at it.
        disk.reads_right();
        disk.spoil(disk.block);
        disk.is_corrupt(&disk.options);
    }
    // One of another number of roots.
    let disk = FecDisk::with(4096, 4, FecDevices::OneImage);
    disk.spoil(disk.block);
    disk.is_corrupt("--fec --fec-roots 3");
    // Bytes of the disk itself in its place.
    let disk = FecDisk::with(4096, 2, FecDevices::ThreeDevices);
    disk.spoil(disk.block);
    for file in [&disk.disk.image, &disk.hash.0] {
        let bytes = fs::read(file).unwrap();
        fs::write(&disk.fec.0, &bytes[..parity(&disk) as usize]).unwrap();
        disk.is_corrupt(&disk.options);
    }
}

#[track_caller]
fn refused(disk: &FecDisk, options: &str, code: i32, words: &[&str]) {
    let before = Leftovers::look();
    mounter(&disk.disk.mount_line(options)).is(code, words);
    before.check();
}

fn areas_that_cannot_be() {
    let disk = FecDisk::new();
    let (_, start) = disk.fec;
    let end = fs::metadata(&disk.disk.image).unwrap().len();
    refused(
        &disk,
        "--fec --fec-roots 24",
        3,
        &["no whole FEC area", "24 roots"],
    );
    let far = format!("--fec --fec-offset {}", start + 4096);
    refused(&disk, &far, 3, &["no whole FEC area", &end.to_string()]);
    let beyond = "--fec --fec-offset 8T";
    refused(&disk, beyond, 3, &["no whole FEC area"]);
    let most = format!("--fec --fec-offset {}", u64::MAX / 4096 * 4096);
    refused(&disk, &most, 2, &["FEC offset", "too large"]);
    let within = format!("--fec --fec-offset {}", start - 4096);
    refused(&disk, &within, 3, &["within the hash tree"]);
    refused(&disk, "--fec --fec-offset 0", 3, &["within the hash tree"]);
    let unaligned = format!("--fec --fec-offset {}", start + 512);
    refused(&disk, &unaligned, 2, &["not a multiple of 4096 bytes"]);
    refused(&disk, "--fec --fec-roots 25", 2, &["2 to 24"]);
    refused(&disk, "--fec-roots 2", 2, &["--fec"]);
    let absent = "--wait 0 --fec --fec-device /nowhere";
    refused(&disk, absent, 4, &["/nowhere", "no such device"]);
    let short = disk.disk.path("short");
    fs::write(&short, vec![0; 4096]).unwrap();
    let short = format!("--fec --fec-device {}", text(&short));
    refused(&disk, &short, 3, &["no whole FEC area"]);
    // Within the data of a disk whose tree is elsewhere.
    let apart = FecDisk::with(4096, 2, FecDevices::HashDevice);
    let (image, tree) = (text(&apart.disk.image), text(&apart.hash.0));
    let options = format!("--hash-device {tree} --fec --fec-device {image}");
    refused(&apart, &options, 3, &["within the data"]);

    let unequal = TestDisk::with(&["--hash-block-size", "1024"]);
    let before = Leftovers::look();
    mounter(&unequal.mount_line("--fec")).is(3, &["can have no FEC area", "one size"]);
    before.check();
}

/// Whoever writes the area, and makes all of a disk corrupt, makes its reads slow: no read of one block
/// goes further than the blocks of its row and what they are verified by.
fn what_a_corrupt_block_costs() {
    let mut disk = FecDisk::new();
    let (fec, start) = disk.fec.clone();
    spoil(&fec, start, disk.rows() * disk.roots * disk.block_size);
    // All that is not needed to mount the disk.
    (20..disk.data_blocks).for_each(|block| disk.spoil(block));
    let level = disk.tree.levels()[0];
    for block in 1..level.blocks {
        let (hash, start) = &disk.hash;
        flip(hash, start + (level.first_block + block) * 4096 + 100);
    }
    let device = Loop::new(&disk.disk.image);
    disk.disk.image = device.path().to_owned();
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &[]);
    drop_caches();
    let name = device.path().file_name().unwrap().to_str().unwrap();
    let sectors = || -> u64 {
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        let mut fields = stat.split_ascii_whitespace();
        fields.nth(2).unwrap().parse().unwrap()
    };
    let file = File::open(disk.disk.mount_point().join("model.safetensors")).unwrap();
    let before = sectors();
    let error = file.read_exact_at(&mut [0; 4096], 1 << 20).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
    let bytes = (sectors() - before) * 512;
    // The row, its parity, a tree, and what the kernel reads ahead of a file.
    let most = (255 + disk.tree.blocks()) * 4096 + (1 << 20);
    println!("one corrupt block: {bytes} bytes read");
    assert!(bytes < most, "{bytes} bytes, and {most} at most");
    drop(file);
    mounter(&disk.disk.line("status")).is(3, &["corrupt"]);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

/// The first block of the data, which tells the size of the filesystem, and so binds the geometry; and the
/// block that the root hash is of. All of the data is verified by that: the kernel calls the disk corrupt
/// while it corrects it, and what is not served by the kernel is served.
fn what_a_disk_is_judged_by_is_corrected() {
    let disk = FecDisk::with(4096, 2, FecDevices::HashDevice);
    let (hash, start) = &disk.hash;
    let with = disk.disk.mount_line(&disk.options);
    let without = disk
        .disk
        .mount_line(&format!("--hash-device {}", text(hash)));
    let reads_right = |line: &str, word: &str| {
        mounter(line).is(0, &[word]);
        assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
        mounter(&disk.disk.line("status")).is(0, &["verified"]);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
    };
    disk.spoil(0);
    reads_right(&with, "geometry bound by filesystem");
    mounter(&without).is(3, &["nothing binds"]);
    spoil(hash, *start, 4096);
    let before = Leftovers::look();
    mounter(&with).is(3, &["the disk is corrupt: dm-verity says so"]);
    before.check();
    reads_right(&format!("{with} --fuse"), "by FUSE");
    let other = with.replace(&disk.disk.root_hash, &"7".repeat(64));
    mounter(&other).is(3, &["the root hash does not match"]);
}

/// They are corrected like corrupt ones; where they cannot be, nothing is called corrupt.
fn blocks_that_cannot_be_read() {
    for kind in ["", "--fuse "] {
        let mut disk = FecDisk::new();
        let places: Vec<_> = disk.row().take(3).map(|block| block * 4096).collect();
        let device = FaultDevice::below(&mut disk.disk);
        let options = format!("{kind}{}", disk.options);
        mounter(&disk.disk.mount_line(&options)).is(0, &["is mounted at"]);
        let file = disk.disk.mount_point().join("model.safetensors");
        let right = fs::read(disk.disk.path("model/model.safetensors")).unwrap();
        device.fail_in(places[1]..places[1] + 4096);
        assert!(fs::read(&file).unwrap() == right);
        mounter(&disk.disk.line("status")).is(0, &["verified"]);
        device.fail();
        let error = fs::read(&file).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
        mounter(&disk.disk.line("status")).is(0, &["verified"]);
        device.recover();
        assert!(fs::read(&file).unwrap() == right);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
    }
}

fn an_area_that_cannot_be_read() {
    let disk = FecDisk::with(4096, 2, FecDevices::ThreeDevices);
    let device = FaultDevice::over(&disk.fec.0);
    let options = disk
        .options
        .replace(text(&disk.fec.0), text(&device.path()));
    device.fail();
    mounter(&disk.disk.mount_line(&options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    disk.spoil(disk.block);
    disk.is_corrupt(&options);
    device.recover();
    mounter(&disk.disk.mount_line(&options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

fn by_fuse() {
    let disk = FecDisk::new();
    let options = format!("--fuse {}", disk.options);
    let mount = disk.disk.mount_line(&options);
    mounter(&mount).is(0, &["by FUSE"]);
    let status = disk.status();
    assert_eq!(
        (&status["fec"], &status["fec_corrected"]),
        (&true.into(), &0.into())
    );
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    disk.row().take(2).for_each(|block| disk.spoil(block));
    let mut sidecar = Sidecar::start("disk-mounter", &mount.replacen("mount", "sidecar", 1));
    sidecar.wait_for("ready:");
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    let status = disk.status();
    assert_eq!(
        (&status["status"], &status["fec_corrected"]),
        (&"verified".into(), &2.into())
    );
    mounter(&disk.disk.line("status")).is(0, &["2 blocks corrected"]);
    sidecar.wait_for("blocks corrected so far (FEC)");
    sidecar.terminate().is(0, &["is unmounted"]);
    // One more than there are roots.
    disk.row()
        .skip(2)
        .take(1)
        .for_each(|block| disk.spoil(block));
    mounter(&mount).is(0, &["by FUSE"]);
    let error = fs::read(disk.disk.mount_point().join("model.safetensors")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    mounter(&disk.disk.line("status")).is(3, &["corrupt", "data block"]);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

/// A disk that is corrected is another mapping than one that is not.
fn run_twice() {
    for place in [FecDevices::OneImage, FecDevices::ThreeDevices] {
        let disk = FecDisk::with(4096, 2, place);
        let with = disk.disk.mount_line(&disk.options);
        mounter(&with).is(0, &["is mounted at"]);
        let mounted = Leftovers::look();
        mounter(&with).is(0, &["already"]);
        let without = with.replace("--fec --fec-roots 2", "");
        let without = match without.find(" --fec-device ") {
            Some(_) => without.replace(&format!("--fec-device {}", text(&disk.fec.0)), ""),
            None => without,
        };
        mounter(&without).is(5, &["mounted there already"]);
        mounted.check();
        // Another area, with the same bytes.
        if place == FecDevices::ThreeDevices {
            let copy = disk.disk.path("copy");
            fs::copy(&disk.fec.0, &copy).unwrap();
            let other = with.replace(text(&disk.fec.0), text(&copy));
            mounter(&other).is(5, &["mounted there already"]);
        }
        mounter(&disk.disk.line("unmount")).is(0, &[]);
        mounter(&without).is(0, &["is mounted at"]);
        mounter(&with).is(5, &["mounted there already"]);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
    }
}

fn the_sidecar_tells() {
    let disk = FecDisk::new();
    let line = disk.disk.mount_line(&disk.options);
    let mut sidecar = Sidecar::start("disk-mounter", &line.replacen("mount", "sidecar", 1));
    sidecar.wait_for("ready:");
    disk.spoil(disk.block);
    drop_caches();
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    if counts() {
        sidecar.wait_for("blocks corrected so far (FEC)");
    }
    let ended = sidecar.terminate();
    ended.is(0, &["is unmounted"]);
    assert_eq!(ended.stderr.contains("corrected"), counts(), "{ended:?}");
}

fn in_the_table() {
    let disk = FecDisk::with(4096, 3, FecDevices::OneImage);
    let line = disk.disk.mount_line(&disk.options);
    mounter(&format!("{line} --name verity --on-corruption restart")).is(0, &[]);
    let table = check("dmsetup", ["table", "verity"]);
    let covered = disk.data_blocks + disk.tree.blocks();
    let start = disk.fec.1 / 4096;
    let end = format!(" fec_blocks {covered} fec_start {start} fec_roots 3\n");
    assert!(table.ends_with(&end), "{table}");
    assert!(
        table.contains(" 9 restart_on_corruption use_fec_from_device "),
        "{table}"
    );
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}
