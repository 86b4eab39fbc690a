//! Links and files that somebody else may have put where the output goes.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use crate::{
    disk::TestDisk,
    run::{check, run, text},
};

use super::{build, empty_device, force, names};

/// As in `/dev/disk/by-id`.
pub(super) fn a_device_by_a_link_that_is_roots() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let device = empty_device(&disk, 16);
    let folder = disk.path("by-id");
    fs::create_dir(&folder).unwrap();
    let (one, other) = (folder.join("one"), folder.join("other"));
    symlink(device.path(), &one).unwrap();
    symlink("../by-id/one", &other).unwrap();
    build(&model, &other).is(0, &[]);
    build(&model, &one).is(5, &[text(&one), "has an EROFS filesystem on it"]);
    force(&model, &one).is(0, &[]);
    // Others may put links into it as well.
    fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
    force(&model, &one).is(5, &[text(&one), "is a symbolic link"]);
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    planted(&one);
    force(&model, &one).is(5, &[text(&one), "is a symbolic link"]);
    // A link to a link of a stranger's.
    force(&model, &other).is(5, &[text(&other), "is a symbolic link"]);
}

pub(super) fn a_link_that_a_stranger_made() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let device = empty_device(&disk, 16);
    check("mke2fs", ["-q", "-F", "-t", "ext4", text(device.path())]);
    let before = fs::read(device.path()).unwrap();
    let victim = disk.path("victim");
    fs::write(&victim, "precious").unwrap();
    let shared = shared_folder(&disk);
    for (name, target) in [("device", device.path()), ("file", &victim)] {
        let link = shared.join(name);
        symlink(target, &link).unwrap();
        planted(&link);
        for build in [build, force] {
            build(&model, &link).is(5, &[text(&link), "is a symbolic link"]);
            let output = disk.path("output");
            let words = ["build", text(&model), "--output", text(&output)];
            let words = words
                .into_iter()
                .chain(["--force", "--manifest", text(&link)]);
            run("disk-builder", words).is(5, &[text(&link), "is a symbolic link"]);
            let hash = [
                "hash",
                text(&disk.image),
                "--force",
                "--hash-device",
                text(&link),
            ];
            run("disk-builder", hash).is(5, &[text(&link), "is a symbolic link"]);
        }
    }
    assert!(fs::read(device.path()).unwrap() == before);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(names(&shared), ["device", "file"]);
}

/// Of the directory, and of a file that has the name of the lock.
pub(super) fn a_lock_that_a_stranger_has() {
    let disk = TestDisk::filesystem();
    let model = disk.path("model");
    let shared = shared_folder(&disk);
    let output = shared.join("disk");
    // Whoever may read it can have it.
    let directory = File::open(&shared).unwrap();
    directory.lock().unwrap();
    build(&model, &output).is(0, &[]);

    let lock = shared.join(".other.disk-builder-lock");
    planted(&lock);
    build(&model, &shared.join("other")).is(5, &[text(&lock), "belongs to user 65534"]);
    // What looks like a leftover, but is a stranger's, stays.
    let leftover = shared.join(".disk.disk-builder-123456");
    planted(&leftover);
    force(&model, &output).is(0, &[]);
    assert!(leftover.exists());
}

/// A directory that all may write to, as `/tmp`.
fn shared_folder(disk: &TestDisk) -> PathBuf {
    let shared = disk.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(disk.path(""), Permissions::from_mode(0o755)).unwrap();
    shared
}

/// Leaves a file, or what is there, to somebody who has no right here.
fn planted(path: &Path) {
    if !path.is_symlink() {
        fs::write(path, "theirs").unwrap();
    }
    lchown(path, Some(65534), Some(65534)).unwrap();
}
