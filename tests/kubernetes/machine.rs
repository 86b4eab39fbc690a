//! What the machine has of disks and pods.

use std::{
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

use crate::run::until;

/// Where the kubelet keeps what belongs to pods.
pub(crate) const PODS: &str = "/var/lib/kubelet/pods";

/// Where the manifests have the disk, on the node, for the pod with this UID.
pub(crate) fn disk_of(uid: &str) -> PathBuf {
    Path::new(PODS)
        .join(uid)
        .join("volumes/kubernetes.io~empty-dir/model/disk")
}

/// The mount points below a folder.
pub(crate) fn mounts_below(folder: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    points
        .filter(|point| Path::new(point).starts_with(folder))
        .map(str::to_owned)
        .collect()
}

/// The names of the mappings that show a device such as `/dev/loop0`.
pub(crate) fn mappings_of(device: &str) -> Vec<String> {
    let device = device.trim_start_matches("/dev/");
    mappings(|folder| folder.path().join("slaves").join(device).exists())
}

fn mappings(is_meant: impl Fn(&DirEntry) -> bool) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").unwrap().map(Result::unwrap);
    let names = devices
        .filter(is_meant)
        .filter_map(|device| fs::read_to_string(device.path().join("dm/name")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

/// Waits, after all tests, until there is no folder of a pod, no mount in one, no mapping, and no loop
/// device that shows a file.
pub(crate) fn wait_until_nothing_is_left() {
    until("nothing is left on the node", || {
        let no_pod = fs::read_dir(PODS).unwrap().next().is_none();
        let no_mount = mounts_below(Path::new(PODS)).is_empty();
        let mut devices = fs::read_dir("/sys/block").unwrap().map(Result::unwrap);
        let no_loop = !devices.any(|device| device.path().join("loop/backing_file").exists());
        (no_pod && no_mount && no_loop && mappings(|_| true).is_empty()).then_some(())
    });
}
