//! What the sidecar gives up once its disk is mounted, and that it can still do its work then.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

use nix::unistd::Pid;

use super::{
    Sidecar,
    process::{open_files, status_field, threads},
    udev::Udev,
    until,
};
use crate::{
    container::VISIBLE_UDEV,
    disk::{TestDisk, in_the_largest_file},
    fault_device::FaultDevice,
};

/// To unmount.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Every thread of a process is this user's, with these capabilities alone, no new privileges, and a
/// filter of system calls.
#[track_caller]
fn has_kept_only(process: Pid, user: u32, capabilities: u64) {
    // One that has been joined is in the list for another moment, with what it had.
    until("those that have ended are gone", || {
        let kept = format!("CapEff:\t{capabilities:016x}\n");
        let threads = threads(process);
        threads.iter().all(|status| status.contains(&kept))
    });
    for status in threads(process) {
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
        for set in ["Uid", "Gid"] {
            assert_eq!(field(set), vec![user.to_string(); 4].join("\t"), "{set}");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        // Filtered.
        assert_eq!(field("Seccomp"), "2");
    }
}

/// Both processes.
#[track_caller]
fn is_confined(sidecar: &Sidecar, helpers: u64) {
    has_kept_only(sidecar.pid(), 65534, 0);
    assert_eq!(sidecar.status_field("Groups"), "");
    has_kept_only(sidecar.helper(), 0, helpers);
    // The helper has nothing open but the standard streams, the watcher, device-mapper and a path.
    // What it looks at for an answer is closed again.
    until("nothing else is open", || {
        (1..=6).contains(&open_files(sidecar.helper()).len())
    });
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
    is_confined(&sidecar, CAP_SYS_ADMIN);
    // Each has its own, and what they share counts in both.
    let resident = [sidecar.pid(), sidecar.helper()].map(|process| {
        let resident = status_field(process, "VmRSS");
        resident.trim_end_matches(" kB").parse::<u64>().unwrap()
    });
    println!("resident: {resident:?} KiB");
    assert!(
        resident.iter().sum::<u64>() <= 8 << 10,
        "{resident:?} KiB of memory for nothing but waiting"
    );
    ends_well(sidecar);

    // The threads of a prefetch, which is held up in the middle.
    let data = in_the_largest_file(&disk) / 4096 * 4096;
    let device = FaultDevice::below(&mut disk);
    device.hang_in(data..data + 4096);
    let mut sidecar = Sidecar::start("disk-mounter", &disk.sidecar_line("--prefetch"));
    sidecar.wait_for("ready");
    // The thread that lists the files may be the one that is held up.
    until("it reads", || sidecar.threads().len() >= 2);
    is_confined(&sidecar, CAP_SYS_ADMIN);
    device.answer();
    sidecar.wait_for("prefetch: done");
    ends_well(sidecar);
}

/// A container may lack what it takes to give up the rest: that ends the sidecar, unless it is allowed.
pub(super) fn cannot_give_up_what_it_does_not_need() {
    let disk = TestDisk::new();
    for (capability, words) in [
        ("setuid", "cannot become user 65534"),
        ("setgid", "cannot become user 65534"),
    ] {
        let start = |options: &str| {
            let line = disk.sidecar_line(options);
            let line = format!("--bounding-set -{capability} disk-mounter {line}");
            Sidecar::start("setpriv", &line)
        };
        let words = [words, "--allow-unconfined", "is unmounted"];
        start("").end().is(6, &words);
        let mut sidecar = start("--allow-unconfined");
        sidecar.wait_for("cannot become user 65534");
        sidecar.wait_for("ready");
        sidecar.terminate().is(0, &["is unmounted"]);
    }
}

/// Device-mapper waits for udev then, also when the mapping is removed; for that it needs a random
/// number, which must come from no file: the helper has closed those that it does not know. A sidecar
/// that takes a mount over has not needed one before.
pub(super) fn ends_where_udev_runs() {
    let disk = TestDisk::new();
    let udev = Udev::start();
    let line = disk.sidecar_line("");
    let mount = line.replacen("sidecar", "mount", 1);
    for before in [String::new(), format!("disk-mounter {mount}")] {
        let script = format!(
            "set -eu
            {VISIBLE_UDEV}
            {before}
            exec disk-mounter {line}"
        );
        let options = ["--mount", "sh", "-c", &script];
        let mut sidecar = Sidecar::spawn(Command::new("unshare").args(options));
        sidecar.wait_for("ready:");
        for process in [sidecar.pid(), sidecar.helper()] {
            let files = open_files(process);
            assert!(!files.is_empty() && files.iter().all(|file| !file.ends_with("urandom")));
        }
        ends_well(sidecar);
    }
    assert!(udev.stop() >= 1, "device-mapper did not wait for udev");
}

/// The files belong to somebody else, who shows them to nobody; and the directory is root's alone. The
/// disk is mounted and unmounted; what nobody may read is not read ahead.
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
    let line = disk.sidecar_line("--prefetch").replace(
        disk.mount_point().to_str().unwrap(),
        mount_point.to_str().unwrap(),
    );
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("prefetch: done");
    sidecar.wait_for("left out 2 files and folders");
    sidecar.terminate().is(0, &["is unmounted"]);
}
