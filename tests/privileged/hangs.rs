//! Devices that do not answer: the commands end in a bounded time, or tell what they wait for.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    Test,
    disk::{TestDisk, files, in_the_largest_file},
    fault_device::FaultDevice,
    faults::{gives_an_error, places, read},
    machine::{Leftovers, drop_caches, mount_line},
    run::{check, mounter},
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("each_step_of_a_mount", each_step_of_a_mount),
    (
        "a_step_that_reads_nothing_is_named",
        a_step_that_reads_nothing_is_named,
    ),
    ("a_sidecar_ends_at_its_start", a_sidecar_ends_at_its_start),
    (
        "a_sidecar_ends_under_a_reader",
        a_sidecar_ends_under_a_reader,
    ),
    ("a_prefetch_ends", a_prefetch_ends),
    ("corruption_is_told", corruption_is_told),
    (
        "unmount_tells_what_it_waits_for",
        unmount_tells_what_it_waits_for,
    ),
    ("the_mapping_itself", the_mapping_itself),
];

/// Starts `cat` on the largest file.
fn reader(disk: &TestDisk) -> Child {
    Command::new("cat")
        .arg(disk.mount_point().join("model.safetensors"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether a thread of a process has been waiting for a disk for a while.
pub(crate) fn hangs(process: Pid) -> bool {
    let waits = || -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let states = threads.flatten().filter_map(|thread| {
            let status = fs::read_to_string(thread.path().join("status")).ok()?;
            // With its identity and the number of times that it was woken up.
            status.contains("State:\tD").then_some(status)
        });
        states.collect()
    };
    let before = waits();
    thread::sleep(Duration::from_millis(500));
    let after = waits();
    before.iter().any(|state| after.contains(state))
}

/// The error is told in time. The process itself can go when the kernel has let go of the device,
/// and nothing of it stays.
fn each_step_of_a_mount() {
    let mut disk = TestDisk::new();
    let places = places(&disk);
    let device = FaultDevice::below(&mut disk);
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    let mount = disk.mount_line("--wait 0");
    let lines = [&mount, &disk.sidecar_line("--wait 0"), &mount, &mount];
    for (place, line) in places.into_iter().zip(lines) {
        device.hang_in(place);
        let mut run = Sidecar::start("disk-mounter", line);
        run.wait_for("does not answer");
        assert_eq!(mount_line(&disk.mount_point()), None);
        device.answer();
        run.end().is(4, &["does not answer", "fault-device"]);
        // The next run takes along what could not be undone.
        mounter(&disk.mount_line("")).is(0, &[]);
        read(&disk).unwrap();
        mounter(&disk.line("unmount")).is(0, &[]);
        before.check();
    }
}

/// The kernel holds up a system call that is none to the device.
fn a_step_that_reads_nothing_is_named() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    let mount_point = disk.mount_point();
    for (path, call, words) in [
        (
            mount_point.to_str().unwrap(),
            "getdents64",
            "timed out after 10 s while preparing the mount point",
        ),
        (
            "/dev/mapper/control",
            "openat",
            "timed out after 10 s while asking device-mapper",
        ),
    ] {
        let line = format!(
            "-f -qq -o /dev/null -P {path} -e trace={call} \
             -e inject={call}:delay_enter=60s:when=1 disk-mounter {}",
            disk.mount_line("--wait 0")
        );
        let mut run = Sidecar::start("strace", &line);
        run.wait_for(words);
        // It would wait for the end of the delay.
        run.signal(Signal::SIGKILL);
        run.end();
        // The next run takes along what it left.
        mounter(&disk.mount_line("")).is(0, &[]);
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

fn a_sidecar_ends_at_its_start() {
    let mut disk = TestDisk::new();
    let places = places(&disk);
    let device = FaultDevice::below(&mut disk);
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    for place in places {
        device.hang_in(place);
        let mut sidecar = Sidecar::start("disk-mounter", &disk.sidecar_line("--wait 600"));
        until("it waits for the disk", || hangs(sidecar.pid()));
        sidecar.signal(Signal::SIGTERM);
        sidecar.wait_for("asked to end");
        device.answer();
        sidecar.end().is(0, &[]);
        mounter(&disk.mount_line("")).is(0, &[]);
        mounter(&disk.line("unmount")).is(0, &[]);
        before.check();
    }
}

fn a_sidecar_ends_under_a_reader() {
    let mut disk = TestDisk::new();
    let device = FaultDevice::below(&mut disk);
    let mut sidecar = Sidecar::ready(&disk);
    device.hang();
    let mut reader = reader(&disk);
    until("it waits for the disk", || {
        hangs(Pid::from_raw(reader.id() as i32))
    });
    mounter(&disk.line("status")).is(0, &["verified"]);
    mounter(&disk.line("unmount")).is(5, &["in use"]);
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for("in use and is detached");
    sidecar.end().is(0, &[]);
    assert_eq!(mount_line(&disk.mount_point()), None);
    // Whoever reads gets what is there, when it comes.
    device.answer();
    assert!(reader.wait().unwrap().success());
}

fn a_prefetch_ends() {
    let mut disk = TestDisk::new();
    let data = in_the_largest_file(&disk) / 4096 * 4096;
    let device = FaultDevice::below(&mut disk);
    device.hang_in(data..data + 4096);
    let mut sidecar = Sidecar::start("disk-mounter", &disk.sidecar_line("--prefetch"));
    sidecar.wait_for("ready");
    until("it waits for the disk", || hangs(sidecar.pid()));
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_for("detached");
    device.answer();
    sidecar.end().is(0, &[]);
    assert_eq!(mount_line(&disk.mount_point()), None);

    device.hang_in(data..data + 4096);
    let mut mount = Sidecar::start("disk-mounter", &disk.mount_line("--wait 0 --prefetch"));
    mount.wait_for("prefetch: given up");
    device.answer();
    mount.end().is(0, &["is mounted at"]);
    read(&disk).unwrap();
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// The files in a corrupt block are looked up on the disk, which may take for ever.
fn corruption_is_told() {
    let mut disk = TestDisk::new();
    let data = in_the_largest_file(&disk);
    let image = disk.path("image");
    let device = FaultDevice::below(&mut disk);
    let mut sidecar = Sidecar::ready(&disk);
    sidecar.signal(Signal::SIGSTOP);
    crate::disk::flip(&image, data);
    drop_caches();
    gives_an_error(&disk);
    device.hang();
    sidecar.signal(Signal::SIGCONT);
    sidecar.wait_for(&format!("data block {} of", data / 4096));
    device.answer();
    sidecar.terminate().is(3, &["is corrupt", "is unmounted"]);
}

/// The kernel does not unmount before a read that was begun has ended, even if its reader is gone.
fn unmount_tells_what_it_waits_for() {
    let mut disk = TestDisk::new();
    let device = FaultDevice::below(&mut disk);
    for sidecar in [false, true] {
        let mut run = if sidecar {
            Sidecar::ready(&disk)
        } else {
            mounter(&disk.mount_line("")).is(0, &[]);
            Sidecar::start("true", "")
        };
        device.hang();
        let mut reader = reader(&disk);
        until("it waits for the disk", || {
            hangs(Pid::from_raw(reader.id() as i32))
        });
        reader.kill().unwrap();
        reader.wait().unwrap();
        if sidecar {
            run.signal(Signal::SIGTERM);
        } else {
            run = Sidecar::start("disk-mounter", &disk.line("unmount"));
        }
        run.wait_for("does not answer");
        device.answer();
        run.end().is(0, &["is unmounted"]);
        assert_eq!(mount_line(&disk.mount_point()), None);
    }
}

fn the_mapping_itself() {
    let disk = TestDisk::new();
    let other = disk.path("other");
    let mut sidecar = Sidecar::start("disk-mounter", &disk.sidecar_line("--name suspended"));
    sidecar.wait_for("ready");
    check(
        "dmsetup",
        ["suspend", "--noflush", "--nolockfs", "suspended"],
    );
    mounter(&disk.line("status")).is(0, &["verified"]);
    mounter(&disk.mount_line("--name suspended")).is(0, &["already"]);
    let line = disk.mount_line("--name suspended --wait 0").replace(
        disk.mount_point().to_str().unwrap(),
        other.to_str().unwrap(),
    );
    drop_caches();
    let mut second = Sidecar::start("disk-mounter", &line);
    second.wait_for("does not answer");
    check("dmsetup", ["resume", "suspended"]);
    second.end().is(4, &[]);
    // The next run takes along what could not be undone: the node.
    mounter(&disk.mount_line("--name suspended")).is(0, &["already"]);
    assert_eq!(files(&disk.mount_point()), disk.files);
    sidecar.terminate().is(0, &[]);
}
