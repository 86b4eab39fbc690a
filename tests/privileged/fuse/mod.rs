//! Disks that are mounted by FUSE, by root and by a user, and what becomes of those who serve them.

mod damage;
mod place;
mod reading;
mod serving;
mod user;

use std::{fs, io};

use nix::unistd::Pid;

use crate::{
    Test,
    disk::TestDisk,
    run::{Outcome, mounter},
    sidecar::until,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("serves_every_byte", reading::serves_every_byte),
    ("nothing_can_be_written", reading::nothing_can_be_written),
    ("block_sizes", reading::block_sizes),
    ("what_mkfs_erofs_makes", reading::what_mkfs_erofs_makes),
    ("a_large_directory", reading::a_large_directory),
    ("many_readers", reading::many_readers),
    ("a_corrupt_data_block", damage::a_corrupt_data_block),
    ("a_corrupt_hash_block", damage::a_corrupt_hash_block),
    ("a_device_that_fails", damage::a_device_that_fails),
    ("a_disk_that_is_cut_short", damage::a_disk_that_is_cut_short),
    (
        "nothing_is_mounted_of_another_disk",
        place::nothing_is_mounted_of_another_disk,
    ),
    (
        "what_is_mounted_there_already",
        place::what_is_mounted_there_already,
    ),
    ("a_disk_in_use", place::a_disk_in_use),
    (
        "a_sidecar_tells_and_unmounts",
        serving::a_sidecar_tells_and_unmounts,
    ),
    (
        "a_sidecar_that_is_killed",
        serving::a_sidecar_that_is_killed,
    ),
    (
        "a_sidecar_whose_disk_others_unmount",
        serving::a_sidecar_whose_disk_others_unmount,
    ),
    (
        "gives_up_what_it_does_not_need",
        serving::gives_up_what_it_does_not_need,
    ),
    (
        "a_server_that_is_stopped",
        serving::a_server_that_is_stopped,
    ),
    (
        "a_server_that_is_asked_to_end",
        serving::a_server_that_is_asked_to_end,
    ),
    ("by_a_user", user::by_a_user),
    (
        "whom_a_user_is_believed_by",
        user::whom_a_user_is_believed_by,
    ),
    (
        "a_user_whose_server_is_killed",
        user::a_user_whose_server_is_killed,
    ),
    ("a_user_without_fusermount", user::a_user_without_fusermount),
];

/// Mounts it.
#[track_caller]
fn mounted(disk: &TestDisk) {
    mounter(&disk.mount_line("--fuse")).is(0, &["is mounted at", "by FUSE"]);
}

#[track_caller]
fn unmount(disk: &TestDisk) {
    mounter(&disk.line("unmount")).is(0, &["is unmounted"]);
}

/// What `status` says with the root hash.
fn status(disk: &TestDisk) -> Outcome {
    let expected = format!("status --root-hash {}", disk.root_hash);
    mounter(&disk.line(&expected))
}

fn read_last(disk: &TestDisk) -> io::Result<Vec<u8>> {
    fs::read(disk.mount_point().join("model.safetensors"))
}

#[track_caller]
fn is_io_error(read: io::Result<Vec<u8>>) {
    let error = read.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
}

/// The processes that serve a mount by FUSE.
fn servers() -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap();
    let names = processes.map(|entry| entry.unwrap().file_name());
    let numbers = names.filter_map(|name| name.to_str()?.parse().ok());
    let serves = |process: &i32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"--fuse")
    };
    numbers.filter(serves).map(Pid::from_raw).collect()
}

#[track_caller]
fn server() -> Pid {
    match *servers() {
        [server] => server,
        ref other => panic!("{other:?} serve"),
    }
}

/// Nobody serves any more.
#[track_caller]
fn all_have_ended() {
    until("the server has ended", || servers().is_empty());
}
