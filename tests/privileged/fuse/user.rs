//! Mounts of a user who is not root.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
};

use nix::sys::signal::{Signal, kill};

use super::{all_have_ended, server};
use crate::{
    disk::{TestDisk, flip, in_the_largest_file},
    machine::{drop_caches, mount_line},
    run::{Outcome, mounter, run},
};

/// The user: `nobody`, as fusermount3 wants to know the name of who calls it.
const USER: u32 = 65534;

/// A disk that everybody may read, and a directory of the user's.
struct UsersDisk {
    disk: TestDisk,
    place: PathBuf,
}

impl UsersDisk {
    fn new() -> Self {
        let disk = TestDisk::new();
        let own = disk.path("own");
        fs::create_dir(&own).unwrap();
        chown(&own, Some(USER), Some(USER)).unwrap();
        let everybodys = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        everybodys(disk.path(""), 0o755).unwrap();
        everybodys(disk.image.clone(), 0o644).unwrap();
        // As udev has it.
        everybodys("/dev/fuse".into(), 0o666).unwrap();
        let place = own.join("mnt");
        Self { disk, place }
    }

    fn mount_line(&self, command: &str) -> String {
        let (image, place) = (self.disk.image.display(), self.place.display());
        let root_hash = &self.disk.root_hash;
        format!("{command} --fuse --root-hash {root_hash} {image} {place}")
    }

    fn line(&self, command: &str) -> String {
        format!("{command} {}", self.place.display())
    }
}

/// Runs a program as the user, words separated by blanks.
#[track_caller]
fn as_user(line: &str) -> Outcome {
    let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
    let words = [&*user, &*group, "--clear-groups", "--"];
    run(
        "setpriv",
        words.into_iter().chain(line.split_ascii_whitespace()),
    )
}

#[track_caller]
fn users_mounter(line: &str) -> Outcome {
    as_user(&format!("disk-mounter {line}"))
}

pub(super) fn by_a_user() {
    let own = UsersDisk::new();
    users_mounter(&own.mount_line("mount")).is(0, &["by FUSE"]);
    let line = mount_line(&own.place).unwrap();
    let options = line.split(' ').nth(3).unwrap();
    for option in ["ro", "nosuid", "nodev", "noexec", "user_id=65534"] {
        assert!(options.split(',').any(|has| has == option), "{line}");
    }
    let model = own.disk.path("model");
    as_user(&format!("chmod 755 {}", model.display()));
    let file = own.place.join("model.safetensors");
    let sum = |file: &std::path::Path| as_user(&format!("sha256sum {}", file.display())).stdout;
    let digest = |text: String| text.split(' ').next().unwrap().to_owned();
    let expected = &own.disk.files[std::path::Path::new("model.safetensors")];
    assert_eq!(&digest(sum(&file)), expected);
    let expected = format!("status --root-hash {}", own.disk.root_hash);
    users_mounter(&own.line(&expected)).is(0, &["verified"]);
    users_mounter(&own.mount_line("mount")).is(0, &["already"]);

    flip(&own.disk.image, in_the_largest_file(&own.disk));
    drop_caches();
    assert_eq!(digest(sum(&file)), "");
    users_mounter(&own.line("status")).is(3, &["corrupt"]);
    users_mounter(&own.line("unmount")).is(0, &["is unmounted"]);
    all_have_ended();
    assert_eq!(mount_line(&own.place), None);
}

/// Whoever may mount by FUSE can give the mount any name, and answer as he likes.
pub(super) fn whom_a_user_is_believed_by() {
    let own = UsersDisk::new();
    users_mounter(&own.mount_line("mount")).is(0, &[]);
    mounter(&own.line("status")).is(3, &["user 65534 has mounted it by FUSE"]);
    let expect = format!("expect --root-hash {}", own.disk.root_hash);
    mounter(&own.line(&expect)).is(3, &["FUSE"]);
    users_mounter(&own.line(&expect)).is(3, &["FUSE"]);
    // Nor is it taken for the one that is asked for.
    mounter(&own.mount_line("mount")).is(5, &[]);
    // Root can take it away.
    mounter(&own.line("unmount")).is(0, &["is unmounted"]);
    all_have_ended();
    // What root has mounted is for everybody to see and ask.
    let disk = UsersDisk::new();
    let place = disk.disk.mount_point();
    mounter(&disk.disk.mount_line("--fuse")).is(0, &[]);
    users_mounter(&format!("status {}", place.display())).is(0, &["verified"]);
    as_user(&format!("cat {}/config.json", place.display())).is(0, &[]);
    assert_ne!(
        users_mounter(&format!("unmount {}", place.display())).code,
        0
    );
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    all_have_ended();
}

pub(super) fn a_user_whose_server_is_killed() {
    let own = UsersDisk::new();
    users_mounter(&own.mount_line("mount")).is(0, &[]);
    kill(server(), Signal::SIGKILL).unwrap();
    all_have_ended();
    users_mounter(&own.line("status")).is(4, &["has ended"]);
    users_mounter(&own.mount_line("mount")).is(0, &["nobody serves", "by FUSE"]);
    users_mounter(&own.line("status")).is(0, &["verified"]);
    kill(server(), Signal::SIGKILL).unwrap();
    all_have_ended();
    users_mounter(&own.line("unmount")).is(0, &["is unmounted"]);
    assert_eq!(mount_line(&own.place), None);
}

pub(super) fn a_user_without_fusermount() {
    let own = UsersDisk::new();
    let program = run("sh", ["-c", "command -v disk-mounter"]).stdout;
    let line = own.mount_line("mount");
    let without = as_user(&format!("env PATH=/nowhere {} {line}", program.trim()));
    without.is(6, &["fusermount3", "install the package fuse3"]);
    assert!(!own.place.exists());
}
