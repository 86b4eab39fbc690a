//! The devices that a mapping holds, until they are free.
//!
//! The kernel removes a mapping that goes with its last user from a queue of its own, and Linux 6.12 and
//! 7.3 close the devices below it later still (6.1 does not). Whoever unmounts would else find the disk
//! busy for some milliseconds: to write to it, to check it, to detach it.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::PathBuf,
    thread,
    time::Duration,
};

use dm_verity::DeviceNumber;
use model_disk::device_number;

use crate::{
    pause::Deadline,
    sysfs::{self, NamedDevice},
    watchdog::run_with_timeout,
};

/// For how long devices are waited for. They may be somebody else's by then.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

/// What a mapping holds.
pub(crate) struct HeldDevices {
    mapping: DeviceNumber,
    devices: Vec<NamedDevice>,
}

impl HeldDevices {
    /// What the mapping of this number holds now, as far as sysfs tells.
    pub(crate) fn of(mapping: DeviceNumber) -> Self {
        Self {
            mapping,
            devices: sysfs::below(mapping),
        }
    }

    /// Waits until nobody has them exclusively, once the mapping is removed. One without a node of its
    /// kernel's name in `/dev` cannot be asked; one that is a part of something else too is not free; and
    /// one that somebody else takes meanwhile, or that does not answer, is not waited for long.
    pub(crate) fn wait_until_free(mut self) {
        let _ = run_with_timeout(PATIENCE, move || {
            let deadline = Deadline::after(PATIENCE);
            let (mapping, devices) = (self.mapping, &mut self.devices);
            devices.retain(|device| !sysfs::is_held_by_others(device.number, mapping));
            while devices.iter().any(is_busy) && !deadline.has_passed() {
                thread::sleep(POLL);
            }
        });
    }
}

fn is_busy(device: &NamedDevice) -> bool {
    let path = PathBuf::from("/dev").join(&device.name);
    let is_its = fs::symlink_metadata(&path).is_ok_and(|node| {
        node.file_type().is_block_device() && device_number(node.rdev()) == device.number
    });
    let mut alone = OpenOptions::new();
    alone
        .read(true)
        .custom_flags(libc::O_EXCL | libc::O_NONBLOCK);
    is_its
        && alone
            .open(path)
            .is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
}
