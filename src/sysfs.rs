//! What the kernel tells anybody of its block devices, see sysfs(5).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use dm_verity::DeviceNumber;

fn folder(device: DeviceNumber) -> PathBuf {
    Path::new("/sys/dev/block").join(device.to_string())
}

/// The UUID of a mapping of device-mapper; None where it is no mapping, or has none.
pub(crate) fn mapping_uuid(device: DeviceNumber) -> io::Result<Option<String>> {
    match fs::read_to_string(folder(device).join("dm/uuid")) {
        Ok(uuid) => Ok(Some(uuid.trim_end().to_owned()).filter(|uuid| !uuid.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there is a device of this number. None where sysfs does not tell.
pub(crate) fn is_there(device: DeviceNumber) -> Option<bool> {
    let all = Path::new("/sys/dev/block").exists();
    all.then(|| folder(device).exists())
}

/// Whether a device cannot be written to.
pub(crate) fn is_read_only(device: DeviceNumber) -> io::Result<bool> {
    let text = fs::read_to_string(folder(device).join("ro"))?;
    Ok(text.trim() == "1")
}

/// What is made of a device: the names of mappings, and the kernel's names of others.
pub(crate) fn made_of(device: DeviceNumber) -> Vec<String> {
    let holders = fs::read_dir(folder(device).join("holders"));
    let name = |holder: fs::DirEntry| match fs::read_to_string(holder.path().join("dm/name")) {
        Ok(name) => format!("the mapping {}", name.trim_end()),
        Err(_) => holder.file_name().to_string_lossy().into_owned(),
    };
    holders.into_iter().flatten().flatten().map(name).collect()
}

/// A block device, and what the kernel calls it: the path of its node below `/dev`.
pub(crate) struct NamedDevice {
    pub(crate) number: DeviceNumber,
    pub(crate) name: String,
}

/// The devices that a mapping is made of, as far as sysfs tells.
pub(crate) fn below(mapping: DeviceNumber) -> Vec<NamedDevice> {
    let below = fs::read_dir(folder(mapping).join("slaves"));
    let named = |device: fs::DirEntry| {
        let number = fs::read_to_string(device.path().join("dev")).ok()?;
        let event = fs::read_to_string(device.path().join("uevent")).ok()?;
        let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        Some(NamedDevice {
            number: number.trim().parse().ok()?,
            name: name?.to_owned(),
        })
    };
    let below = below.into_iter().flatten().flatten();
    below.filter_map(named).collect()
}

/// Whether a mapping still holds the device of this number. One that was unplugged is held by nobody
/// any more, whatever may have got its number since. None where sysfs does not tell.
pub(crate) fn holds(mapping: DeviceNumber, device: DeviceNumber) -> Option<bool> {
    if !folder(mapping).exists() {
        return None;
    }
    Some(holders(device).contains(&mapping))
}

/// Whether something is made of a device that is not this mapping.
pub(crate) fn is_held_by_others(device: DeviceNumber, than: DeviceNumber) -> bool {
    holders(device).into_iter().any(|holder| holder != than)
}

/// The numbers of what is made of a device, without what has just gone.
fn holders(device: DeviceNumber) -> Vec<DeviceNumber> {
    let holders = fs::read_dir(folder(device).join("holders"));
    let number = |holder: fs::DirEntry| {
        let number = fs::read_to_string(holder.path().join("dev")).ok()?;
        number.trim().parse().ok()
    };
    holders
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(number)
        .collect()
}
