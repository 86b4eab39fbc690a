//! Disks that are as they should be.

use std::{
    fs,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::stat::{major, minor};

use crate::{
    Test,
    disk::{Loop, TestDisk, files},
    machine::{Leftovers, kernel_is_before, mount_line, unmount_below},
    run::{check, mounter, run},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "an_image_file_reads_as_its_source",
        an_image_file_reads_as_its_source,
    ),
    (
        "a_block_device_reads_as_its_source",
        a_block_device_reads_as_its_source,
    ),
    ("a_hash_device_of_its_own", a_hash_device_of_its_own),
    ("sha512_and_other_block_sizes", sha512_and_other_block_sizes),
    (
        "the_mount_can_do_nothing_but_read",
        the_mount_can_do_nothing_but_read,
    ),
    ("run_twice", run_twice),
    ("the_same_disk_at_two_places", the_same_disk_at_two_places),
    ("unmount_leaves_nothing", unmount_leaves_nothing),
    (
        "an_unmounted_device_is_free_at_once",
        an_unmounted_device_is_free_at_once,
    ),
    ("a_busy_mount_stays", a_busy_mount_stays),
    (
        "another_unmount_takes_all_along",
        another_unmount_takes_all_along,
    ),
    ("a_device_that_comes_late", a_device_that_comes_late),
    ("status_in_words_and_json", status_in_words_and_json),
    (
        "on_corruption_goes_into_the_table",
        on_corruption_goes_into_the_table,
    ),
    ("on_error_goes_into_the_table", on_error_goes_into_the_table),
    (
        "the_target_of_this_kernel_is_new_enough",
        the_target_of_this_kernel_is_new_enough,
    ),
    ("an_image_is_read_directly", an_image_is_read_directly),
    (
        "blocks_smaller_than_the_sectors",
        blocks_smaller_than_the_sectors,
    ),
    ("read_ahead_is_set", read_ahead_is_set),
    ("a_mount_point_with_blanks", a_mount_point_with_blanks),
    (
        "veritysetup_opens_the_same_disk",
        veritysetup_opens_the_same_disk,
    ),
];

#[track_caller]
fn reads_as_its_source(disk: &TestDisk, line: &str) {
    mounter(line).is(0, &["is mounted at", &disk.root_hash]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("status")).is(0, &["verified", &disk.root_hash]);
    mounter(&disk.line("unmount")).is(0, &[]);
    assert_eq!(mount_line(&disk.mount_point()), None);
}

fn an_image_file_reads_as_its_source() {
    let disk = TestDisk::new();
    reads_as_its_source(&disk, &disk.mount_line(""));
}

fn a_block_device_reads_as_its_source() {
    let mut disk = TestDisk::new();
    let device = Loop::new(&disk.image);
    disk.image = device.path().to_owned();
    reads_as_its_source(&disk, &disk.mount_line(""));
}

fn a_hash_device_of_its_own() {
    let mut disk = TestDisk::filesystem();
    let hash_device = disk.path("tree");
    let options = format!("--hash-device {}", hash_device.display());
    let printed = check(
        "disk-builder",
        format!("hash {} {options}", disk.image.display()).split(' '),
    );
    disk.root_hash = crate::disk::root_hash(&printed);
    reads_as_its_source(&disk, &disk.mount_line(&options));
    let (data, tree) = (Loop::new(&disk.image), Loop::new(&hash_device));
    disk.image = data.path().to_owned();
    reads_as_its_source(
        &disk,
        &disk.mount_line(&format!("--hash-device {}", tree.path().display())),
    );
}

fn sha512_and_other_block_sizes() {
    for options in [
        &["--hash", "sha512"][..],
        &["--data-block-size", "1024", "--hash-block-size", "2048"],
        &["--data-block-size", "512", "--hash-block-size", "8192"],
    ] {
        let disk = TestDisk::with(options);
        reads_as_its_source(&disk, &disk.mount_line(""));
    }
}

fn the_mount_can_do_nothing_but_read() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("")).is(0, &[]);
    let line = mount_line(&disk.mount_point()).unwrap();
    let fields: Vec<_> = line.split(' ').collect();
    assert_eq!(fields[2], "erofs");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(
            fields[3].split(',').any(|set| set == option),
            "{option} in {line}"
        );
    }
    fs::write(disk.mount_point().join("new"), "").unwrap_err();
    run(
        "mount",
        ["-o", "remount,rw", disk.mount_point().to_str().unwrap()],
    );
    fs::write(disk.mount_point().join("new"), "").unwrap_err();
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn run_twice() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("")).is(0, &["is mounted at"]);
    let mounted = Leftovers::look();
    mounter(&disk.mount_line("")).is(0, &["already"]);
    mounted.check();
    // The same disk by another path is the same disk.
    let link = disk.path("link");
    std::os::unix::fs::symlink(&disk.image, &link).unwrap();
    let line = disk
        .mount_line("")
        .replace(disk.image.to_str().unwrap(), link.to_str().unwrap());
    mounter(&line).is(0, &["already"]);
    mounter(&disk.line("unmount")).is(0, &[]);

    let device = Loop::new(&disk.image);
    let line = disk.mount_line("").replace(
        disk.image.to_str().unwrap(),
        device.path().to_str().unwrap(),
    );
    mounter(&line).is(0, &["is mounted at"]);
    mounter(&line).is(0, &["already"]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn the_same_disk_at_two_places() {
    let disk = TestDisk::new();
    let device = Loop::new(&disk.image);
    let other = disk.path("other");
    let mount = |mount_point: &Path| {
        let (device, mount_point) = (device.path().display(), mount_point.display());
        mounter(&format!(
            "mount --root-hash {} {device} {mount_point}",
            disk.root_hash
        ))
    };
    mount(&disk.mount_point()).is(0, &[]);
    mount(&other).is(0, &["in a mapping that was there"]);
    // The first to go does not take it from the other.
    mounter(&disk.line("unmount")).is(0, &["in use by another mount"]);
    assert_eq!(files(&other), disk.files);
    mounter(&format!("unmount {}", other.display())).is(0, &[]);
}

fn unmount_leaves_nothing() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    mounter(&disk.mount_line("")).is(0, &[]);
    assert_ne!(Leftovers::look(), before);
    mounter(&disk.line("unmount")).is(0, &[]);
    before.check();
    mounter(&disk.line("unmount")).is(4, &["not mounted"]);
    mounter(&disk.line("status")).is(4, &["not mounted"]);
}

/// The kernel removes a mapping with its last user, and lets go of the device a moment later: whoever
/// unmounted it does not have to know. Who comes first differs from time to time.
fn an_unmounted_device_is_free_at_once() {
    let mut disk = TestDisk::new();
    let device = Loop::new(&disk.image);
    disk.image = device.path().into();
    let mut alone = fs::OpenOptions::new();
    alone.read(true).custom_flags(libc::O_EXCL);
    for round in 0..30 {
        mounter(&disk.mount_line("")).is(0, &[]);
        let busy = alone.open(device.path()).unwrap_err();
        assert_eq!(busy.raw_os_error(), Some(libc::EBUSY));
        mounter(&disk.line("unmount")).is(0, &[]);
        let free = alone.open(device.path());
        assert!(free.is_ok(), "round {round}: {free:?}");
    }
}

fn a_busy_mount_stays() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("")).is(0, &[]);
    let open = fs::File::open(disk.mount_point().join("config.json")).unwrap();
    mounter(&disk.line("unmount")).is(5, &["in use"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    drop(open);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn another_unmount_takes_all_along() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    mounter(&disk.mount_line("")).is(0, &[]);
    check("umount", [disk.mount_point()]);
    before.check();
}

fn a_device_that_comes_late() {
    let disk = TestDisk::new();
    let late = disk.path("late");
    let line = disk
        .mount_line("--wait 0")
        .replace(disk.image.to_str().unwrap(), late.to_str().unwrap());
    mounter(&line).is(4, &["no such device", "after 0 s"]);
    let line = line.replace("--wait 0", "--wait 600");
    let mut waiting = Command::new("disk-mounter")
        .args(line.split(' ').filter(|word| !word.is_empty()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    fs::rename(&disk.image, &late).unwrap();
    assert!(waiting.wait().unwrap().success());
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn status_in_words_and_json() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("--name a-name")).is(0, &["mapping a-name"]);
    let printed = mounter(&disk.line("status --json")).stdout;
    let status: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(status["status"], "verified");
    assert_eq!(status["name"], "a-name");
    assert_eq!(status["root_hash"], *disk.root_hash);
    assert_eq!(status["mount_point"], *disk.mount_point().to_str().unwrap());
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn on_corruption_goes_into_the_table() {
    let disk = TestDisk::new();
    for (choice, argument) in [
        ("restart", Some("restart_on_corruption")),
        ("panic", Some("panic_on_corruption")),
        ("eio", None),
    ] {
        mounter(&disk.mount_line(&format!("--name verity --on-corruption {choice}"))).is(0, &[]);
        let table = check("dmsetup", ["table", "verity"]);
        let end = argument.map_or("-".to_owned(), |argument| format!("1 {argument}"));
        assert!(
            table.trim_end().ends_with(&end) || argument.is_none(),
            "{table}"
        );
        assert_eq!(
            table.contains("_on_corruption"),
            argument.is_some(),
            "{table}"
        );
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

/// Linux 6.12 and later have it, and the others say so before anything is activated.
fn on_error_goes_into_the_table() {
    let disk = TestDisk::new();
    for (choice, argument) in [("restart", "restart_on_error"), ("panic", "panic_on_error")] {
        let before = Leftovers::look();
        let line = disk.mount_line(&format!("--name verity --on-error {choice}"));
        if kernel_is_before([6, 12]) {
            let (_, version) = verity_version();
            mounter(&line).is(6, &[argument, &version, "Linux 6.12"]);
            before.check();
            continue;
        }
        mounter(&line).is(0, &[]);
        let table = check("dmsetup", ["table", "verity"]);
        assert!(table.ends_with(&format!(" 1 {argument}\n")), "{table}");
        // The same disk with another option is another mapping.
        mounter(&disk.mount_line("")).is(5, &["mounted there already"]);
        mounter(&disk.line("unmount")).is(0, &[]);
        let line = format!("{line} --on-corruption panic");
        mounter(&line).is(0, &[]);
        let table = check("dmsetup", ["table", "verity"]);
        let end = format!(" 2 panic_on_corruption {argument}\n");
        assert!(table.ends_with(&end), "{table}");
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

/// The version of the kernel's verity target, and its first two numbers as messages have them.
pub(crate) fn verity_version() -> (Vec<u32>, String) {
    let targets = check("dmsetup", ["targets"]);
    let line = targets.lines().find(|line| line.starts_with("verity "));
    let (_, version) = line.unwrap().rsplit_once('v').unwrap();
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
    let shown = format!("({}.{})", numbers[0], numbers[1]);
    (numbers, shown)
}

fn the_target_of_this_kernel_is_new_enough() {
    let (version, _) = verity_version();
    assert!(version >= vec![1, 9], "{version:?}");
    let disk = TestDisk::new();
    reads_as_its_source(&disk, &disk.mount_line(""));
}

/// An ext4 on a loop device with sectors of this size, mounted. Dropped, it goes.
struct OnExt4 {
    folder: PathBuf,
    _device: Loop,
}

impl OnExt4 {
    fn new(disk: &TestDisk, sectors: &str) -> Self {
        let (file, folder) = (disk.path("ext4"), disk.path("on-ext4"));
        let created = fs::File::create(&file).unwrap();
        created.set_len(64 << 20).unwrap();
        let device = Loop::with(&file, &["--sector-size", sectors]);
        let node = device.path().to_str().unwrap();
        check("mke2fs", ["-q", "-t", "ext4", "-b", "4096", node]);
        fs::create_dir_all(&folder).unwrap();
        check("mount", ["-t", "ext4", node, folder.to_str().unwrap()]);
        Self {
            folder,
            _device: device,
        }
    }

    /// Copies a file onto it.
    fn copy(&self, file: &Path) -> PathBuf {
        let copy = self.folder.join("image");
        fs::copy(file, &copy).unwrap();
        copy
    }
}

impl Drop for OnExt4 {
    fn drop(&mut self) {
        unmount_below(&self.folder);
    }
}

/// What is tried before is no reason to do without.
fn an_image_is_read_directly() {
    let mut disk = TestDisk::new();
    let ext4 = OnExt4::new(&disk, "512");
    disk.image = ext4.copy(&disk.image);
    let outcome = mounter(&disk.mount_line(""));
    outcome.is(0, &["is mounted at"]);
    assert!(!outcome.stderr.contains("page cache"), "{outcome:?}");
    let line = check(
        "losetup",
        [
            "--noheadings",
            "--output",
            "DIO",
            "--associated",
            disk.image.to_str().unwrap(),
        ],
    );
    assert_eq!(line.trim(), "1");
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// A device cannot be read in them; an image file on such a device can, through the page cache.
fn blocks_smaller_than_the_sectors() {
    for (options, smallest) in [
        (&["--data-block-size", "1024"][..], "1024"),
        (&["--hash-block-size", "512"], "512"),
        (
            &["--data-block-size", "2048", "--hash-block-size", "1024"],
            "2048",
        ),
    ] {
        let mut disk = TestDisk::with(options);
        let image = disk.image.clone();
        {
            let device = Loop::with(&image, &["--sector-size", "4096"]);
            disk.image = device.path().to_owned();
            let before = Leftovers::look();
            let (blocks, sectors) = (format!("blocks of {smallest} bytes"), "blocks have 4096");
            mounter(&disk.mount_line("")).is(6, &[&blocks, sectors]);
            before.check();
        }
        disk.image = image;
        {
            // Another program's loop device would do, but for its sectors.
            let _theirs = Loop::with(&disk.image, &["--read-only", "--sector-size", "4096"]);
            reads_as_its_source(&disk, &disk.mount_line(""));
        }
        let ext4 = OnExt4::new(&disk, "4096");
        disk.image = ext4.copy(&disk.image);
        reads_as_its_source(&disk, &disk.mount_line(""));
    }
    let mut disk = TestDisk::new();
    let ext4 = OnExt4::new(&disk, "4096");
    disk.image = ext4.copy(&disk.image);
    reads_as_its_source(&disk, &disk.mount_line(""));
}

fn read_ahead_is_set() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("--read-ahead 3M")).is(0, &[]);
    let device = fs::metadata(disk.mount_point()).unwrap().dev();
    let folder = format!("/sys/dev/block/{}:{}/queue", major(device), minor(device));
    assert_eq!(
        fs::read_to_string(format!("{folder}/read_ahead_kb")).unwrap(),
        "3072\n"
    );
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_mount_point_with_blanks() {
    let disk = TestDisk::new();
    let mount_point = disk.path("a place\nwith \\ blanks");
    let (image, mount_point) = (disk.image.to_str().unwrap(), mount_point.to_str().unwrap());
    let mount = ["mount", "--root-hash", &disk.root_hash, image, mount_point];
    run("disk-mounter", mount).is(0, &["is mounted at"]);
    run("disk-mounter", mount).is(0, &["already"]);
    run("disk-mounter", ["status", mount_point]).is(0, &["verified"]);
    run("disk-mounter", ["unmount", mount_point]).is(0, &[]);
}

fn veritysetup_opens_the_same_disk() {
    let disk = TestDisk::new();
    let image = disk.image.to_str().unwrap();
    let offset = format!("--hash-offset={}", disk.data_bytes);
    check(
        "veritysetup",
        ["open", image, "theirs", image, &disk.root_hash, &offset],
    );
    let theirs = check("dmsetup", ["table", "theirs"]);
    check("veritysetup", ["close", "theirs"]);
    mounter(&disk.mount_line("--name ours")).is(0, &[]);
    let ours = check("dmsetup", ["table", "ours"]);
    // All but the loop devices is the same: they add nothing to the table, and leave nothing out.
    let without_devices = |table: &str| -> Vec<String> {
        let fields = table.split_ascii_whitespace().enumerate();
        fields
            .filter(|(index, _)| !(4..6).contains(index))
            .map(|(_, field)| field.to_owned())
            .collect()
    };
    assert_eq!(without_devices(&ours), without_devices(&theirs));
    mounter(&disk.line("unmount")).is(0, &[]);
}
