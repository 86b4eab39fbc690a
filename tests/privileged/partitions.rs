//! Disks with a partition for the data and one for its tree, as `systemd-repart` makes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use test_support::partitions::{LINUX, ROOT, ROOT_VERITY, entry, seal};

use crate::{
    Test,
    disk::{Loop, TestDisk, files, flip, write},
    foreign::make_ext4,
    machine::{Leftovers, drop_caches, mount_line},
    run::{check, mounter, text},
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "as_privatemodes_older_container_is_called",
        as_privatemodes_older_container_is_called,
    ),
    (
        "types_of_the_discoverable_partitions",
        types_of_the_discoverable_partitions,
    ),
    (
        "corrupt_blocks_in_either_partition",
        corrupt_blocks_in_either_partition,
    ),
    (
        "partitions_that_are_not_the_disk",
        partitions_that_are_not_the_disk,
    ),
    (
        "an_fec_area_in_the_hash_partition",
        an_fec_area_in_the_hash_partition,
    ),
    ("sectors_of_4096_bytes", sectors_of_4096_bytes),
    ("a_table_at_its_end_alone", a_table_at_its_end_alone),
    ("the_next_run_finds_it", the_next_run_finds_it),
    (
        "each_device_shows_its_partition",
        each_device_shows_its_partition,
    ),
];

/// Where a partition is, in bytes.
#[derive(Clone, Copy, Debug)]
struct PartitionPlace {
    start: u64,
    bytes: u64,
}

/// A disk that was made by `systemd-repart`.
struct RepartDisk {
    disk: TestDisk,
    data: PartitionPlace,
    hash: PartitionPlace,
}

impl RepartDisk {
    /// As in Privatemode's guide: both partitions have a type that tells nothing, and no UUID.
    fn privatemode() -> Self {
        Self::with(
            "Type=linux-generic\nUUID=null",
            "Type=linux-generic\nUUID=null",
        )
    }

    /// The content is copied: what is tested here is no `mkfs`.
    fn with(data: &str, hash: &str) -> Self {
        let mut disk = TestDisk::filesystem();
        make_ext4(&mut disk);
        let (ext4, definitions) = (disk.path("ext4"), disk.path("repart.d"));
        fs::rename(&disk.image, &ext4).unwrap();
        fs::create_dir(&definitions).unwrap();
        for (name, lines) in [
            (
                "00.conf",
                format!("{data}\nCopyBlocks={}\nVerity=data", ext4.display()),
            ),
            ("01.conf", format!("{hash}\nSizeMinBytes=1M\nVerity=hash")),
        ] {
            let text = format!("[Partition]\n{lines}\nVerityMatchKey=verity\n");
            fs::write(definitions.join(name), text).unwrap();
        }
        let definitions = format!("--definitions={}", definitions.display());
        let options = [
            "--dry-run=no",
            "--empty=create",
            "--size=32M",
            "--json=short",
        ];
        let printed = check(
            "systemd-repart",
            [&options[..], &[&definitions, text(&disk.image)]].concat(),
        );
        let made: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let number = |partition: usize, field: &str| made[partition][field].as_u64().unwrap();
        let place = |partition| PartitionPlace {
            start: number(partition, "offset"),
            bytes: number(partition, "raw_size"),
        };
        disk.root_hash = made[1]["roothash"].as_str().unwrap().to_owned();
        Self {
            data: place(0),
            hash: place(1),
            disk,
        }
    }

    /// The words of the older form for a device with this disk.
    fn line(&self, device: &Path, mount_point: &Path) -> String {
        format!(
            "--root-hash={} --device-path={} --mount-path={}",
            self.disk.root_hash,
            device.display(),
            mount_point.display()
        )
    }

    fn places(&self) -> [(u64, u64); 2] {
        [self.data, self.hash].map(|place| (place.start, place.bytes))
    }

    fn usual_line(&self) -> String {
        self.line(&self.disk.image, &self.disk.mount_point())
    }

    /// A sidecar on it is ready.
    fn sidecar(&self, device: &Path, mount_point: &Path) -> Sidecar {
        let mut sidecar = Sidecar::start("disk-mounter", &self.line(device, mount_point));
        sidecar.wait_for("ready:");
        sidecar
    }

    /// A sidecar refuses it, and leaves nothing behind.
    #[track_caller]
    fn is_refused(&self, options: &str, words: &[&str]) {
        let before = Leftovers::look();
        let line = format!("{} {options}", self.usual_line());
        Sidecar::start("disk-mounter", &line).end().is(3, words);
        before.check();
    }

    /// Changes the table, and makes its checksums true.
    fn change_table(&self, change: impl Fn(&mut [u8])) {
        let mut bytes = fs::read(&self.disk.image).unwrap();
        change(&mut bytes);
        seal(&mut bytes, 512);
        fs::write(&self.disk.image, bytes).unwrap();
    }
}

fn set_type(disk: &mut [u8], number: usize, partition_type: u128) {
    let at = entry(512, number);
    disk[at..at + 16].copy_from_slice(&uuid::Uuid::from_u128(partition_type).to_bytes_le());
}

fn as_privatemodes_older_container_is_called() {
    let made = RepartDisk::privatemode();
    let mount_point = made.disk.mount_point();
    let serves = |sidecar: Sidecar| {
        assert_eq!(files(&mount_point), made.disk.files);
        let status = format!("status --root-hash {}", made.disk.root_hash);
        mounter(&made.disk.line(&status)).is(0, &["verified"]);
        let mounted = mount_line(&mount_point).unwrap();
        assert!(mounted.contains(" ext4 ro,"), "{mounted}");
        sidecar.terminate().is(
            0,
            &["(partition 1) is mounted", "geometry bound by filesystem"],
        );
        assert_eq!(mount_line(&mount_point), None);
    };
    let device = Loop::new(&made.disk.image);
    for device in [&made.disk.image, device.path()] {
        serves(made.sidecar(device, &mount_point));
    }
    drop(device);
    // With blanks, and the options in another order.
    let line = made.usual_line().replace('=', " ");
    let mut sidecar = Sidecar::start("disk-mounter", &format!("--wait 5 {line}"));
    sidecar.wait_for("ready:");
    serves(sidecar);
    let wrong = made
        .usual_line()
        .replace(&made.disk.root_hash, &"1".repeat(64));
    let before = Leftovers::look();
    Sidecar::start("disk-mounter", &wrong)
        .end()
        .is(3, &["does not match"]);
    before.check();
    made.is_refused("--fs-type erofs", &["nothing binds"]);
    Sidecar::start("disk-mounter", "--device-path=/dev/null")
        .end()
        .is(2, &["--root-hash"]);
}

fn types_of_the_discoverable_partitions() {
    let made = RepartDisk::with("Type=root", "Type=root-verity");
    let disk = &made.disk;
    let mounts = |options: &str| {
        let line = disk.mount_line(&format!("--fs-type ext4 {options}"));
        mounter(&line).is(0, &["is mounted at"]);
        assert_eq!(files(&disk.mount_point()), disk.files);
        mounter(&disk.line("unmount")).is(0, &[]);
    };
    for options in [
        "--data-partition 1",
        "--hash-partition 2",
        "--data-partition 1 --hash-partition 2",
    ] {
        mounts(options);
    }
    // The type tells, also where others start like a tree.
    made.change_table(|bytes| set_type(bytes, 1, LINUX));
    mounts("--hash-partition 2");
    made.sidecar(&disk.image, &disk.mount_point())
        .terminate()
        .is(0, &["is unmounted"]);
    // Without one of the options the whole device is the disk, as ever.
    mounter(&disk.mount_line("--fs-type ext4")).is(3, &["has no ext4 filesystem"]);
}

fn corrupt_blocks_in_either_partition() {
    let made = RepartDisk::privatemode();
    let disk = &made.disk;
    let mut superblock = [0; 512];
    let image = fs::read(&disk.image).unwrap();
    superblock.copy_from_slice(&image[made.hash.start as usize..][..512]);
    let params = dm_verity::Superblock::parse(&superblock).unwrap().params;
    let root_block = made.hash.start + params.hash_block_size().bytes().max(512);
    for (at, words) in [
        (made.data.start + 1024 + 200, &["the disk is corrupt"][..]),
        (root_block, &["does not match"]),
        (made.hash.start + 88, &["does not match"]),
    ] {
        flip(&disk.image, at);
        made.is_refused("", words);
        flip(&disk.image, at);
    }
    // One that only a reader meets, on a device.
    let file = fs::read(disk.path("model/model.safetensors")).unwrap();
    let block = &file[1 << 20..][..4096];
    let at = image.chunks(4096).position(|chunk| chunk == block).unwrap();
    let device = Loop::new(&disk.image);
    let sidecar = made.sidecar(device.path(), &disk.mount_point());
    flip(&disk.image, at as u64 * 4096 + 9);
    drop_caches();
    let error = fs::read(disk.mount_point().join("model.safetensors")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    mounter(&disk.line("status")).is(3, &["corrupt"]);
    sidecar.terminate().is(3, &["data block", "is unmounted"]);
}

/// After the tree, as on any hash device.
fn an_fec_area_in_the_hash_partition() {
    let made = RepartDisk::privatemode();
    let disk = &made.disk;
    let image = fs::read(&disk.image).unwrap();
    let part = |place: PartitionPlace| &image[place.start as usize..][..place.bytes as usize];
    let superblock = part(made.hash)[..512].try_into().unwrap();
    let params = dm_verity::Superblock::parse(superblock).unwrap().params;
    let area = dm_verity::HashArea::new(&params, 0, true).unwrap();
    let tree_end = area.end(&dm_verity::TreeLayout::new(&params));
    let (data, hash) = (disk.path("data"), disk.path("hash"));
    fs::write(&data, part(made.data)).unwrap();
    fs::write(&hash, part(made.hash)).unwrap();
    let (data_blocks, size) = (params.data_blocks(), params.data_block_size());
    let words = format!(
        "format {} {hash} --salt={} --data-blocks={data_blocks} --data-block-size={size} \
         --hash-block-size={} --fec-device={hash} --fec-offset={tree_end}",
        data.display(),
        params.salt(),
        params.hash_block_size(),
        hash = hash.display(),
    );
    let printed = check("veritysetup", words.split_ascii_whitespace());
    assert!(printed.contains(&disk.root_hash), "{printed}");
    let area = fs::read(&hash).unwrap();
    assert!(area.len() as u64 <= made.hash.bytes, "it fits");
    write(&disk.image, made.hash.start, &area);

    let file = fs::read(disk.path("model/model.safetensors")).unwrap();
    let block = &file[1 << 20..][..4096];
    let at = image.chunks(4096).position(|chunk| chunk == block).unwrap();
    flip(&disk.image, at as u64 * 4096 + 9);
    let line = format!("{} --fec", made.usual_line());
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("status")).is(0, &["verified"]);
    sidecar.terminate().is(0, &["is unmounted"]);
}

fn partitions_that_are_not_the_disk() {
    let made = RepartDisk::privatemode();
    let numbers = "--data-partition 2 --hash-partition 1";
    made.is_refused(
        numbers,
        &["(partition 1) is not accepted", "its magic is missing"],
    );
    made.is_refused("--data-partition 3", &["it has no partition 3"]);
    // A third one, as a second tree. Its place is the end of the second.
    made.change_table(|bytes| {
        let (second, third) = (entry(512, 2), entry(512, 3));
        let last: [u8; 8] = bytes[second + 40..second + 48].try_into().unwrap();
        let last = u64::from_le_bytes(last);
        let first = last - 4095;
        bytes.copy_within(second..second + 128, third);
        bytes[second + 40..second + 48].copy_from_slice(&(first - 1).to_le_bytes());
        bytes[third + 32..third + 40].copy_from_slice(&first.to_le_bytes());
        let tree = made.hash.start as usize;
        bytes.copy_within(tree..tree + 512, first as usize * 512);
    });
    let many = "the partitions 2, 3 could hold the hash tree: --hash-partition says which does";
    made.is_refused("", &[many]);
    made.is_refused("--hash-partition 3", &["could hold the data"]);
    made.is_refused("--data-partition 1 --hash-partition 3", &["does not match"]);
    let line = format!(
        "{} --data-partition 1 --hash-partition 2",
        made.usual_line()
    );
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    sidecar.terminate().is(0, &["is unmounted"]);
    made.change_table(|bytes| {
        set_type(bytes, 1, ROOT);
        set_type(bytes, 2, ROOT_VERITY);
    });
    made.sidecar(&made.disk.image, &made.disk.mount_point())
        .terminate()
        .is(0, &[]);
}

/// The same partitions, in a table of such sectors.
fn sectors_of_4096_bytes() {
    let made = RepartDisk::privatemode();
    let bytes = fs::read(&made.disk.image).unwrap();
    let mut large = bytes.clone();
    large[512..made.data.start as usize].fill(0);
    let partitions = [made.data, made.hash].map(|place| {
        let sector = |at: u64| at / 4096;
        (
            LINUX,
            sector(place.start),
            sector(place.start + place.bytes) - 1,
        )
    });
    test_support::partitions::write_table(&mut large, 4096, &partitions);
    fs::write(&made.disk.image, &large).unwrap();
    let (image, mount_point) = (&made.disk.image, made.disk.mount_point());
    made.sidecar(image, &mount_point)
        .terminate()
        .is(0, &["is unmounted"]);
    let device = Loop::with(image, &["--sector-size", "4096"]);
    // Its blocks are those that this version of systemd-repart has taken.
    let small = bytes[made.hash.start as usize + 64..][..4] == 512u32.to_le_bytes();
    let mut sidecar = Sidecar::start("disk-mounter", &made.line(device.path(), &mount_point));
    if small {
        sidecar
            .end()
            .is(6, &["blocks of 512 bytes cannot be read here"]);
    } else {
        sidecar.wait_for("ready:");
        sidecar.terminate().is(0, &["is unmounted"]);
    }
    // A table of small sectors is read there as well, but not partitions that lie between blocks.
    made.change_table(|large| {
        large.copy_from_slice(&bytes);
        let at = entry(512, 2) + 40;
        large[at] -= 1;
    });
    let line = made.line(device.path(), &mount_point);
    let between = "partition 2 of";
    Sidecar::start("disk-mounter", &line)
        .end()
        .is(3, &[between, "block of the device"]);
}

fn a_table_at_its_end_alone() {
    let made = RepartDisk::privatemode();
    let mut bytes = fs::read(&made.disk.image).unwrap();
    bytes[..1 << 20].fill(0);
    assert!(bytes[bytes.len() - 512..].starts_with(b"EFI PART"));
    fs::write(&made.disk.image, bytes).unwrap();
    made.is_refused(
        "",
        &[
            "no partition table (GPT) that is accepted",
            "its signature is missing",
        ],
    );
}

/// The loop devices that show a part of something: where that starts, and how many bytes it has.
fn shown_parts() -> Vec<(u64, u64)> {
    let entries = fs::read_dir("/sys/block").unwrap().flatten();
    let mut parts = Vec::new();
    for folder in entries.map(|entry| entry.path()) {
        // One that is just going has no numbers.
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let (Some(start @ 1..), Some(limit)) = (number("loop/offset"), number("loop/sizelimit"))
        else {
            continue;
        };
        assert_eq!(number("loop/autoclear"), Some(1));
        assert_eq!(number("ro"), Some(1));
        assert_eq!(number("size"), Some(limit / 512));
        parts.push((start, limit));
    }
    parts.sort_unstable();
    parts
}

/// The kernel takes a moment to release what nobody uses any more.
fn no_part_is_shown() {
    until("no part is shown", || {
        let entries = fs::read_dir("/sys/block").unwrap().flatten();
        let offset = |folder: PathBuf| fs::read_to_string(folder.join("loop/offset")).ok();
        let mut offsets = entries.filter_map(|entry| offset(entry.path()));
        offsets.all(|offset| offset.trim() == "0")
    });
}

fn the_next_run_finds_it() {
    let made = RepartDisk::privatemode();
    let (disk, other) = (&made.disk, made.disk.path("other"));
    let device = Loop::new(&disk.image);
    for device in [&disk.image, device.path()] {
        no_part_is_shown();
        let first = made.sidecar(device, &disk.mount_point());
        first.signal(Signal::SIGKILL);
        drop(first.end());
        let mut second = Sidecar::start("disk-mounter", &made.line(device, &disk.mount_point()));
        second.wait_for("is mounted at");
        second.wait_for("ready:");
        // Another mount shares all of it.
        let third = made.sidecar(device, &other);
        assert_eq!(shown_parts(), made.places());
        assert_eq!(files(&other), disk.files);
        second.terminate().is(0, &["already"]);
        assert_eq!(files(&other), disk.files);
        third
            .terminate()
            .is(0, &["in a mapping that was there", "is unmounted"]);
    }
    // Partitions by their numbers are the same ones; other numbers are others.
    let line = disk.mount_line("--fs-type ext4 --data-partition 1");
    mounter(&line).is(0, &[]);
    mounter(&line.replace("--data-partition 1", "--hash-partition 2")).is(0, &["already"]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn each_device_shows_its_partition() {
    let made = RepartDisk::privatemode();
    let device = Loop::new(&made.disk.image);
    for device in [&made.disk.image, device.path()] {
        no_part_is_shown();
        let sidecar = made.sidecar(device, &made.disk.mount_point());
        assert_eq!(shown_parts(), made.places());
        sidecar.terminate().is(0, &["is unmounted"]);
    }
}
