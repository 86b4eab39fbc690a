//! The state of the machine: what a test must leave as it was.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use crate::{
    run::{check, run},
    sidecar::until,
};

/// Mappings, loop devices, mounts and nodes that are there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leftovers {
    all: BTreeSet<String>,
    /// Loop devices that go with their last user: one whose user has just gone may be there yet.
    passing: BTreeSet<String>,
}

impl Leftovers {
    /// Looks at the machine.
    pub(crate) fn look() -> Self {
        let mut found = BTreeSet::new();
        let mut passing = BTreeSet::new();
        for device in names(Path::new("/sys/block")) {
            let folder = Path::new("/sys/block").join(&device);
            if let Ok(name) = fs::read_to_string(folder.join("dm/name")) {
                found.insert(format!("mapping {name}"));
            }
            if let Ok(file) = fs::read_to_string(folder.join("loop/backing_file")) {
                let name = format!("{device} of {file}");
                // No flag, or no file, where it goes between the two reads.
                let autoclear = fs::read_to_string(folder.join("loop/autoclear"));
                let stays = autoclear.is_ok_and(|flag| flag.trim() == "0");
                if !stays || file.trim().is_empty() {
                    passing.insert(name.clone());
                }
                found.insert(name);
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(mounts.lines().map(|line| format!("mount {line}")));
        found.extend(names(Path::new("/dev/mapper")).map(|name| format!("/dev/mapper/{name}")));
        for folder in ["/run/disk-mounter", "/dev/disk-mounter"] {
            found.extend(names(Path::new(folder)).map(|name| format!("{folder}/{name}")));
        }
        found.extend(names(Path::new("/tmp")).map(|name| format!("/tmp/{name}")));
        Self {
            all: found,
            passing,
        }
    }

    /// Nothing has come since, and nothing has gone. The kernel may take a moment to release
    /// what nobody uses any more.
    #[track_caller]
    pub(crate) fn check(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let now = Self::look();
            let more: Vec<_> = now.all.difference(&self.all).collect();
            let missing = self.all.difference(&now.all);
            let less: Vec<_> = missing
                .filter(|name| !self.passing.contains(*name))
                .collect();
            if more.is_empty() && less.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {more:#?}; missing: {less:#?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    // The way to the driver is not a mapping; it stays once it was made.
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "control")
}

/// A mapping as a run of `disk-mounter` that was killed leaves it: with its mark, and no table.
pub(crate) fn half_made(name: &str) {
    let digest = hex::encode(Sha256::digest(name));
    let uuid = format!("DISK-MOUNTER-{}-{}", "0".repeat(64), &digest[..32]);
    check("dmsetup", ["create", name, "--notable", "--uuid", &uuid]);
}

/// Lets the next read of a file go to its disk.
pub(crate) fn drop_caches() {
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Unmounts a filesystem with an image file that was mounted until now: newer kernels take a moment
/// to let the file go.
#[track_caller]
pub(crate) fn unmount_below(folder: &Path) {
    until("unmounted", || run("umount", [folder]).code == 0);
}

/// The version of Linux: `6.1.0-57-cloud-amd64`.
pub(crate) fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.trim_end().to_owned()
}

/// Whether the kernel is older than this version of Linux.
pub(crate) fn kernel_is_before(version: [u32; 2]) -> bool {
    let release = kernel_release();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap());
    [(); 2].map(|()| numbers.next().unwrap()) < version
}

/// The line of `/proc/self/mounts` for a mount point.
pub(crate) fn mount_line(mount_point: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount_point = mount_point.to_str().unwrap();
    mounts
        .lines()
        .rfind(|line| line.split(' ').nth(1) == Some(mount_point))
        .map(str::to_owned)
}
