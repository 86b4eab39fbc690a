//! Mappings and mounts that other programs made, or changed: what of them is used, and that they
//! stay theirs.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use dm_verity::{Superblock, VerityParams};

use crate::{
    Test,
    disk::{Loop, TestDisk, files, root_hash, write},
    machine::Leftovers,
    run::{check, mounter, run, text},
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "a_mapping_stays_theirs_when_a_mount_fails",
        a_mapping_stays_theirs_when_a_mount_fails,
    ),
    (
        "a_mapping_stays_theirs_after_the_last_unmount",
        a_mapping_stays_theirs_after_the_last_unmount,
    ),
    (
        "a_half_made_mapping_is_theirs",
        a_half_made_mapping_is_theirs,
    ),
    ("a_mount_without_its_flags", a_mount_without_its_flags),
    ("a_part_of_the_disk", a_part_of_the_disk),
    ("a_mount_that_is_covered", a_mount_that_is_covered),
    (
        "a_disk_that_they_opened_cut_short",
        a_disk_that_they_opened_cut_short,
    ),
    (
        "whoever_keeps_a_disk_busy_is_named",
        whoever_keeps_a_disk_busy_is_named,
    ),
];

/// A process that has something of a disk in use.
struct User(Child);

impl User {
    /// By the words of a shell.
    fn start(words: &str) -> Self {
        let script = format!("{words} && echo ready && exec sleep 600");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let user = Self(child);
        // Its name changes with the program.
        let comm = format!("/proc/{}/comm", user.0.id());
        until("it sleeps", || {
            fs::read_to_string(&comm).unwrap() == "sleep\n"
        });
        user
    }

    fn name(&self) -> String {
        format!("in use by process {} (sleep)", self.0.id())
    }

    fn end(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn whoever_keeps_a_disk_busy_is_named() {
    let disk = TestDisk::new();
    let mount_point = disk.mount_point();
    let place = text(&mount_point);
    mounter(&disk.mount_line("--name busy")).is(0, &[]);
    for words in [format!("cd {place}"), format!("exec 9<{place}/README.md")] {
        let user = User::start(&words);
        mounter(&disk.line("unmount")).is(5, &[&user.name()]);
        user.end();
    }
    let minor = check(
        "dmsetup",
        ["info", "-c", "--noheadings", "-o", "minor", "busy"],
    );
    let user = User::start(&format!("exec 9</dev/dm-{}", minor.trim()));
    mounter(&disk.line("unmount")).is(0, &["is unmounted; its mapping is", &user.name()]);
    user.end();
    // Without verification, where the mapping is to be.
    let device = Loop::new(&disk.image);
    check("mount", ["-o", "ro", text(device.path()), place]);
    let line = disk
        .mount_line("")
        .replace(text(&disk.image), text(device.path()));
    let line = line.replace("/mnt", "/other");
    let words = format!("in use by a mount without verification at {place}");
    mounter(&line).is(5, &[&words]);
    check("umount", [place]);
}

/// A disk that `veritysetup` has opened as a mapping.
struct Opened {
    name: &'static str,
    device: Loop,
}

impl Opened {
    /// `disk` becomes the block device with the same content.
    fn new(disk: &mut TestDisk, name: &'static str) -> Self {
        let device = Loop::new(&disk.image);
        let path = device.path().to_str().unwrap();
        let offset = format!("--hash-offset={}", disk.data_bytes);
        check(
            "veritysetup",
            ["open", path, name, path, &disk.root_hash, &offset],
        );
        disk.image = path.into();
        let opened = Self { name, device };
        opened.is_there();
        opened
    }

    fn node(&self) -> PathBuf {
        Path::new("/dev/mapper").join(self.name)
    }

    /// The mapping and its node.
    #[track_caller]
    fn is_there(&self) {
        assert!(check("dmsetup", ["table", self.name]).contains("verity"));
        assert!(self.node().exists(), "its node is gone");
    }

    #[track_caller]
    fn close(self) {
        self.is_there();
        check("veritysetup", ["close", self.name]);
    }
}

fn a_mapping_stays_theirs_when_a_mount_fails() {
    let mut disk = TestDisk::filesystem();
    // An incompatible feature that does not exist; the tree is made over it.
    write(&disk.image, 1024 + 80, &[0xff; 4]);
    disk.root_hash = root_hash(&check("disk-builder", [Path::new("hash"), &disk.image]));
    let theirs = Opened::new(&mut disk, "theirs");
    let before = Leftovers::look();
    mounter(&disk.mount_line("--name theirs")).is(1, &["erofs filesystem cannot be mounted"]);
    before.check();
    theirs.close();
}

fn a_mapping_stays_theirs_after_the_last_unmount() {
    let mut disk = TestDisk::new();
    let theirs = Opened::new(&mut disk, "theirs");
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    let line = disk.mount_line("--name theirs");
    mounter(&line).is(0, &["in a mapping that was there"]);
    mounter(&line).is(0, &["already"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &["theirs", "another program", "stays"]);
    before.check();

    let mut sidecar = Sidecar::start("disk-mounter", &line.replacen("mount", "sidecar", 1));
    sidecar.wait_for("ready");
    sidecar.terminate().is(0, &["another program", "stays"]);
    before.check();
    theirs.close();
}

fn a_half_made_mapping_is_theirs() {
    let disk = TestDisk::new();
    check("dmsetup", ["create", "half", "--notable"]);
    let before = Leftovers::look();
    mounter(&disk.mount_line("--name half")).is(5, &["half is taken", "another program"]);
    before.check();
    check("dmsetup", ["remove", "half"]);
}

fn a_mount_without_its_flags() {
    let disk = TestDisk::new();
    let mount_point = disk.mount_point();
    for (flags, lacks) in [
        ("ro,nosuid,nodev,exec", "without noexec,"),
        ("ro,nosuid,noexec,dev", "without nodev,"),
        ("ro,nodev,noexec,suid", "without nosuid,"),
    ] {
        mounter(&disk.mount_line("")).is(0, &[]);
        let options = format!("remount,bind,{flags}");
        check("mount", ["-o", &options, mount_point.to_str().unwrap()]);
        let before = Leftovers::look();
        mounter(&disk.mount_line("")).is(5, &["is mounted there already", lacks]);
        before.check();
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

fn a_part_of_the_disk() {
    let disk = TestDisk::new();
    let other = disk.path("other");
    mounter(&disk.mount_line("")).is(0, &[]);
    fs::create_dir(&other).unwrap();
    let bind = |from: &Path| check("mount", [Path::new("--bind"), from, &other]);
    let line = disk.mount_line("");
    let (at, instead) = (disk.mount_point(), other.to_str().unwrap());
    let line = line.replace(at.to_str().unwrap(), instead);
    bind(&disk.mount_point().join("1_Pooling"));
    mounter(&line).is(
        5,
        &["only /1_Pooling of the disk", "is mounted there already"],
    );
    check("umount", [&other]);
    // All of it by another way is the disk.
    bind(&disk.mount_point());
    mounter(&line).is(0, &["already"]);
    check("umount", [&other]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// It is in the list of mounts, and nobody can get to it: what counts is what the path shows.
fn a_mount_that_is_covered() {
    let disk = TestDisk::new();
    let folder = disk.path("folder");
    let mount_point = folder.join("mnt");
    let at = disk.mount_point();
    let line = disk
        .mount_line("")
        .replace(at.to_str().unwrap(), mount_point.to_str().unwrap());
    mounter(&line).is(0, &[]);
    check("mount", [Path::new("-ttmpfs"), Path::new("tmpfs"), &folder]);
    fs::create_dir(&mount_point).unwrap();
    let path = mount_point.display();
    mounter(&format!("status {path}")).is(4, &["not mounted"]);
    mounter(&line).is(0, &["is mounted at"]);
    assert_eq!(files(&mount_point), disk.files);
    mounter(&format!("unmount {path}")).is(0, &[]);
    check("umount", [&folder]);
    mounter(&format!("status {path}")).is(0, &["verified"]);
    mounter(&format!("unmount {path}")).is(0, &[]);
}

/// The filesystem binds the geometry only where its superblock was read through dm-verity.
fn a_disk_that_they_opened_cut_short() {
    const FEWER: u64 = 200;
    let mut disk = TestDisk::with(&["--salt", "00"]);
    let superblock = disk.superblock();
    let old = &superblock.params;
    let (algorithm, salt) = (old.algorithm(), old.salt().clone());
    let sizes = (old.data_block_size(), old.hash_block_size());
    let params = VerityParams::new(algorithm, sizes.0, sizes.1, FEWER, salt).unwrap();
    disk.set_superblock(&Superblock {
        params,
        ..superblock
    });
    let theirs = Opened::new(&mut disk, "cut");
    let mount_point = disk.mount_point();
    fs::create_dir(&mount_point).unwrap();
    let flags = Path::new("-oro,nodev,nosuid,noexec");
    check(
        "mount",
        [Path::new("-terofs"), flags, &theirs.node(), &mount_point],
    );
    // The number of blocks in the superblock of EROFS, where dm-verity does not look again.
    write(
        theirs.device.path(),
        1024 + 36,
        &(FEWER as u32).to_le_bytes(),
    );
    let line = disk.mount_line(&format!("--hash-offset {}", disk.data_bytes));
    let before = Leftovers::look();
    mounter(&line).is(3, &[]);
    before.check();
    run("umount", [&mount_point]).is(0, &[]);
    theirs.close();
}
