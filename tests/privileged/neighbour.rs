//! Hostile neighbours: whoever else can write to the volume that the mount point is in, or has a path
//! to it, from a user and a mount namespace of their own. A workload that opens the path gets the
//! disk, or nothing.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};

use crate::{
    Test,
    container::unshared,
    disk::{Loop, TestDisk, files},
    run::{Outcome, check, mounter, run, text},
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_link_at_the_mount_point", a_link_at_the_mount_point),
    ("a_link_above_the_mount_point", a_link_above_the_mount_point),
    (
        "a_directory_that_others_can_change",
        a_directory_that_others_can_change,
    ),
    (
        "the_volume_of_a_pod_becomes_the_mounters",
        the_volume_of_a_pod_becomes_the_mounters,
    ),
    (
        "a_sub_path_of_a_volume_becomes_the_mounters",
        a_sub_path_of_a_volume_becomes_the_mounters,
    ),
    ("planted_files", planted_files),
    ("a_lock_on_the_mount_point", a_lock_on_the_mount_point),
    ("a_mount_over_the_disk", a_mount_over_the_disk),
    ("a_mount_over_the_parent", a_mount_over_the_parent),
    ("a_rename_from_elsewhere", a_rename_from_elsewhere),
    ("modes_whatever_the_umask", modes_whatever_the_umask),
    (
        "a_mapping_with_the_uuid_of_another",
        a_mapping_with_the_uuid_of_another,
    ),
    ("a_renamed_mapping", a_renamed_mapping),
    ("another_table_under_a_mount", another_table_under_a_mount),
    (
        "a_link_at_the_termination_log",
        a_link_at_the_termination_log,
    ),
    (
        "a_link_that_is_swapped_all_the_time",
        a_link_that_is_swapped_all_the_time,
    ),
    ("status_expects_a_root_hash", status_expects_a_root_hash),
    ("anybody_can_expect_a_disk", anybody_can_expect_a_disk),
];

/// The words that make a command one of a user without any rights, in another mount namespace: what
/// they do there, all who see the directory see.
const NOBODY: [&str; 8] = [
    "--mount",
    "--propagation=private",
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
];

fn nobody(words: &[&str]) -> Outcome {
    run("unshare", NOBODY.iter().chain(words))
}

fn refused(disk: &TestDisk, words: &[&str]) {
    mounter(&disk.mount_line("")).is(5, words);
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn a_link_at_the_mount_point() {
    let disk = TestDisk::new();
    let elsewhere = disk.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, disk.mount_point()).unwrap();
    refused(&disk, &["mnt is a symbolic link"]);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    // What is mounted behind a link is not told of either.
    fs::remove_file(disk.mount_point()).unwrap();
    mounter(&disk.mount_line("")).is(0, &[]);
    symlink(disk.mount_point(), disk.path("link")).unwrap();
    for command in ["status", "unmount"] {
        let line = format!("{command} {}", text(&disk.path("link")));
        mounter(&line).is(5, &["link is a symbolic link"]);
    }
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_link_above_the_mount_point() {
    let disk = TestDisk::new();
    fs::create_dir(disk.path("real")).unwrap();
    symlink("real", disk.path("link")).unwrap();
    let line = disk.mount_line("").replace("/mnt", "/link/mnt");
    mounter(&line).is(5, &["link is a symbolic link"]);
    mounter(&line.replace("/link/", "/real/../real/")).is(2, &["`..`"]);
    assert_eq!(fs::read_dir(disk.path("real")).unwrap().count(), 0);
}

fn a_directory_that_others_can_change() {
    let disk = TestDisk::new();
    let volume = disk.path("volume");
    let mount_point = volume.join("mnt");
    fs::create_dir_all(&mount_point).unwrap();
    let line = disk.mount_line("").replace("/mnt", "/volume/mnt");
    for (path, mode) in [(&volume, 0o777), (&volume, 0o775), (&mount_point, 0o1777)] {
        chmod(path, mode);
        let said = format!("{} can be changed by others", text(path));
        mounter(&line).is(5, &[&said, &format!("mode {mode:04o}")]);
        chmod(path, 0o755);
    }
    for path in [&volume, &mount_point] {
        chown(path, Some(65534), None).unwrap();
        let said = format!("{} belongs to user 65534", text(path));
        mounter(&line).is(5, &[&said]);
        chown(path, Some(0), None).unwrap();
    }
    // Nobody can take what is root's away from a sticky directory.
    chmod(&volume, 0o1777);
    mounter(&line).is(0, &[]);
    nobody(&["rmdir", text(&mount_point)]).is(1, &[]);
    mounter(&format!("unmount {}", text(&mount_point))).is(0, &[]);
}

/// As Kubernetes makes a volume that containers share: everybody may change its root.
fn the_volume_of_a_pod_becomes_the_mounters() {
    let disk = TestDisk::new();
    let volume = disk.path("volume");
    fs::create_dir(&volume).unwrap();
    check(
        "mount",
        ["-t", "tmpfs", "-o", "mode=0777", "volume", text(&volume)],
    );
    let mount_point = volume.join("disk");
    let line = disk.sidecar_line("").replace("/mnt", "/volume/disk");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("is set to 0755");
    sidecar.wait_for("ready");
    for words in [
        &["rmdir", text(&mount_point)][..],
        &["mv", text(&mount_point), text(&volume.join("other"))],
        &["mkdir", text(&volume.join("planted"))],
    ] {
        let outcome = nobody(words);
        assert_ne!(outcome.code, 0, "{words:?}");
    }
    assert_eq!(files(&mount_point), disk.files);
    sidecar.terminate().is(0, &["is unmounted"]);
    check("umount", [&volume]);
}

/// As Kubernetes makes a directory that a `subPath` names: everybody may change it too.
fn a_sub_path_of_a_volume_becomes_the_mounters() {
    let disk = TestDisk::new();
    let volume = disk.path("volume");
    let mount_point = volume.join("disk");
    fs::create_dir(&volume).unwrap();
    check(
        "mount",
        ["-t", "tmpfs", "-o", "mode=0777", "volume", text(&volume)],
    );
    fs::create_dir(&mount_point).unwrap();
    chmod(&mount_point, 0o777);
    // What somebody has put into it meanwhile is not covered.
    fs::write(mount_point.join("model.safetensors"), "theirs").unwrap();
    let line = disk.mount_line("").replace("/mnt", "/volume/disk");
    mounter(&line).is(5, &["disk is not empty"]);
    fs::remove_file(mount_point.join("model.safetensors")).unwrap();
    chmod(&mount_point, 0o777);
    mounter(&line).is(0, &["disk could be changed by everybody (mode 0777)"]);
    mounter(&format!("unmount {}", text(&mount_point))).is(0, &[]);
    nobody(&["mkdir", text(&mount_point.join("planted"))]).is(1, &[]);
    // Not what is anywhere else in it.
    let deeper = volume.join("a/disk");
    fs::create_dir_all(&deeper).unwrap();
    chmod(&deeper, 0o777);
    let line = disk.mount_line("").replace("/mnt", "/volume/a/disk");
    mounter(&line).is(5, &["a/disk can be changed by others"]);
    check("umount", [&volume]);
}

/// They would be read where the disk is gone.
fn planted_files() {
    let disk = TestDisk::new();
    // By another user, in a volume as Kubernetes makes it.
    let volume = disk.path("volume");
    fs::create_dir(&volume).unwrap();
    chmod(volume.parent().unwrap(), 0o755);
    check(
        "mount",
        ["-t", "tmpfs", "-o", "mode=0777", "volume", text(&volume)],
    );
    let planted = volume.join("disk");
    let script = format!(
        "mkdir {0} && echo theirs >{0}/model.safetensors",
        text(&planted)
    );
    nobody(&["sh", "-c", &script]).is(0, &[]);
    let line = disk.mount_line("").replace("/mnt", "/volume/disk");
    mounter(&line).is(5, &["disk belongs to user 65534"]);
    check("umount", [&volume]);
    // By whoever was root before.
    fs::create_dir(disk.mount_point()).unwrap();
    fs::write(disk.mount_point().join("model.safetensors"), "theirs").unwrap();
    refused(&disk, &["mnt is not empty"]);
    fs::remove_file(disk.mount_point().join("model.safetensors")).unwrap();
    mounter(&disk.mount_line("")).is(0, &[]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// Whoever may read the directory may lock it.
fn a_lock_on_the_mount_point() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    let before = File::open(disk.mount_point()).unwrap();
    before.lock().unwrap();
    mounter(&disk.mount_line("--wait 0")).is(0, &[]);
    let root = File::open(disk.mount_point()).unwrap();
    root.lock().unwrap();
    mounter(&disk.mount_line("--wait 0")).is(0, &["is mounted at", "already"]);
    drop((before, root));
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_mount_over_the_disk() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    check(
        "mount",
        ["-t", "tmpfs", "theirs", text(&disk.mount_point())],
    );
    let status = format!("status --root-hash {}", disk.root_hash);
    mounter(&disk.line(&status)).is(3, &["without dm-verity"]);
    sidecar.end().is(4, &["another mount covers the disk"]);
    check("umount", [disk.mount_point()]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_mount_over_the_parent() {
    let disk = TestDisk::new();
    let parent = disk.path("parent");
    fs::create_dir(&parent).unwrap();
    let line = disk.sidecar_line("").replace("/mnt", "/parent/mnt");
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready");
    check("mount", ["-t", "tmpfs", "theirs", text(&parent)]);
    fs::create_dir(parent.join("mnt")).unwrap();
    fs::write(parent.join("mnt/model.safetensors"), "theirs").unwrap();
    let status = format!("{} {}", "status --root-hash", disk.root_hash);
    let path = parent.join("mnt");
    mounter(&format!("{status} {}", text(&path))).is(4, &["not mounted"]);
    sidecar.end().is(4, &["another mount covers the disk"]);
    check("umount", [&parent]);
    mounter(&format!("unmount {}", text(&path))).is(0, &[]);
}

/// A directory on which something is mounted can be renamed where it is not, and the mount is gone.
fn a_rename_from_elsewhere() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    let (mount_point, other) = (disk.mount_point(), disk.path("other"));
    let script = format!(
        "umount {0} && mv {0} {1} && mkdir {0}",
        text(&mount_point),
        text(&other)
    );
    let outcome = unshared("--mount --propagation=private", &script);
    outcome.is(0, &[]);
    // Where it is now, nobody looks for it; and nothing has come in its place.
    sidecar
        .end()
        .is(4, &["another directory has taken its place"]);
    assert_eq!(fs::read_dir(&mount_point).unwrap().count(), 0);
    assert_eq!(files(&other), disk.files);
    mounter(&format!("unmount {}", text(&other))).is(0, &[]);
    fs::remove_dir(&mount_point).unwrap();
    fs::remove_dir(&other).unwrap();
}

/// It is named at once: no wait would end it.
fn a_mapping_with_the_uuid_of_another() {
    let disk = TestDisk::new();
    let name = hex::encode(Sha256::digest("wanted"));
    let uuid = format!("DISK-MOUNTER-{}-{}", disk.root_hash, &name[..32]);
    check(
        "dmsetup",
        ["create", "theirs", "--uuid", &uuid, "--table", "0 8 error"],
    );
    mounter(&disk.mount_line("--name wanted"))
        .is(5, &["the mapping theirs has the UUID of wanted"]);
    check("dmsetup", ["remove", "theirs"]);
}

fn a_renamed_mapping() {
    let disk = TestDisk::new();
    let line = disk.mount_line("--name first");
    let mut sidecar = Sidecar::start("disk-mounter", &disk.sidecar_line("--name first"));
    sidecar.wait_for("ready:");
    check("dmsetup", ["rename", "first", "second"]);
    // It looks again.
    let waits = || -> u64 {
        let waits = sidecar.status_field("voluntary_ctxt_switches");
        waits.parse().unwrap()
    };
    let before = waits();
    until("the sidecar has looked twice", || waits() >= before + 4);
    let status = format!("status --root-hash {}", disk.root_hash);
    mounter(&disk.line(&status)).is(0, &["verified"]);
    let elsewhere = line.replace("/mnt", "/other");
    mounter(&elsewhere).is(
        5,
        &["the mapping second has the UUID of first", "dmsetup rename"],
    );
    sidecar.terminate().is(0, &["is unmounted"]);
}

/// With root's rights, as a hole of the kernel once let it be (CVE-2022-2503).
fn another_table_under_a_mount() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("--name immutable")).is(0, &[]);
    let device = Loop::new(&disk.image);
    let table = format!("0 8 linear {} 0", text(device.path()));
    // The table is right, and not for this mapping.
    check("dmsetup", ["create", "other", "--table", &table]);
    check("dmsetup", ["remove", "other"]);
    run("dmsetup", ["load", "immutable", "--table", &table]).is(1, &["Invalid argument"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn a_link_at_the_termination_log() {
    let script = format!(
        "{}
        echo precious >/tmp/precious
        ln -s /tmp/precious /dev/termination-log
        disk-mounter mount --wait 0 --root-hash {} /absent /mnt || code=$?
        cat /tmp/precious
        rm /tmp/precious
        exit $code",
        crate::container::BARE_DEV,
        "0".repeat(64)
    );
    let outcome = unshared("--mount", &script);
    outcome.is(4, &[]);
    assert_eq!(outcome.stdout, "precious\n");
}

/// By its owner, between any two looks at it.
fn a_link_that_is_swapped_all_the_time() {
    let disk = TestDisk::new();
    let folder = disk.path("sticky");
    chmod(folder.parent().unwrap(), 0o755);
    fs::create_dir(&folder).unwrap();
    chmod(&folder, 0o1777);
    let elsewhere = disk.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let name = folder.join("mnt");
    let script = format!(
        "while :; do ln -s {1} {0}; rm {0}; mkdir {0}; rm -r {0}; done",
        text(&name),
        text(&elsewhere)
    );
    let words = [&NOBODY[..], &["sh", "-c", &script]].concat();
    let mut swapper = Command::new("unshare")
        .args(words)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("it swaps", || fs::symlink_metadata(&name).is_ok());
    let line = disk.mount_line("").replace("/mnt", "/sticky/mnt");
    let (mut mounts, mut refusals) = (0, 0);
    while mounts < 5 || refusals < 5 {
        let outcome = mounter(&line);
        if outcome.code == 0 {
            // Its own directory, which nobody else could take away.
            assert_eq!(files(&name), disk.files);
            mounter(&format!("unmount {}", text(&name))).is(0, &[]);
            fs::remove_dir(&name).unwrap();
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        match outcome.code {
            0 => mounts += 1,
            1 | 4 | 5 => refusals += 1,
            _ => panic!("{outcome:?}"),
        }
        assert!(
            mounts + refusals < 200,
            "mounted {mounts} times, refused {refusals} times"
        );
    }
    swapper.kill().unwrap();
    swapper.wait().unwrap();
    println!("mounted {mounts} times, refused {refusals} times");
}

fn modes_whatever_the_umask() {
    let disk = TestDisk::new();
    let line = disk.mount_line("").replace("/mnt", "/made/deep/mnt");
    for umask in ["000", "077"] {
        let script = format!("umask {umask}; exec disk-mounter {line}");
        run("sh", ["-c", &script]).is(0, &[]);
        for made in ["made", "made/deep"] {
            let mode = fs::metadata(disk.path(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755, "{umask} {made}");
        }
        mounter(&format!("unmount {}", text(&disk.path("made/deep/mnt")))).is(0, &[]);
        fs::remove_dir_all(disk.path("made")).unwrap();
    }
}

fn status_expects_a_root_hash() {
    let disk = TestDisk::new();
    let status = |root_hash: &str| mounter(&disk.line(&format!("status --root-hash {root_hash}")));
    status(&disk.root_hash).is(4, &[]);
    mounter(&disk.mount_line("")).is(0, &[]);
    status(&disk.root_hash).is(0, &["verified"]);
    status(&"00".repeat(32)).is(3, &["and not that with 0000"]);
    // A part of it, and all of it without a flag.
    let at = disk.path("at");
    fs::create_dir(&at).unwrap();
    let part = disk.mount_point().join("1_Pooling");
    let line = format!("status --root-hash {} {}", disk.root_hash, text(&at));
    check("mount", ["--bind", text(&part), text(&at)]);
    mounter(&line).is(3, &["only a part"]);
    check("umount", [&at]);
    check("mount", ["--bind", text(&disk.mount_point()), text(&at)]);
    mounter(&line).is(0, &["verified"]);
    check("mount", ["-o", "remount,bind,ro,exec", text(&at)]);
    mounter(&line).is(3, &["without", "noexec"]);
    check("umount", [&at]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// Without a right, and without device-mapper.
fn anybody_can_expect_a_disk() {
    let disk = TestDisk::new();
    chmod(disk.mount_point().parent().unwrap(), 0o755);
    let expect = |root_hash: &str, more: &[&str]| {
        let words = ["disk-mounter", "expect", "--root-hash", root_hash];
        nobody(&[&words[..], &[text(&disk.mount_point())], more].concat())
    };
    expect(&disk.root_hash, &[]).is(4, &[]);
    fs::create_dir(disk.mount_point()).unwrap();
    expect(&disk.root_hash, &[]).is(4, &["not mounted"]);
    mounter(&disk.mount_line("")).is(0, &[]);
    expect(&disk.root_hash, &[]).is(0, &[]);
    let outcome = expect(&disk.root_hash, &["--", "sh", "-c", "echo served; exit 7"]);
    outcome.is(7, &["served"]);
    let outcome = expect(&"ab".repeat(32), &["--", "echo", "served"]);
    outcome.is(3, &["another root hash", &disk.root_hash]);
    assert_eq!(outcome.stdout, "");
    expect(&disk.root_hash, &["--", "/no/such/program"]).is(4, &["cannot run /no/such/program"]);
    mounter(&disk.line("unmount")).is(0, &[]);
    // Neither something else that is mounted, nor the same bytes without dm-verity.
    check(
        "mount",
        ["-o", "ro", text(&disk.image), text(&disk.mount_point())],
    );
    expect(&disk.root_hash, &[]).is(3, &["no mapping of disk-mounter is below it"]);
    check("umount", [disk.mount_point()]);
}
