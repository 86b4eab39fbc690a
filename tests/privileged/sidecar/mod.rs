//! The sidecar, from its start to its end.

mod confined;
mod control_group;
mod corruption;
mod injected;
mod left_mounted;
mod memory;
mod others;
mod process;
mod threads;
mod told;
mod udev;

use std::{fs, io, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Test,
    disk::{TestDisk, files},
    machine::{Leftovers, mount_line},
    run::mounter,
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
        corruption::tells_the_corrupt_block_and_its_file,
    ),
    (
        "tells_the_corrupt_hash_block",
        corruption::tells_the_corrupt_hash_block,
    ),
    (
        "a_corrupt_disk_that_is_mounted_already",
        corruption::a_corrupt_disk_that_is_mounted_already,
    ),
    (
        "a_corrupt_disk_that_somebody_else_unmounts",
        corruption::a_corrupt_disk_that_somebody_else_unmounts,
    ),
    (
        "a_disk_that_cannot_be_mounted_any_more",
        a_disk_that_cannot_be_mounted_any_more,
    ),
    (
        "leaves_a_disk_where_it_is",
        left_mounted::leaves_a_disk_where_it_is,
    ),
    (
        "leaves_nothing_that_is_not_its_own",
        left_mounted::leaves_nothing_that_is_not_its_own,
    ),
    (
        "leaves_a_mount_also_at_its_start",
        left_mounted::leaves_a_mount_also_at_its_start,
    ),
    (
        "a_mount_in_use_is_detached",
        others::a_mount_in_use_is_detached,
    ),
    (
        "a_mount_in_the_disk_stays",
        others::a_mount_in_the_disk_stays,
    ),
    ("the_helper_is_killed", the_helper_is_killed),
    (
        "notices_that_somebody_else_unmounted",
        others::notices_that_somebody_else_unmounted,
    ),
    (
        "leaves_a_mount_that_came_after_its_own",
        others::leaves_a_mount_that_came_after_its_own,
    ),
    ("two_share_an_image", others::two_share_an_image),
    ("two_share_a_mount", others::two_share_a_mount),
    (
        "the_first_process_of_a_container",
        the_first_process_of_a_container,
    ),
    (
        "the_termination_log_for_kubernetes",
        told::the_termination_log_for_kubernetes,
    ),
    (
        "a_wrong_command_line_in_the_termination_log",
        told::a_wrong_command_line_in_the_termination_log,
    ),
    ("log_lines_as_json", told::log_lines_as_json),
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
    let line = disk.sidecar_line("--wait 600");
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

/// Of a sidecar that was killed; what it mounted is still verified, and nobody else would unmount it.
fn a_disk_that_cannot_be_mounted_any_more() {
    let disk = TestDisk::new();
    fs::create_dir(disk.mount_point()).unwrap();
    let before = Leftovers::look();
    let line = disk.sidecar_line("--wait 0");
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
    let line = disk.sidecar_line("--wait 600");
    let line = line.replace(disk.image.to_str().unwrap(), absent.to_str().unwrap());
    let sidecar = Sidecar::start("disk-mounter", &line);
    takes_signals(&sidecar);
    sidecar.terminate().is(0, &["is unmounted"]);
    before.check();
}

/// By whoever may: then nobody could unmount. The next run takes it over.
fn the_helper_is_killed() {
    let disk = TestDisk::new();
    let sidecar = Sidecar::ready(&disk);
    kill(sidecar.helper(), Signal::SIGKILL).unwrap();
    sidecar
        .end()
        .is(1, &["helper process has ended", "stays mounted"]);
    let line = disk.sidecar_line("");
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

fn the_first_process_of_a_container() {
    let disk = TestDisk::new();
    let line = disk.sidecar_line("");
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
