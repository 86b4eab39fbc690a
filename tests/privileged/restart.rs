//! Runs that were killed: the next one succeeds, and nothing is left over.

use std::{fs, path::Path};

use crate::{
    Test,
    disk::{Loop, TestDisk, files},
    machine::Leftovers,
    run::{check, mounter, run, text},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "killed_at_every_step_with_an_image",
        killed_at_every_step_with_an_image,
    ),
    (
        "killed_at_every_step_with_a_device",
        killed_at_every_step_with_a_device,
    ),
    ("a_failure_at_every_step", a_failure_at_every_step),
    ("killed_while_it_serves", killed_while_it_serves),
    (
        "a_node_of_a_mapping_that_has_gone",
        a_node_of_a_mapping_that_has_gone,
    ),
];

/// The system calls that change the machine. Each step is one or a few of them.
const CALLS: &[&str] = &[
    "ioctl",
    "mkdir",
    "mknodat",
    "flock",
    "fsopen",
    "fsconfig",
    "fsmount",
    "move_mount",
    "unlink",
];

/// Kills `disk-mounter mount` at each of its system calls that change anything, one after the
/// other; after each, a run succeeds.
fn kill_at_every_call(disk: &TestDisk, line: &str) {
    let before = Leftovers::look();
    let mut killed = 0;
    for call in CALLS {
        for number in 1.. {
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            let trace = format!("trace={}", CALLS.join(","));
            let options = [
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &trace,
                "-e",
                &inject,
                "disk-mounter",
            ];
            let outcome = run(
                "strace",
                options.into_iter().chain(line.split_ascii_whitespace()),
            );
            mounter(line).is(0, &["mounted at"]);
            assert_eq!(files(&disk.mount_point()), disk.files);
            mounter(&disk.line("unmount")).is(0, &[]);
            before.check();
            if outcome.code == 0 {
                break;
            }
            assert_eq!(outcome.code, -1, "{outcome:?}");
            killed += 1;
        }
    }
    // create, load, resume, status and deferred removal alone are more than this.
    assert!(killed >= 20, "killed only {killed} times");
    println!("killed {killed} times");
}

fn killed_at_every_step_with_an_image() {
    let disk = TestDisk::new();
    kill_at_every_call(&disk, &disk.mount_line(""));
}

fn killed_at_every_step_with_a_device() {
    let disk = TestDisk::new();
    let device = Loop::new(&disk.image);
    let line = disk.mount_line("");
    let line = line.replace(
        disk.image.to_str().unwrap(),
        device.path().to_str().unwrap(),
    );
    kill_at_every_call(&disk, &line);
}

/// Lets each of these calls fail, one after the other: what was made before is taken back, by the
/// same run.
fn a_failure_at_every_step() {
    let disk = TestDisk::new();
    let (line, mount_point) = (disk.mount_line(""), disk.mount_point());
    let trace = disk.path("trace");
    let before = Leftovers::look();
    let mut failed = 0;
    // Where a node cannot be removed it stays, until the next run removes it.
    for call in CALLS.iter().filter(|call| **call != "unlink") {
        for number in 1.. {
            let inject = format!("inject={call}:error=ENOMEM:when={number}");
            let options = ["-f", "-qq", "-o", text(&trace), "-e", &inject];
            let words = options.into_iter().chain(["disk-mounter"]);
            let outcome = run("strace", words.chain(line.split_ascii_whitespace()));
            if !fs::read_to_string(&trace).unwrap().contains("(INJECTED)") {
                mounter(&disk.line("unmount")).is(0, &[]);
                fs::remove_dir(&mount_point).unwrap();
                break;
            }
            if outcome.code == 0 {
                // It goes without.
                assert_eq!(files(&mount_point), disk.files);
                mounter(&disk.line("unmount")).is(0, &[]);
                fs::remove_dir(&mount_point).unwrap();
            } else {
                assert!((1..=6).contains(&outcome.code), "{inject}: {outcome:?}");
                assert!(outcome.stderr.contains("error: "), "{inject}: {outcome:?}");
                assert!(!mount_point.exists(), "{inject}: {outcome:?}");
                failed += 1;
            }
            before.check();
        }
    }
    assert!(failed >= 15, "failed only {failed} times");
    println!("failed {failed} times");
}

fn killed_while_it_serves() {
    let disk = TestDisk::new();
    let before = Leftovers::look();
    for _ in 0..2 {
        let sidecar = crate::sidecar::Sidecar::ready(&disk);
        sidecar.signal(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(sidecar.end().code, -1);
        // It is still mounted, and still verified.
        assert_eq!(files(&disk.mount_point()), disk.files);
    }
    let sidecar = crate::sidecar::Sidecar::ready(&disk);
    sidecar.terminate().is(0, &["is unmounted"]);
    before.check();
}

fn a_node_of_a_mapping_that_has_gone() {
    let disk = TestDisk::new();
    fs::create_dir_all("/dev/mapper").unwrap();
    check("mknod", ["/dev/mapper/stale", "b", "253", "77"]);
    mounter(&disk.mount_line("--name stale")).is(0, &[]);
    mounter(&disk.line("unmount")).is(0, &[]);
    assert!(!Path::new("/dev/mapper/stale").exists());
}
