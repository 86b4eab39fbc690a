//! Device nodes where nobody else makes them: a container's `/dev` has no udev and does not get
//! the nodes of new devices.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use dm_verity::DeviceNumber;
use model_disk::device_number;

/// The kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceNodeKind {
    /// A block device.
    Block,
    /// A character device.
    Character,
}

/// How often a node is tried again that others make and remove meanwhile.
const ATTEMPTS: u32 = 64;

/// A device node that is known to be there. If this project made it, it goes when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct DeviceNode {
    path: PathBuf,
    made: bool,
}

impl DeviceNode {
    /// Finds or makes the node of a device. A file of this name that is something else is EEXIST.
    pub(crate) fn ensure(
        path: &Path,
        kind: DeviceNodeKind,
        number: DeviceNumber,
    ) -> io::Result<Self> {
        let node = |made| Self {
            path: path.to_owned(),
            made,
        };
        if is_node(path, kind, number)? {
            return Ok(node(false));
        }
        if let Some(parent) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)?;
        }
        let flag = match kind {
            DeviceNodeKind::Block => SFlag::S_IFBLK,
            DeviceNodeKind::Character => SFlag::S_IFCHR,
        };
        let device = makedev(number.major.into(), number.minor.into());
        for _ in 0..ATTEMPTS {
            match mknod(path, flag, Mode::S_IRUSR | Mode::S_IWUSR, device) {
                Ok(()) => return Ok(node(true)),
                // Somebody else was faster.
                Err(nix::Error::EEXIST) if is_node(path, kind, number)? => return Ok(node(false)),
                // And has removed it again.
                Err(nix::Error::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EEXIST))
    }

    /// Finds or makes the node of a mapping at the path of its name.
    ///
    /// udev makes a link there. Of an `own` mapping, which is one of this project, the node is this
    /// project's too: one with another number is of a mapping that has gone, and one with this
    /// number was left by a run that was killed. Of a mapping of others it is theirs.
    pub(crate) fn of_mapping(path: &Path, number: DeviceNumber, own: bool) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if own && metadata.file_type().is_block_device() => {
                if device_number(metadata.rdev()) == number {
                    return Ok(Self {
                        path: path.to_owned(),
                        made: true,
                    });
                }
                fs::remove_file(path)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Self::ensure(path, DeviceNodeKind::Block, number)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it stay.
    pub(crate) fn keep(mut self) {
        self.made = false;
    }
}

impl Drop for DeviceNode {
    fn drop(&mut self) {
        if self.made {
            // Nothing more can be done; the node alone gives nobody anything.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_node(path: &Path, kind: DeviceNodeKind, number: DeviceNumber) -> io::Result<bool> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        metadata => metadata?,
    };
    let kind_fits = match kind {
        DeviceNodeKind::Block => metadata.file_type().is_block_device(),
        DeviceNodeKind::Character => metadata.file_type().is_char_device(),
    };
    if kind_fits && device_number(metadata.rdev()) == number {
        return Ok(true);
    }
    Err(io::Error::from_raw_os_error(libc::EEXIST))
}

/// The node of a driver that registered as a "misc" character device, made where it is missing.
///
/// It is left in place: it is what every `/dev` of a kernel with this driver has. ENODEV where
/// the kernel has no such driver.
pub(crate) fn ensure_misc(path: &Path, driver: &str) -> io::Result<()> {
    const MISC_MAJOR: u32 = 10;
    if path.exists() {
        return Ok(());
    }
    let minor = misc_minor(&fs::read_to_string("/proc/misc")?, driver)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    DeviceNode::ensure(
        path,
        DeviceNodeKind::Character,
        DeviceNumber {
            major: MISC_MAJOR,
            minor,
        },
    )?
    .keep();
    Ok(())
}

/// Finds a driver in the text of `/proc/misc`.
fn misc_minor(text: &str, driver: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let (minor, name) = line.trim_start().split_once(' ')?;
        if name == driver {
            minor.parse().ok()
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_numbers_of_drivers() {
        let text = "227 mcelog\n236 device-mapper\n  1 psaux\n";
        assert_eq!(misc_minor(text, "device-mapper"), Some(236));
        assert_eq!(misc_minor(text, "psaux"), Some(1));
        assert_eq!(misc_minor(text, "device"), None);
        assert_eq!(misc_minor("", "psaux"), None);
    }

    #[test]
    fn a_node_that_is_there_stays() {
        let null = DeviceNumber { major: 1, minor: 3 };
        let path = Path::new("/dev/null");
        drop(DeviceNode::ensure(path, DeviceNodeKind::Character, null).unwrap());
        assert!(path.exists());
        for (kind, number) in [
            (DeviceNodeKind::Block, null),
            (DeviceNodeKind::Character, DeviceNumber { minor: 5, ..null }),
        ] {
            let error = DeviceNode::ensure(path, kind, number).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        }
    }
}
