//! A mapping that this program has made or joined, with its undo.

use std::{fs::File, io, os::unix::fs::MetadataExt, path::Path};

use devicemapper::{DeviceInfo, DmFlags, DmOptions};

use super::{
    Description, DeviceMapper, MappingError, MappingName, Mark, VerityStatus, failed,
    target::TARGET,
};
use crate::{device_node::DeviceNode, log};
use dm_verity::{DeviceNumber, VerityTable};
use model_disk::{ErrorChain, device_number};

/// An active mapping. Dropped, it is removed, unless somebody else uses it, or another program has
/// made it.
pub(crate) struct Mapping<'dm> {
    dm: &'dm DeviceMapper,
    name: MappingName,
    number: DeviceNumber,
    joined: bool,
    /// Whether it has this project's mark; any other is left as it was.
    own: bool,
    /// Its node and its open block device: nobody else can remove what is open.
    open: Option<(DeviceNode, File)>,
    undo: bool,
}

impl<'dm> Mapping<'dm> {
    /// One that is there; `joined` where somebody else has made it.
    pub(super) fn new(
        dm: &'dm DeviceMapper,
        name: &MappingName,
        info: &DeviceInfo,
        joined: bool,
    ) -> Self {
        let device = info.device();
        Self {
            dm,
            name: name.clone(),
            own: Mark::is_on(info),
            number: DeviceNumber {
                major: device.major,
                minor: device.minor,
            },
            joined,
            open: None,
            undo: true,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &MappingName {
        &self.name
    }

    /// The number of its block device.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Whether it was there before.
    pub(crate) fn is_joined(&self) -> bool {
        self.joined
    }

    /// Whether it is one of this project.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// The kernel has just the table that it was given, read-only, and nothing is corrupt yet.
    pub(super) fn check(&self, table: &VerityTable, text: &str) -> Result<(), MappingError> {
        let options = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE);
        let (info, targets) = self
            .dm
            .dm
            .table_status(&self.name.id(), options)
            .map_err(failed(format!("read the table of {}", self.name)))?;
        let expected = [(0, table.sectors(), TARGET.to_owned(), text.to_owned())];
        if targets != expected || !info.flags().contains(DmFlags::DM_READONLY) {
            let table = format!("{targets:?}, {:?}", info.flags());
            return Err(MappingError::OtherTable {
                name: self.name.clone(),
                table,
            });
        }
        self.check_status()
    }

    /// Nothing is corrupt yet.
    pub(crate) fn check_status(&self) -> Result<(), MappingError> {
        match self.dm.describe(&self.name)? {
            Some(Description {
                status: VerityStatus::Verified,
                ..
            }) => Ok(()),
            _ => Err(MappingError::Corrupt(self.name.clone())),
        }
    }

    /// Opens its block device, whose node is made where nobody else has made it. False where the
    /// mapping has gone meanwhile.
    pub(super) fn open(&mut self) -> Result<bool, MappingError> {
        match self.name.open(self.number, self.own) {
            Ok(Some(open)) => {
                self.open = Some(open);
                // From now on it goes with this program, whatever becomes of that.
                self.dm.remove_with_last_user(&self.name)?;
                Ok(true)
            }
            Ok(None) => {
                self.undo = !self.joined;
                Ok(false)
            }
            Err(error) => Err(MappingError::io(format!("open {}", self.name))(error)),
        }
    }

    /// Its node and its open block device.
    #[expect(clippy::unreachable, reason = "a mapping is given away open only")]
    pub(crate) fn device(&self) -> (&Path, &File) {
        match &self.open {
            Some((node, file)) => (node.path(), file),
            None => unreachable!("a mapping that was given away is open"),
        }
    }

    /// Leaves the mapping to those who use it by now: it goes with the last of them.
    pub(crate) fn leave(mut self) {
        self.undo = false;
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.open = None;
        if !self.undo {
            return;
        }
        match self.dm.remove(&self.name, DmFlags::empty()) {
            Ok(true) => {}
            // A joined mapping is somebody else's too.
            Ok(false) if self.joined => {}
            Ok(false) => log::warn(format_args!(
                "the mapping {} is in use and stays",
                self.name
            )),
            Err(error) => log::warn(format_args!(
                "the mapping {} stays: {}",
                self.name,
                ErrorChain(&error)
            )),
        }
    }
}

impl MappingName {
    /// Opens the block device of a mapping, whose node is made where nobody else has made it, and
    /// goes again if the mapping is an `own` one of this project. None where the mapping has gone,
    /// or somebody who shares it has just removed the node.
    pub(crate) fn open(
        &self,
        number: DeviceNumber,
        own: bool,
    ) -> io::Result<Option<(DeviceNode, File)>> {
        let path = Path::new("/dev/mapper").join(self.to_string());
        let node = DeviceNode::of_mapping(&path, number, own)?;
        let file = match File::open(node.path()) {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENXIO | libc::ENODEV | libc::ENOENT)
                ) =>
            {
                return Ok(None);
            }
            file => file?,
        };
        if device_number(file.metadata()?.rdev()) != number {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        Ok(Some((node, file)))
    }
}
