//! Disks that other systems make.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Test,
    disk::{Loop, Named, TestDisk, files, root_hash},
    machine::mount_line,
    run::{check, mounter, text},
    sidecar::Sidecar,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "privatemode_as_its_container_is_called",
        privatemode_as_its_container_is_called,
    ),
    (
        "tinfoil_pinned_by_arguments_alone",
        tinfoil_pinned_by_arguments_alone,
    ),
    (
        "privasys_with_a_header_before_the_superblock",
        privasys_with_a_header_before_the_superblock,
    ),
    (
        "containerd_with_a_salt_of_zeros",
        containerd_with_a_salt_of_zeros,
    ),
    ("squashfs", squashfs),
    ("ext4", ext4),
    ("xfs", xfs),
    ("xfs_with_small_sectors", xfs_with_small_sectors),
    (
        "filesystems_with_small_blocks",
        filesystems_with_small_blocks,
    ),
];

const ZERO_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Adds a tree by veritysetup.
fn format(disk: &mut TestDisk, hash_device: &Path, options: &[&str]) {
    let image = disk.image.clone();
    let arguments = [&["format", text(&image), text(hash_device)], options].concat();
    disk.root_hash = root_hash(&check("veritysetup", arguments));
}

/// Adds a tree after the filesystem, as most do.
pub(crate) fn format_appended(disk: &mut TestDisk, options: &[&str]) {
    let size = fs::metadata(&disk.image).unwrap().len();
    let offset = format!("--hash-offset={size}");
    let image = disk.image.clone();
    format(disk, &image, &[options, &[&offset]].concat());
    disk.data_bytes = size;
}

#[track_caller]
fn mounts(disk: &TestDisk, options: &str, binding: &str) {
    mounter(&disk.mount_line(options)).is(0, &[&format!("geometry bound by {binding}")]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// Their script: `mkfs.erofs`, then `veritysetup format` with a salt of one zero byte.
fn privatemode() -> TestDisk {
    let mut disk = TestDisk::filesystem();
    let model = disk.path("model");
    fs::remove_file(&disk.image).unwrap();
    check(
        "mkfs.erofs",
        [
            "-T0",
            "-x-1",
            "--all-root",
            &format!("-U{ZERO_UUID}"),
            text(&disk.image),
            text(&model),
        ],
    );
    format_appended(&mut disk, &[&format!("--uuid={ZERO_UUID}"), "--salt=00"]);
    disk
}

fn privatemode_as_its_container_is_called() {
    let disk = privatemode();
    mounts(&disk, "", "filesystem");
    let _device = Named::new(&disk.image, "modelweights-llama-3-0");
    let mut sidecar = Sidecar::start("disk-mounter", &format!("llama-3 0 {}", disk.root_hash));
    sidecar.wait_for("ready");
    let mount_point = Path::new("/mnt/modelweights-llama-3-0");
    assert!(mount_line(mount_point).is_some());
    assert_eq!(files(mount_point), disk.files);
    sidecar.terminate().is(0, &["is unmounted"]);
    fs::remove_dir(mount_point).unwrap();
    let wrong = "1".repeat(64);
    Sidecar::start("disk-mounter", &format!("llama-3 0 {wrong}"))
        .end()
        .is(3, &["does not match"]);
}

fn tinfoil_pinned_by_arguments_alone() {
    let mut disk = TestDisk::filesystem();
    // SHA-256 of `name@revision`.
    let salt = "5f".repeat(32);
    format_appended(&mut disk, &[&format!("--salt={salt}")]);
    let (blocks, tree) = (disk.data_bytes / 4096, disk.data_bytes + 4096);
    // Whatever their slot holds is never read.
    crate::disk::write(&disk.image, disk.data_bytes, &[0xee; 4096]);
    let options =
        format!("--no-superblock --salt {salt} --data-blocks {blocks} --hash-offset {tree}");
    mounts(&disk, &options, "arguments");
}

fn privasys_with_a_header_before_the_superblock() {
    let mut disk = TestDisk::filesystem();
    make_ext4(&mut disk);
    let tree = disk.path("tree");
    let mut header = b"PRIVASYS-VERITY-V1\nNAME=model\nVERSION=1\n".to_vec();
    header.resize(4096, 0);
    fs::write(&tree, header).unwrap();
    format(&mut disk, &tree, &["--hash-offset=4096"]);
    let options = format!(
        "--fs-type ext4 --hash-offset 4096 --hash-device {}",
        tree.display()
    );
    mounts(&disk, &options, "filesystem");

    let (data, tree) = (Loop::new(&disk.image), Loop::new(&tree));
    disk.image = data.path().to_owned();
    let options = "--fs-type ext4 --hash-offset 4096 --hash-device";
    mounts(
        &disk,
        &format!("{options} {}", tree.path().display()),
        "filesystem",
    );
}

fn containerd_with_a_salt_of_zeros() {
    let mut disk = TestDisk::filesystem();
    format_appended(&mut disk, &[&format!("--salt={}", "00".repeat(32))]);
    mounts(&disk, "", "filesystem");
}

pub(crate) fn make_squashfs(disk: &mut TestDisk) {
    let model = disk.path("model");
    fs::remove_file(&disk.image).unwrap();
    check(
        "mksquashfs",
        [
            text(&model),
            text(&disk.image),
            "-quiet",
            "-no-progress",
            "-noD",
        ],
    );
}

fn squashfs() {
    let mut disk = TestDisk::filesystem();
    make_squashfs(&mut disk);
    format_appended(&mut disk, &[]);
    mounts(&disk, "--fs-type squashfs", "filesystem");
    refused_when_larger(disk, "squashfs");
}

pub(crate) fn make_ext4(disk: &mut TestDisk) {
    make_ext4_of(disk, "4096");
}

fn make_ext4_of(disk: &mut TestDisk, block_size: &str) {
    let model = disk.path("model");
    fs::write(&disk.image, []).unwrap();
    check(
        "mke2fs",
        [
            "-q",
            "-t",
            "ext4",
            "-b",
            block_size,
            "-d",
            text(&model),
            text(&disk.image),
            "16M",
        ],
    );
    disk.files = files(&model);
}

/// The model's files; ext4 has one more folder.
fn ext4() {
    let mut disk = TestDisk::filesystem();
    make_ext4(&mut disk);
    format_appended(&mut disk, &[]);
    mounts(&disk, "--fs-type ext4", "filesystem");
    refused_when_larger(disk, "ext4");
}

fn xfs() {
    let mut disk = TestDisk::filesystem();
    let (model, mount_point) = (disk.path("model"), disk.path("xfs"));
    make_empty_xfs(&disk, "4096");
    fs::create_dir(&mount_point).unwrap();
    let device = Loop::new(&disk.image);
    check(
        "mount",
        ["-t", "xfs", text(device.path()), text(&mount_point)],
    );
    check(
        "cp",
        ["-r", &format!("{}/.", model.display()), text(&mount_point)],
    );
    check("umount", [&mount_point]);
    drop(device);
    let image = disk.image.clone();
    disk.data_bytes = fs::metadata(&image).unwrap().len();
    disk.root_hash = root_hash(&check(
        "disk-builder",
        ["hash", text(&image), "--salt", "00"].map(PathBuf::from),
    ));
    mounts(&disk, "--fs-type xfs", "filesystem");
    // Two of the same UUID at a time.
    mounter(&disk.mount_line("--fs-type xfs")).is(0, &[]);
    let copy = disk.path("copy");
    check("cp", ["--sparse=always", text(&image), text(&copy)]);
    let other = disk.path("other");
    mounter(&format!(
        "mount --fs-type xfs --root-hash {} {} {}",
        disk.root_hash,
        copy.display(),
        other.display()
    ))
    .is(0, &[]);
    mounter(&format!("unmount {}", other.display())).is(0, &[]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// As the disk's image.
pub(crate) fn make_empty_xfs(disk: &TestDisk, sector_size: &str) {
    let file = fs::File::create(&disk.image).unwrap();
    file.set_len(300 << 20).unwrap();
    let sector_size = format!("size={sector_size}");
    check("mkfs.xfs", ["-q", "-s", &sector_size, text(&disk.image)]);
}

/// dm-verity's device has sectors of the size of a data block.
fn xfs_with_small_sectors() {
    let mut disk = TestDisk::filesystem();
    make_empty_xfs(&disk, "512");
    let image = disk.image.clone();
    let hash = |options: &[&str]| {
        root_hash(&check(
            "disk-builder",
            [&["hash", text(&image)], options].concat(),
        ))
    };
    disk.root_hash = hash(&[]);
    let offset = format!("--fs-type xfs --hash-offset {}", 300 << 20);
    mounter(&disk.mount_line(&offset)).is(6, &["sectors", "mkfs.xfs -s size=4096"]);
    make_empty_xfs(&disk, "512");
    disk.root_hash = hash(&["--data-block-size", "512"]);
    mounter(&disk.mount_line(&offset)).is(0, &[]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// Nothing can be read from dm-verity's device in less than a data block.
fn filesystems_with_small_blocks() {
    let hash = |disk: &mut TestDisk, options: &[&str]| {
        let image = disk.image.clone();
        let arguments = [&["hash", text(&image)], options].concat();
        disk.root_hash = root_hash(&check("disk-builder", arguments));
    };
    let mut disk = TestDisk::filesystem();
    make_ext4_of(&mut disk, "1024");
    let image = fs::read(&disk.image).unwrap();
    hash(&mut disk, &[]);
    let both = ["1024 bytes", "4096 bytes"];
    mounter(&disk.mount_line("--fs-type ext4"))
        .is(6, &[&both[..], &["mkfs.ext4 -b 4096"]].concat());
    fs::write(&disk.image, image).unwrap();
    hash(&mut disk, &["--data-block-size", "1024"]);
    mounts(&disk, "--fs-type ext4", "geometry salt");

    // That it has the blocks is claimed alone: it is not looked at further.
    let mut disk = TestDisk::filesystem();
    let blocks = (disk.data_bytes / 1024) as u32;
    crate::disk::write(&disk.image, 1024 + 12, &[10]);
    crate::disk::write(&disk.image, 1024 + 36, &blocks.to_le_bytes());
    hash(&mut disk, &[]);
    mounter(&disk.mount_line("")).is(6, &[&both[..], &["mkfs.erofs -b 4096"]].concat());
}

/// The same filesystem on a larger disk, with a salt that binds nothing.
#[track_caller]
fn refused_when_larger(mut disk: TestDisk, fs_type: &str) {
    let size = disk.data_bytes + (1 << 20);
    fs::File::options()
        .write(true)
        .open(&disk.image)
        .unwrap()
        .set_len(size)
        .unwrap();
    format_appended(&mut disk, &[]);
    let options = format!("--fs-type {fs_type} --hash-offset {size}");
    mounter(&disk.mount_line(&options)).is(3, &["nothing binds", "--data-blocks"]);
}
