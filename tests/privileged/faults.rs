//! Devices that fail while they are in use: they give errors, flicker, go away or turn
//! corrupt. Expected is the right exit code in a bounded time, and no wrong byte ever.

use std::{fs, io, ops::Range};

use crate::{
    Test,
    disk::{TestDisk, files, in_the_largest_file, on_the_way_to_the_last_block},
    fault_device::{FaultDevice, ForgetHashBlocks},
    machine::{Leftovers, drop_caches, unmount_below},
    run::{check, mounter, text},
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "read_errors_while_it_is_mounted",
        read_errors_while_it_is_mounted,
    ),
    (
        "a_read_error_below_an_image_file",
        a_read_error_below_an_image_file,
    ),
    ("read_errors_under_a_mount", read_errors_under_a_mount),
    ("read_errors_without_a_mount", read_errors_without_a_mount),
    (
        "read_errors_are_no_corruption",
        read_errors_are_no_corruption,
    ),
    ("a_device_that_flickers", a_device_that_flickers),
    ("a_device_that_is_slow", a_device_that_is_slow),
    (
        "a_device_that_gives_other_blocks",
        a_device_that_gives_other_blocks,
    ),
    ("a_device_that_goes_away", a_device_that_goes_away),
    (
        "corruption_in_each_level_under_a_mount",
        corruption_in_each_level_under_a_mount,
    ),
    (
        "corruption_in_the_superblocks_under_a_mount",
        corruption_in_the_superblocks_under_a_mount,
    ),
    ("a_disk_without_a_tree", a_disk_without_a_tree),
];

/// The places that a mount reads one after the other: the filesystem's superblock, that of the
/// tree, the root block in user space, and a block of level 0 through dm-verity.
pub(crate) fn places(disk: &TestDisk) -> [Range<u64>; 4] {
    let levels = disk.levels();
    let (root, level_0) = (levels[levels.len() - 1].0, levels[0].0);
    assert_ne!(root, level_0, "a tree of one level");
    [0, disk.data_bytes, root, level_0].map(|start| start..start + 4096)
}

/// Reads the largest file, and checks what it gets.
#[track_caller]
pub(crate) fn read(disk: &TestDisk) -> io::Result<()> {
    let bytes = fs::read(disk.mount_point().join("model.safetensors"))?;
    assert!(
        bytes == fs::read(disk.path("model/model.safetensors")).unwrap(),
        "WRONG BYTES"
    );
    Ok(())
}

#[track_caller]
pub(crate) fn gives_an_error(disk: &TestDisk) {
    let error = read(disk).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
}

/// As soon as the kernel has forgotten what it read before.
#[track_caller]
fn gives_an_error_soon(disk: &TestDisk) {
    until("the caches are dropped", || {
        drop_caches();
        read(disk).is_err()
    });
    gives_an_error(disk);
}

fn read_errors_while_it_is_mounted() {
    let mut disk = TestDisk::new();
    let places = places(&disk);
    let device = FaultDevice::below(&mut disk);
    let before = Leftovers::look();
    for place in places {
        device.fail_in(place);
        for line in [disk.mount_line(""), disk.sidecar_line("")] {
            let outcome = mounter(&line);
            // It is no corruption, and is not told as one.
            outcome.is(1, &["Input/output error", "fault-device"]);
            assert!(!outcome.stderr.contains("corrupt"), "{outcome:?}");
            before.check();
        }
    }
    device.recover();
    mounter(&disk.mount_line("")).is(0, &[]);
    read(&disk).unwrap();
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// Its loop device is read before it is relied on. To do without direct I/O is no way out.
fn a_read_error_below_an_image_file() {
    let mut disk = TestDisk::new();
    let (file, folder) = (disk.path("ext4"), disk.path("on-ext4"));
    fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
    let device = FaultDevice::over(&file);
    let node = device.path();
    check("mke2fs", ["-q", "-t", "ext4", "-b", "4096", text(&node)]);
    fs::create_dir(&folder).unwrap();
    check("mount", ["-t", "ext4", text(&node), text(&folder)]);
    let image = fs::read(&disk.image).unwrap();
    disk.image = folder.join("image");
    fs::write(&disk.image, &image).unwrap();
    drop_caches();
    // Its last block is one of the tree, which nothing else reads that early.
    let last = &image[image.len() - 4096..];
    let on_disk = fs::read(&file).unwrap();
    let place = on_disk.chunks(4096).rposition(|block| block == last);
    let place = place.unwrap() as u64 * 4096;
    device.fail_in(place..place + 4096);
    let before = Leftovers::look();
    let outcome = mounter(&disk.mount_line(""));
    outcome.is(1, &["cannot read through it", "Input/output error"]);
    assert!(!outcome.stderr.contains("page cache"), "{outcome:?}");
    before.check();
    device.recover();
    mounter(&disk.mount_line("")).is(0, &[]);
    read(&disk).unwrap();
    mounter(&disk.line("unmount")).is(0, &[]);
    unmount_below(&folder);
}

/// An error is no corruption; when it is over, all is as before.
fn read_errors_under_a_mount() {
    let mut disk = TestDisk::new();
    let hash_block = on_the_way_to_the_last_block(&disk);
    let data = in_the_largest_file(&disk) / 4096 * 4096;
    let end = fs::metadata(&disk.image).unwrap().len();
    let _forget = ForgetHashBlocks::new();
    let device = FaultDevice::below(&mut disk);
    for place in [0..end, data..data + 4096, hash_block..hash_block + 4096] {
        let sidecar = Sidecar::ready(&disk);
        read(&disk).unwrap();
        device.fail_in(place);
        gives_an_error_soon(&disk);
        mounter(&disk.line("status")).is(0, &["verified"]);
        device.recover();
        read(&disk).unwrap();
        sidecar.terminate().is(0, &["is unmounted"]);
    }
}

/// `cat` and `extract` read the device themselves.
fn read_errors_without_a_mount() {
    let mut disk = TestDisk::new();
    let places = [
        in_the_largest_file(&disk) / 4096 * 4096,
        on_the_way_to_the_last_block(&disk),
    ];
    let device = FaultDevice::below(&mut disk);
    let out = disk.path("extracted");
    let line = |command: &str, last: &str| {
        let (image, root_hash) = (text(&disk.image), &disk.root_hash);
        format!("{command} {image} {last} --root-hash {root_hash}")
    };
    for place in places {
        device.fail_in(place..place + 4096);
        for line in [
            line("cat", "model.safetensors"),
            line("extract", text(&out)),
        ] {
            drop_caches();
            let outcome = mounter(&line);
            let said = ["cannot read model.safetensors", "Input/output error"];
            outcome.is(1, &said);
            assert!(!outcome.stderr.contains("corrupt"), "{}", outcome.stderr);
        }
        assert!(!out.join("model.safetensors").exists());
        device.recover();
        mounter(&line("extract", text(&out))).is(0, &["verified"]);
        mounter(&line("check", text(&out))).is(0, &[]);
        fs::remove_dir_all(&out).unwrap();
    }
}

/// The machine neither restarts nor panics.
fn read_errors_are_no_corruption() {
    let mut disk = TestDisk::new();
    let device = FaultDevice::below(&mut disk);
    for choice in ["restart", "panic"] {
        mounter(&disk.mount_line(&format!("--on-corruption {choice}"))).is(0, &[]);
        device.fail();
        gives_an_error_soon(&disk);
        mounter(&disk.line("status")).is(0, &["verified"]);
        device.recover();
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

fn a_device_that_flickers() {
    let mut disk = TestDisk::new();
    let device = FaultDevice::below(&mut disk);
    let sidecar = Sidecar::ready(&disk);
    // It answers for a second, and fails for a second.
    device.through("flakey", "1 1");
    let (mut well, mut failed) = (0, 0);
    while well < 5 || failed < 5 {
        match read(&disk) {
            Ok(()) => well += 1,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
                failed += 1;
            }
        }
        drop_caches();
    }
    mounter(&disk.line("status")).is(0, &["verified"]);
    device.recover();
    read(&disk).unwrap();
    sidecar.terminate().is(0, &["is unmounted"]);
}

fn a_device_that_is_slow() {
    let mut disk = TestDisk::new();
    let device = FaultDevice::below(&mut disk);
    device.through("delay", "100");
    mounter(&disk.mount_line("--wait 0")).is(0, &[]);
    read(&disk).unwrap();
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// What is on the disk is right, what comes from it is not.
fn a_device_that_gives_other_blocks() {
    let mut disk = TestDisk::new();
    let [_, superblock, root, level_0] = places(&disk);
    let data = in_the_largest_file(&disk) / 4096 * 4096;
    let device = FaultDevice::below(&mut disk);
    for place in [superblock, root, level_0] {
        device.lie_in(place);
        mounter(&disk.mount_line("")).is(3, &[]);
        device.recover();
    }
    let mut sidecar = Sidecar::ready(&disk);
    device.lie_in(data..data + 4096);
    gives_an_error(&disk);
    sidecar.wait_for("it lies in model.safetensors");
    sidecar.terminate().is(3, &["is corrupt", "is unmounted"]);
}

fn a_device_that_goes_away() {
    let mut disk = TestDisk::new();
    let before = Leftovers::look();
    let device = FaultDevice::below(&mut disk);
    let sidecar = Sidecar::ready(&disk);
    device.fail();
    gives_an_error(&disk);
    sidecar.terminate().is(0, &["is unmounted"]);
    // The image of a loop device that somebody detached, and of one that was deleted.
    device.recover();
    drop(device);
    disk.image = disk.path("image");
    mounter(&disk.mount_line("")).is(0, &[]);
    for line in check("losetup", ["--noheadings", "--output", "NAME,BACK-FILE"]).lines() {
        if line.ends_with(disk.image.to_str().unwrap()) {
            check("losetup", ["--detach", line.split(' ').next().unwrap()]);
        }
    }
    fs::remove_file(&disk.image).unwrap();
    drop_caches();
    // The mapping still holds it.
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &[]);
    before.check();
}

/// What was read and verified before may still be in memory. A read gives the right bytes or an
/// error.
fn corruption_in_each_level_under_a_mount() {
    let disk = TestDisk::with(&["--hash-block-size", "512"]);
    let levels = disk.levels();
    assert!(levels.len() >= 3, "{levels:?}");
    let _forget = ForgetHashBlocks::new();
    for (start, end) in levels {
        mounter(&disk.mount_line("")).is(0, &[]);
        read(&disk).unwrap();
        let blocks = (start..end).step_by(512);
        blocks.clone().for_each(|block| disk.flip(block));
        gives_an_error_soon(&disk);
        mounter(&disk.line("status")).is(3, &["corrupt"]);
        mounter(&disk.line("unmount")).is(0, &[]);
        blocks.for_each(|block| disk.flip(block));
    }
}

fn corruption_in_the_superblocks_under_a_mount() {
    let disk = TestDisk::new();
    let remount_is_refused = || {
        mounter(&disk.mount_line("")).is(3, &[]);
        mounter(&disk.line("unmount")).is(0, &[]);
        mounter(&disk.mount_line("")).is(3, &[]);
    };
    mounter(&disk.mount_line("")).is(0, &[]);
    // The magic of the tree's superblock, which is not read any more.
    disk.flip(disk.data_bytes);
    drop_caches();
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("status")).is(0, &["verified"]);
    remount_is_refused();
    disk.flip(disk.data_bytes);

    mounter(&disk.mount_line("")).is(0, &[]);
    // That of the filesystem, whose block has the root directory too.
    disk.flip(1024);
    drop_caches();
    let error = fs::read_dir(disk.mount_point()).and_then(|mut entries| entries.next().transpose());
    assert_eq!(error.unwrap_err().raw_os_error(), Some(nix::libc::EIO));
    mounter(&disk.line("status")).is(3, &["corrupt"]);
    remount_is_refused();
}

/// Nothing is mounted without verification because the means for it are not there.
fn a_disk_without_a_tree() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    let superblock = disk.superblock();
    disk.flip(disk.data_bytes);
    mounter(&disk.mount_line("")).is(3, &["superblock"]);
    let length = fs::metadata(&disk.image).unwrap().len() - disk.data_bytes;
    crate::disk::write(&disk.image, disk.data_bytes, &vec![0; length as usize]);
    mounter(&disk.mount_line("")).is(3, &["superblock"]);
    disk.set_superblock(&superblock);
    mounter(&disk.mount_line("")).is(3, &["does not match"]);
    let absent = disk.path("absent");
    let line = disk.mount_line(&format!("--wait 0 --hash-device {}", absent.display()));
    mounter(&line).is(4, &["absent"]);
    before.check();
}
