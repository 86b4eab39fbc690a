//! The sidecar, from its start to its end.

mod confined;
mod control_group;
mod injected;
mod memory;
mod process;
mod threads;
mod udev;

use std::{
    fs,
    io::{self, Read},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Test,
    disk::{TestDisk, files, in_the_largest_file, on_the_way_to_the_last_block},
    machine::{Leftovers, drop_caches, mount_line},
    run::{check, mounter},
};
pub(crate) use process::{Sidecar, until};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    (
        "serves_until_it_is_asked_to_end",
        serves_until_it_is_asked_to_end,
    ),
    (
        "gives_up_what_it_does_not_need",
        confined::gives_up_what_it_does_not_need,
    ),
    (
        "cannot_give_up_what_it_does_not_need",
        confined::cannot_give_up_what_it_does_not_need,
    ),
    (
        "nothing_that_is_injected_succeeds",
        injected::nothing_that_is_injected_succeeds,
    ),
    ("ends_where_udev_runs", confined::ends_where_udev_runs),
    (
        "below_a_private_directory",
        confined::below_a_private_directory,
    ),
    (
        "where_no_thread_can_be_started",
        threads::where_no_thread_can_be_started,
    ),
    (
        "ends_while_it_waits_for_the_device",
        ends_while_it_waits_for_the_device,
    ),
    (
        "ends_when_the_device_does_not_come",
        ends_when_the_device_does_not_come,
    ),
    (
        "tells_the_corrupt_block_and_its_file",
        tells_the_corrupt_block_and_its_file,
    ),
    ("tells_the_corrupt_hash_block", tells_the_corrupt_hash_block),
    (
        "a_corrupt_disk_that_is_mounted_already",
        a_corrupt_disk_that_is_mounted_already,
    ),
    (
        "a_corrupt_disk_that_somebody_else_unmounts",
        a_corrupt_disk_that_somebody_else_unmounts,
    ),
    (
        "a_disk_that_cannot_be_mounted_any_more",
        a_disk_that_cannot_be_mounted_any_more,
    ),
    ("leaves_a_disk_where_it_is", leaves_a_disk_where_it_is),
    (
        "leaves_nothing_that_is_not_its_own",
        leaves_nothing_that_is_not_its_own,
    ),
    (
        "leaves_a_mount_also_at_its_start",
        leaves_a_mount_also_at_its_start,
    ),
    ("a_mount_in_use_is_detached", a_mount_in_use_is_detached),
    ("a_mount_in_the_disk_stays", a_mount_in_the_disk_stays),
    ("the_helper_is_killed", the_helper_is_killed),
    (
        "notices_that_somebody_else_unmounted",
        notices_that_somebody_else_unmounted,
    ),
    (
        "leaves_a_mount_that_came_after_its_own",
        leaves_a_mount_that_came_after_its_own,
    ),
    ("two_share_an_image", two_share_an_image),
    ("two_share_a_mount", two_share_a_mount),
    (
        "the_first_process_of_a_container",
        the_first_process_of_a_container,
    ),
    (
        "the_termination_log_for_kubernetes",
        the_termination_log_for_kubernetes,
    ),
    (
        "a_wrong_command_line_in_the_termination_log",
        a_wrong_command_line_in_the_termination_log,
    ),
    ("log_lines_as_json", log_lines_as_json),
    (
        "prefetch_caches_all_files",
        memory::prefetch_caches_all_files,
    ),
    (
        "prefetch_leaves_memory_to_others",
        memory::prefetch_leaves_memory_to_others,
    ),
    (
        "the_reserve_of_memory_is_raised",
        memory::the_reserve_of_memory_is_raised,
    ),
    (
        "two_runs_raise_the_reserve",
        memory::two_runs_raise_the_reserve,
    ),
];

/// Reads the largest file.
fn read(disk: &TestDisk) -> io::Result<()> {
    fs::read(disk.mount_point().join("model.safetensors")).map(|_| ())
}

fn serves_until_it_is_asked_to_end() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let disk = TestDisk::new();
        let sidecar = Sidecar::ready(&disk);
        assert_eq!(files(&disk.mount_point()), disk.files);
        mounter(&disk.line("status")).is(0, &["verified"]);
        sidecar.signal(signal);
        sidecar.end().is(0, &["is unmounted"]);
        assert_eq!(mount_line(&disk.mount_point()), None);
    }
}

fn ends_while_it_waits_for_the_device() {
    let disk = TestDisk::new();
    let line = disk
        .mount_line("--wait 600")
        .replacen("mount", "sidecar", 1);
    let absent = disk.path("absent");
    let line = line.replace(disk.image.to_str().unwrap(), absent.to_str().unwrap());
    let sidecar = Sidecar::start("disk-mounter", &line);
    takes_signals(&sidecar);
    sidecar.terminate().is(0, &["asked to end"]);
}

fn takes_signals(sidecar: &Sidecar) {
    until("it takes signals", || {
        let blocked = u64::from_str_radix(&sidecar.status_field("SigBlk"), 16).unwrap();
        blocked & 1 << (Signal::SIGTERM as u64 - 1) != 0
    });
}

fn ends_when_the_device_does_not_come() {
    let disk = TestDisk::new();
    let line = format!(
        "sidecar --root-hash {} --wait 0 /dev/absent /mnt",
        disk.root_hash
    );
    Sidecar::start("disk-mounter", &line)
        .end()
        .is(4, &["/dev/absent: no such device"]);
}

/// For the next one, which finds it, well or corrupt.
fn leaves_a_disk_where_it_is() {
    let disk = TestDisk::new();
    let offset = in_the_largest_file(&disk);
    let line = disk.mount_line("--leave-mounted");
    let line = line.replacen("mount", "sidecar", 1);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    let mounted = mount_line(&disk.mount_point());
    sidecar
        .terminate()
        .is(0, &["stays mounted (--leave-mounted)"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    mounter(&disk.line("status")).is(0, &["verified"]);
    let mut next = Sidecar::start("disk-mounter", &line);
    next.wait_for("ready:");
    // In the last moment: it takes no step in between.
    next.signal(Signal::SIGSTOP);
    disk.flip(offset);
    drop_caches();
    read(&disk).unwrap_err();
    next.signal(Signal::SIGTERM);
    next.signal(Signal::SIGCONT);
    let words = ["it lies in model.safetensors", "stays mounted (--leave"];
    next.end().is(3, &words);
    // Also where it is well by then: nobody could tell.
    disk.flip(offset);
    let mut last = Sidecar::start("disk-mounter", &line);
    last.wait_for("was mounted by an earlier run");
    last.terminate()
        .is(3, &["is corrupt", "stays mounted (--leave"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// What has come to the place of its mount since it looked last.
fn leaves_nothing_that_is_not_its_own() {
    let start = |disk: &TestDisk| {
        let line = disk.mount_line("--leave-mounted");
        let mut sidecar = Sidecar::start("disk-mounter", &line.replacen("mount", "sidecar", 1));
        sidecar.wait_for("ready:");
        sidecar.signal(Signal::SIGSTOP);
        sidecar
    };
    // It may have been stopped while it looked: then that look is the one that finds out, with 4.
    let end = |sidecar: Sidecar, code, words| {
        sidecar.signal(Signal::SIGTERM);
        sidecar.signal(Signal::SIGCONT);
        let outcome = sidecar.end();
        assert!(!outcome.stderr.contains("--leave-mounted"), "{outcome:?}");
        outcome.is(if outcome.code == 4 { 4 } else { code }, words);
    };
    // Another mount upon it: that is not touched, and is not taken for the disk.
    let disk = TestDisk::new();
    let sidecar = start(&disk);
    let at = disk.mount_point();
    check("mount", ["-t", "tmpfs", "theirs", at.to_str().unwrap()]);
    end(sidecar, 5, &["another mount covers the disk"]);
    check("umount", [&at]);
    mounter(&disk.line("unmount")).is(0, &[]);

    // Another disk in its place.
    let (disk, other) = (TestDisk::new(), TestDisk::with(&["--salt", "00"]));
    let sidecar = start(&disk);
    mounter(&disk.line("unmount")).is(0, &[]);
    let (theirs, ours) = (other.mount_point(), disk.mount_point());
    let line = other.mount_line("");
    mounter(&line.replace(theirs.to_str().unwrap(), ours.to_str().unwrap())).is(0, &[]);
    end(sidecar, 0, &[]);
    mounter(&disk.line("status")).is(0, &["verified", &other.root_hash]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// One that is asked to end before it has found the mount that an earlier one has left.
fn leaves_a_mount_also_at_its_start() {
    let disk = TestDisk::new();
    mounter(&disk.mount_line("")).is(0, &[]);
    let mounted = mount_line(&disk.mount_point());
    let line = disk
        .mount_line("--wait 600 --leave-mounted")
        .replacen("mount", "sidecar", 1);
    let absent = disk.path("absent");
    let line = line.replace(disk.image.to_str().unwrap(), absent.to_str().unwrap());
    let start = || {
        let sidecar = Sidecar::start("disk-mounter", &line);
        takes_signals(&sidecar);
        sidecar
    };
    start()
        .terminate()
        .is(0, &["stays mounted (--leave-mounted)"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    disk.flip(in_the_largest_file(&disk));
    drop_caches();
    read(&disk).unwrap_err();
    start()
        .terminate()
        .is(3, &["is corrupt", "stays mounted (--leave"]);
    assert_eq!(mount_line(&disk.mount_point()), mounted);
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn tells_the_corrupt_block_and_its_file() {
    let disk = TestDisk::new();
    let mut sidecar = Sidecar::ready(&disk);
    let offset = in_the_largest_file(&disk);
    disk.flip(offset);
    drop_caches();
    read(&disk).unwrap_err();
    let block = format!("data block {} of", offset / 4096);
    sidecar.wait_for("stays mounted until");
    // Nothing else is uncovered: what is not corrupt can be read, and what is cannot.
    read(&disk).unwrap_err();
    let readme = fs::read(disk.mount_point().join("README.md")).unwrap();
    assert_eq!(readme, fs::read(disk.path("model/README.md")).unwrap());
    mounter(&disk.line("status")).is(3, &["corrupt"]);
    let outcome = sidecar.terminate();
    outcome.is(
        3,
        &[
            "is corrupt",
            &block,
            "it lies in model.safetensors",
            "is unmounted",
        ],
    );
    assert_eq!(
        outcome.stderr.matches("is corrupt").count(),
        1,
        "{outcome:?}"
    );
}

fn tells_the_corrupt_hash_block() {
    let disk = TestDisk::new();
    // Before the start, as the kernel reads hash blocks ahead.
    let offset = on_the_way_to_the_last_block(&disk);
    disk.flip(offset);
    let mut sidecar = Sidecar::ready(&disk);
    read(&disk).unwrap_err();
    sidecar.wait_for("stays mounted until");
    sidecar.terminate().is(
        3,
        &["is corrupt", &format!("hash block {} of", offset / 4096)],
    );
}

fn a_corrupt_disk_that_is_mounted_already() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    // As a sidecar that was killed leaves it.
    mounter(&disk.mount_line("")).is(0, &[]);
    disk.flip(in_the_largest_file(&disk));
    read(&disk).unwrap_err();
    let line = disk.mount_line("").replacen("mount", "sidecar", 1);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("is corrupt");
    sidecar.wait_for("was mounted by an earlier run");
    assert_ne!(mount_line(&disk.mount_point()), None);
    sidecar.terminate().is(3, &["is unmounted"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
    before.check();
}

/// The corruption is the error, and is told once.
fn a_corrupt_disk_that_somebody_else_unmounts() {
    let disk = TestDisk::new();
    let mut sidecar = Sidecar::ready(&disk);
    disk.flip(in_the_largest_file(&disk));
    drop_caches();
    read(&disk).unwrap_err();
    sidecar.wait_for("stays mounted until");
    mounter(&disk.line("unmount")).is(0, &[]);
    let outcome = sidecar.end();
    outcome.is(3, &["warning", "not mounted any more"]);
    assert_eq!(
        outcome.stderr.matches("is corrupt").count(),
        1,
        "{outcome:?}"
    );
}

/// Of a sidecar that was killed; what it mounted is still verified, and nobody else would unmount it.
fn a_disk_that_cannot_be_mounted_any_more() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    let line = disk.mount_line("--wait 0").replacen("mount", "sidecar", 1);
    let (root_block, _) = disk.levels().into_iter().min().unwrap();
    for (device, code, words) in [
        (&disk.image, 3, "the root hash does not match"),
        (&disk.path("absent"), 4, "absent: no such device"),
    ] {
        let first = Sidecar::ready(&disk);
        first.signal(Signal::SIGKILL);
        first.end();
        disk.flip(root_block);
        let line = line.replace(disk.image.to_str().unwrap(), device.to_str().unwrap());
        let mut second = Sidecar::start("disk-mounter", &line);
        second.wait_for(words);
        second.wait_for("was mounted by an earlier run");
        assert_eq!(files(&disk.mount_point()), disk.files);
        disk.flip(root_block);
        second.terminate().is(code, &["is unmounted"]);
        before.check();
    }
    let first = Sidecar::ready(&disk);
    first.signal(Signal::SIGKILL);
    first.end();
    let absent = disk.path("absent");
    let line = disk
        .mount_line("--wait 600")
        .replacen("mount", "sidecar", 1);
    let line = line.replace(disk.image.to_str().unwrap(), absent.to_str().unwrap());
    let sidecar = Sidecar::start("disk-mounter", &line);
    takes_signals(&sidecar);
    sidecar.terminate().is(0, &["is unmounted"]);
    before.check();
}

fn a_mount_in_use_is_detached() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    let mut open = fs::File::open(disk.mount_point().join("README.md")).unwrap();
    sidecar.signal(Signal::SIGTERM);
    // Asked once more, it does not wait for the file to be closed.
    until("it has taken the first signal", || {
        u64::from_str_radix(&sidecar.status_field("ShdPnd"), 16).unwrap() == 0
    });
    sidecar.terminate().is(0, &["in use and is detached"]);
    assert_eq!(mount_line(&disk.mount_point()), None);
    let mut text = Vec::new();
    open.read_to_end(&mut text).unwrap();
    assert_eq!(text, fs::read(disk.path("model/README.md")).unwrap());
}

/// It is somebody else's, and would go with the disk.
fn a_mount_in_the_disk_stays() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    let inner = disk.mount_point().join("1_Pooling");
    check("mount", ["-t", "tmpfs", "theirs", inner.to_str().unwrap()]);
    mounter(&disk.line("unmount")).is(5, &["in use by a mount in it, at", "1_Pooling"]);
    sidecar.signal(Signal::SIGTERM);
    // Asked once more, it does not wait.
    until("it has taken the first signal", || {
        u64::from_str_radix(&sidecar.status_field("ShdPnd"), 16).unwrap() == 0
    });
    sidecar.terminate().is(5, &["in use by a mount in it"]);
    assert_ne!(mount_line(&inner), None);
    check("umount", [&inner]);
    mounter(&disk.line("unmount")).is(0, &[]);
}

/// By whoever may: then nobody could unmount. The next run takes it over.
fn the_helper_is_killed() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    kill(sidecar.helper(), Signal::SIGKILL).unwrap();
    sidecar
        .end()
        .is(1, &["helper process has ended", "stays mounted"]);
    let line = disk.mount_line("").replacen("mount", "sidecar", 1);
    let mut second = Sidecar::start("disk-mounter", &line);
    second.wait_for("already");
    second.wait_for("ready");
    // And the other way round: a helper without a watcher ends.
    let helper = second.helper();
    second.signal(Signal::SIGKILL);
    second.end();
    until("the helper ends", || kill(helper, None).is_err());
    mounter(&disk.line("unmount")).is(0, &[]);
}

fn notices_that_somebody_else_unmounted() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    check("umount", [disk.mount_point()]);
    sidecar.end().is(4, &["not mounted any more"]);
}

/// Also where the new mapping has the name and the device number of the old one.
fn leaves_a_mount_that_came_after_its_own() {
    let disk = TestDisk::new();
    let other = TestDisk::with(&["--salt", "00"]);
    for options in ["", "--name model"] {
        let line = disk.mount_line(options).replacen("mount", "sidecar", 1);
        let mut sidecar = Sidecar::start("disk-mounter", &line);
        sidecar.wait_for("ready");
        // It sees nothing of what is between its mount and the other.
        sidecar.signal(Signal::SIGSTOP);
        mounter(&disk.line("unmount")).is(0, &[]);
        let (theirs, ours) = (other.mount_point(), disk.mount_point());
        let line = other.mount_line(options);
        let line = line.replace(theirs.to_str().unwrap(), ours.to_str().unwrap());
        mounter(&line).is(0, &["is mounted at"]);
        sidecar.signal(Signal::SIGCONT);
        let outcome = sidecar.end();
        outcome.is(4, &["not mounted any more"]);
        assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
        mounter(&disk.line("status")).is(0, &["verified", &other.root_hash]);
        mounter(&disk.line("unmount")).is(0, &[]);
    }
}

fn two_share_an_image() {
    let disk = TestDisk::new();
    let first = Sidecar::ready(&disk);
    let other = disk.path("other");
    let line = format!(
        "sidecar --root-hash {} {} {}",
        disk.root_hash,
        disk.image.display(),
        other.display()
    );
    let mut second = Sidecar::start("disk-mounter", &line);
    second.wait_for("in a mapping that was there");
    second.wait_for("ready");
    first.terminate().is(0, &["in use by another mount"]);
    drop_caches();
    assert_eq!(files(&other), disk.files);
    second.terminate().is(0, &["is unmounted"]);
}

fn two_share_a_mount() {
    let disk = TestDisk::new();
    let first = Sidecar::ready(&disk);
    let mut second = Sidecar::start(
        "disk-mounter",
        &disk.mount_line("").replacen("mount", "sidecar", 1),
    );
    second.wait_for("mounted at");
    second.wait_for("ready");
    first.terminate().is(0, &["is unmounted"]);
    second.end().is(4, &["not mounted any more"]);
}

fn the_first_process_of_a_container() {
    let disk = TestDisk::new();
    let line = disk.mount_line("").replacen("mount", "sidecar", 1);
    // A grandchild that ends after the sidecar has become the first process.
    let script =
        format!("(sh -c 'read -r line </proc/uptime; sleep 0.2' &); exec disk-mounter {line}");
    let options = ["--pid", "--fork", "--kill-child", "sh", "-c", &script];
    let mut sidecar = Sidecar::spawn(Command::new("unshare").args(options));
    sidecar.wait_for("ready");
    let children = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap()
            .trim()
            .to_owned()
    };
    let first = children(&sidecar.pid().to_string());
    // The helper is a child too.
    until("the orphan is buried", || {
        children(&first).split_ascii_whitespace().count() == 1
    });
    kill(Pid::from_raw(first.parse().unwrap()), Signal::SIGTERM).unwrap();
    sidecar.end().is(0, &["is unmounted"]);
}

fn the_termination_log_for_kubernetes() {
    let disk = TestDisk::new();
    let line = disk
        .mount_line("")
        .replace(&disk.root_hash, &"0".repeat(64));
    let status = disk.line("status");
    // Probes run in the sidecar's own container, and help is no failure.
    let script = format!(
        "{}
        touch /dev/termination-log
        disk-mounter {line} || code=$?
        for line in '{status}' 'status' 'unmount' 'inspect /absent' 'mount --help'; do
            disk-mounter --log-format text $line >/dev/null || true
        done
        cat /dev/termination-log
        exit $code",
        crate::container::BARE_DEV
    );
    let outcome = crate::container::unshared("--mount", &script);
    outcome.is(3, &[]);
    assert!(
        outcome.stdout.contains("root hash does not match"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains(&disk.root_hash), "{outcome:?}");
}

fn a_wrong_command_line_in_the_termination_log() {
    let root_hash = "0".repeat(64);
    for (line, word) in [
        ("sidecar --root-hash 12 /dev/model /mnt", "64 hex digits"),
        ("--log-format json mount /dev/model /mnt", "--root-hash"),
        (
            &format!("sidecar --read-ahead 3G --root-hash {root_hash} /dev/model /mnt"),
            "2 GiB",
        ),
        ("model 0 12", "64 hex digits"),
        ("sidecarr", "no command"),
    ] {
        let script = format!(
            "{}
            touch /dev/termination-log
            disk-mounter {line} || code=$?
            cat /dev/termination-log
            exit $code",
            crate::container::BARE_DEV
        );
        let outcome = crate::container::unshared("--mount", &script);
        outcome.is(2, &[]);
        assert!(outcome.stdout.contains(word), "{line}: {outcome:?}");
    }
}

fn log_lines_as_json() {
    let disk = TestDisk::new();
    let line = disk.mount_line("--log-format json");
    let said = mounter(&line).stderr;
    mounter(&disk.line("unmount --log-format json")).is(0, &[]);
    let error = mounter(&line.replace(&disk.root_hash, &"0".repeat(64))).stderr;
    for (text, level) in [(said, "info"), (error, "error")] {
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], level, "{text}");
        assert!(
            line["message"].as_str().unwrap().contains(&disk.root_hash),
            "{text}"
        );
    }
}
