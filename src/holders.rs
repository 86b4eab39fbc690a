//! Who keeps a disk from being unmounted, or a device from being used, in words.
//!
//! A process sees those of its own process namespace, and what they have open only with the rights to
//! look into them. So nobody may be found where somebody is.

use std::{fs, path::PathBuf};

use dm_verity::DeviceNumber;
use model_disk::Escaped;
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};

use crate::{mountinfo, sysfs};

/// No more are named.
const MOST: usize = 3;

/// Who has files of a filesystem open, or is in a directory of it.
pub(crate) fn of_filesystem(device: DeviceNumber) -> String {
    let found = |found: &Statx| (found.stx_dev_major, found.stx_dev_minor);
    listed(processes(device, found)).unwrap_or_else(|| {
        "a process that cannot be seen from here: it has a file open there, or its working directory"
            .to_owned()
    })
}

/// Who uses the block device of a mapping.
pub(crate) fn of_mapping(device: DeviceNumber) -> String {
    let mut users = mounts_of(device, "another mount at");
    users.extend(sysfs::made_of(device));
    let found = |found: &Statx| (found.stx_rdev_major, found.stx_rdev_minor);
    users.extend(processes(device, found));
    listed(users).unwrap_or_else(|| "something that cannot be seen from here".to_owned())
}

/// What keeps devices from being taken for a mapping.
pub(crate) fn of_devices(devices: &[DeviceNumber]) -> String {
    let mut users = Vec::new();
    for device in devices {
        for user in [
            mounts_of(*device, "a mount without verification at"),
            sysfs::made_of(*device),
        ]
        .concat()
        {
            if !users.contains(&user) {
                users.push(user);
            }
        }
    }
    listed(users).unwrap_or_else(|| {
        "something else (mounted without verification, or part of another mapping)".to_owned()
    })
}

fn mounts_of(device: DeviceNumber, what: &str) -> Vec<String> {
    let places = mountinfo::places_of(device).unwrap_or_default();
    let shown = |place: PathBuf| format!("{what} {}", Escaped::path(&place));
    places.into_iter().map(shown).collect()
}

/// The processes that have something of a device open, are in it, or have mapped it. `number` tells of
/// what is open which device it is of.
fn processes(device: DeviceNumber, number: fn(&Statx) -> (u32, u32)) -> Vec<String> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|other| *other != own);
    let users = others.filter(|other| uses(*other, device, number));
    let shown = |user: u32| {
        let name = fs::read(format!("/proc/{user}/comm")).unwrap_or_default();
        format!("process {user} ({})", Escaped::bytes(name.trim_ascii_end()))
    };
    users.map(shown).collect()
}

fn uses(process: u32, device: DeviceNumber, number: fn(&Statx) -> (u32, u32)) -> bool {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let open = fs::read_dir(folder.join("fd")).into_iter().flatten();
    let open = open.flatten().map(|entry| entry.path());
    let places = ["cwd", "root", "exe"].map(|name| folder.join(name));
    let of_device = |path: PathBuf| {
        // What is behind it may be on a server that does not answer; what is known of it will do.
        let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE);
        found.is_ok_and(|found| number(&found) == (device.major, device.minor))
    };
    if open.chain(places).any(of_device) {
        return true;
    }
    let maps = fs::read_to_string(folder.join("maps"));
    maps.is_ok_and(|maps| maps_device(&maps, device))
}

/// Whether a file of a filesystem is mapped: the fourth column has its device, in hex.
fn maps_device(maps: &str, device: DeviceNumber) -> bool {
    let wanted = format!("{:02x}:{:02x}", device.major, device.minor);
    let mut devices = maps
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(3));
    devices.any(|found| found == wanted)
}

/// None where there is nobody.
fn listed(mut users: Vec<String>) -> Option<String> {
    let more = users.len().saturating_sub(MOST);
    users.truncate(MOST);
    let text = users.join(", ");
    match (text.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(text),
        (false, more) => Some(format!("{text} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named() {
        let users = |count: usize| listed((0..count).map(|number| number.to_string()).collect());
        assert_eq!(users(0), None);
        assert_eq!(users(1).unwrap(), "0");
        assert_eq!(users(5).unwrap(), "0, 1, 2 and 2 more");
    }

    #[test]
    fn mapped_files_have_their_device_in_the_fourth_column() {
        let maps = "7f00-7f01 r--p 00000000 fd:0a 12                         /mnt/model\n\
                    7f02-7f03 rw-p 00000000 00:00 0\n";
        let device = |major, minor| DeviceNumber { major, minor };
        assert!(maps_device(maps, device(253, 10)));
        assert!(!maps_device(maps, device(253, 1)));
        assert!(!maps_device("", device(0, 0)));
    }

    #[test]
    fn a_process_in_a_directory_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut sleeper = std::process::Command::new("sleep")
            .arg("600")
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        let found = statx(CWD, folder.path(), AtFlags::empty(), StatxFlags::TYPE).unwrap();
        let device = DeviceNumber {
            major: found.stx_dev_major,
            minor: found.stx_dev_minor,
        };
        let users = processes(device, |found| (found.stx_dev_major, found.stx_dev_minor));
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        let wanted = format!("process {} (sleep)", sleeper.id());
        assert!(users.contains(&wanted), "{users:?}");
    }
}
