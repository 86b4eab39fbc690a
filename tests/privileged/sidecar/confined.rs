//! What the sidecar gives up once its disk is mounted, and that it can still do its work then.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

use super::{Sidecar, udev::Udev, until};
use crate::{
    container::VISIBLE_UDEV,
    disk::{TestDisk, in_the_largest_file},
    fault_device::FaultDevice,
    faults::sidecar_line,
};

/// To get to the mount point and read files, and to unmount.
const KEPT: u64 = CAP_DAC_READ_SEARCH | 1 << 21;
const CAP_DAC_READ_SEARCH: u64 = 1 << 2;

/// Every thread has these capabilities alone, no new privileges, and a filter of system calls.
#[track_caller]
fn has_kept_only(sidecar: &Sidecar, capabilities: u64) {
    // One that has been joined is in the list for another moment, with what it had.
    until("those that have ended are gone", || {
        let kept = format!("CapEff:\t{capabilities:016x}\n");
        let threads = sidecar.threads();
        threads.iter().all(|status| status.contains(&kept))
    });
    for status in sidecar.threads() {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim_start_matches(':').trim()
        };
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(field(set), format!("{capabilities:016x}"), "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(field(set), "0".repeat(16), "{set}");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        // Filtered.
        assert_eq!(field("Seccomp"), "2");
    }
}

#[track_caller]
fn ends_well(sidecar: Sidecar) {
    let outcome = sidecar.terminate();
    outcome.is(0, &["is unmounted"]);
    assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
}

pub(super) fn gives_up_what_it_does_not_need() {
    let mut disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    has_kept_only(&sidecar, KEPT);
    let resident = sidecar.status_field("VmRSS");
    let resident: u64 = resident.trim_end_matches(" kB").parse().unwrap();
    println!("resident: {resident} KiB");
    assert!(
        resident <= 8 << 10,
        "{resident} KiB of memory for nothing but waiting"
    );
    ends_well(sidecar);

    // The threads of a prefetch, which is held up in the middle.
    let data = in_the_largest_file(&disk) / 4096 * 4096;
    let device = FaultDevice::below(&mut disk);
    device.hang_in(data..data + 4096);
    let mut sidecar = Sidecar::start("disk-mounter", &sidecar_line(&disk, "--prefetch"));
    sidecar.wait_for("ready");
    until("it reads", || sidecar.threads().len() > 2);
    has_kept_only(&sidecar, KEPT);
    device.answer();
    sidecar.wait_for("prefetch: done");
    ends_well(sidecar);
}

/// A container may lack one of those that are kept otherwise.
pub(super) fn gives_up_what_it_does_not_have() {
    let disk = TestDisk::new();
    let line = format!(
        "--bounding-set -dac_read_search disk-mounter {}",
        sidecar_line(&disk, "")
    );
    let mut sidecar = Sidecar::start("setpriv", &line);
    sidecar.wait_for("ready");
    has_kept_only(&sidecar, KEPT & !CAP_DAC_READ_SEARCH);
    ends_well(sidecar);
}

/// Device-mapper waits for udev then, also when the mapping is removed.
pub(super) fn ends_where_udev_runs() {
    let disk = TestDisk::new();
    let udev = Udev::start();
    let script = format!(
        "set -eu
        {VISIBLE_UDEV}
        exec disk-mounter {}",
        sidecar_line(&disk, "")
    );
    let options = ["--mount", "sh", "-c", &script];
    let mut sidecar = Sidecar::spawn(Command::new("unshare").args(options));
    sidecar.wait_for("ready");
    ends_well(sidecar);
    assert!(udev.stop() >= 1, "device-mapper did not wait for udev");
}

/// The files belong to somebody else, who shows them to nobody; and the directory is root's alone.
pub(super) fn below_a_private_directory() {
    let private = |path: &Path, mode| {
        chown(path, Some(1000), Some(1000)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let disk = TestDisk::of(|model| {
        private(&model.join("model.safetensors"), 0o600);
        private(&model.join("1_Pooling"), 0o700);
    });
    let folder = disk.path("private");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    let mount_point = folder.join("mnt");
    let line = sidecar_line(&disk, "--prefetch").replace(
        disk.mount_point().to_str().unwrap(),
        mount_point.to_str().unwrap(),
    );
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("prefetch: done");
    ends_well(sidecar);
}
