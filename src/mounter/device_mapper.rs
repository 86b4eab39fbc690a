//! The kernel's device-mapper: one verity mapping, from its creation to its removal.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use devicemapper::{DM, DevId, DmFlags, DmNameBuf, DmOptions, DmUuidBuf};
use sha2::{Digest as _, Sha256};

use super::log;
use super::node::{Node, device_number, ensure_misc};
use crate::{
    exit::ExitCode,
    verity::{DeviceNumber, LoadedTable, NotATable, OnCorruption, VerityTable},
};

const CONTROL: &str = "/dev/mapper/control";
const TARGET: &str = "verity";

/// How long another process may take from the creation of a mapping to its activation. After
/// that its maker is taken for dead.
const HALF_MADE: Duration = Duration::from_secs(2);

/// How often a mapping that somebody else is making or removing is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A mapping's name: 1 to 127 bytes of the characters that udev leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingName(DmNameBuf);

/// A text that is no name of a mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a mapping: 1 to 127 of A-Z a-z 0-9 # + - . : = @ _, and not . or ..")]
pub struct BadName(String);

impl std::str::FromStr for MappingName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte);
        if !text.bytes().all(plain) || matches!(text, "." | "..") {
            return Err(BadName(text.to_owned()));
        }
        DmNameBuf::new(text.to_owned())
            .map(Self)
            .map_err(|_| BadName(text.to_owned()))
    }
}

impl std::fmt::Display for MappingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl MappingName {
    /// Opens the block device of a mapping, whose node is made where nobody else has made it.
    pub(crate) fn open(&self, number: DeviceNumber) -> io::Result<(Node, File)> {
        let path = Path::new("/dev/mapper").join(self.to_string());
        let node = Node::of_mapping(&path, number)?;
        let file = File::open(node.path())?;
        if device_number(file.metadata()?.rdev()) != number {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        Ok((node, file))
    }
}

/// What a verity mapping has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerityStatus {
    /// All that was read was what the root hash says.
    Verified,
    /// A block was not.
    Corrupt,
}

impl VerityStatus {
    /// What the target says. Kernels may say more after the letter.
    pub(crate) fn of_target(text: &str) -> Self {
        match text.split_ascii_whitespace().next() {
            Some("V") => Self::Verified,
            _ => Self::Corrupt,
        }
    }
}

/// Why a mapping cannot be made, or asked.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The kernel has no device-mapper.
    #[error(
        "this kernel has no device-mapper: load the module `dm-mod`, or use a kernel with CONFIG_BLK_DEV_DM"
    )]
    NoDeviceMapper,
    /// The kernel has no verity target.
    #[error(
        "this kernel's device-mapper has no verity target: load the module `dm-verity`, or use a kernel with CONFIG_DM_VERITY"
    )]
    NoVerityTarget,
    /// The target is too old for an option.
    #[error("this kernel's verity target ({}.{}) does not know {option}: Linux {linux} and later do", has.0, has.1)]
    TooOld {
        /// The optional argument of the table.
        option: &'static str,
        /// The version of the target.
        has: (u32, u32),
        /// The first version of Linux with it.
        linux: &'static str,
    },
    /// A udev that would have to answer through a semaphore that it cannot see.
    #[error(
        "/run/udev is visible, but this container has its own IPC namespace: udev could never answer. Do not mount /run/udev into the container"
    )]
    ForeignUdev,
    /// A mapping of this name has another table.
    #[error("the name {name} is taken by a mapping with another table: {table}")]
    NameTaken {
        /// The name.
        name: MappingName,
        /// Its table, as the kernel shows it.
        table: String,
    },
    /// The kernel shows another table than was loaded.
    #[error("the kernel has another table for {name} than it was given: {table}")]
    OtherTable {
        /// The name.
        name: MappingName,
        /// Its table, as the kernel shows it.
        table: String,
    },
    /// A device of the table is in use by something else, most likely mounted.
    #[error(
        "the data or hash device is in use by something else (mounted without verification, or part of another mapping): {0}"
    )]
    DeviceInUse(io::Error),
    /// A block did not fit to the root hash.
    #[error("the disk is corrupt: {0}")]
    Corrupt(String),
    /// A table of a form that is not known.
    #[error(transparent)]
    Table(#[from] NotATable),
    /// A system call failed.
    #[error("device-mapper cannot {action}: {source}")]
    Io {
        /// What was done.
        action: String,
        /// With its errno.
        source: io::Error,
    },
}

impl MappingError {
    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoDeviceMapper
            | Self::NoVerityTarget
            | Self::TooOld { .. }
            | Self::ForeignUdev => ExitCode::Unsupported,
            Self::NameTaken { .. } | Self::DeviceInUse(_) => ExitCode::InTheWay,
            Self::OtherTable { .. } | Self::Corrupt(_) => ExitCode::Integrity,
            Self::Table(_) => ExitCode::Failure,
            Self::Io { source, .. } => ExitCode::of_io(source),
        }
    }

    fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// A mapping as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Its name.
    pub(crate) name: MappingName,
    /// The parameters of its one verity target.
    pub(crate) table: String,
    /// What it has seen.
    pub(crate) status: VerityStatus,
}

impl Description {
    /// What the table says.
    pub(crate) fn loaded_table(&self) -> Result<LoadedTable, MappingError> {
        Ok(self.table.parse()?)
    }
}

/// The way to the kernel's device-mapper.
pub(crate) struct DeviceMapper {
    dm: DM,
}

impl DeviceMapper {
    /// Opens it; its node is made where it is missing.
    pub(crate) fn open() -> Result<Self, MappingError> {
        match ensure_misc(Path::new(CONTROL), "device-mapper") {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Err(MappingError::NoDeviceMapper);
            }
            result => result.map_err(MappingError::io(format!("make {CONTROL}")))?,
        }
        if udev_cannot_answer() {
            return Err(MappingError::ForeignUdev);
        }
        // Opened here once, since the crate loses the errno.
        File::open(CONTROL).map_err(|source| match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => MappingError::NoDeviceMapper,
            _ => MappingError::io(format!("open {CONTROL}"))(source),
        })?;
        let dm = DM::new().map_err(failed(format!("open {CONTROL}")))?;
        Ok(Self { dm })
    }

    /// The name of the mapping with this device number; None where it is no mapping, or gone.
    pub(crate) fn find(&self, number: DeviceNumber) -> Result<Option<MappingName>, MappingError> {
        let devices = self
            .dm
            .list_devices()
            .map_err(failed("list its mappings"))?;
        Ok(devices
            .into_iter()
            .find(|(_, device, _)| (device.major, device.minor) == (number.major, number.minor))
            .map(|(name, ..)| MappingName(name)))
    }

    /// What the kernel says of a mapping; None where it has none of this name, or where it is no
    /// active mapping of one verity target.
    pub(crate) fn describe(&self, name: &MappingName) -> Result<Option<Description>, MappingError> {
        let Some(table) = self.verity_target(name, DmFlags::DM_STATUS_TABLE)? else {
            return Ok(None);
        };
        let Some(status) = self.verity_target(name, DmFlags::empty())? else {
            return Ok(None);
        };
        Ok(Some(Description {
            name: name.clone(),
            table,
            status: VerityStatus::of_target(&status),
        }))
    }

    /// The text of a mapping's only target, if that is of type verity.
    fn verity_target(
        &self,
        name: &MappingName,
        flags: DmFlags,
    ) -> Result<Option<String>, MappingError> {
        let options = DmOptions::default().set_flags(flags);
        match self.dm.table_status(&DevId::Name(&name.0), options) {
            Ok((_, targets)) => Ok(match <[_; 1]>::try_from(targets) {
                Ok([(_, _, target, text)]) if target == TARGET => Some(text),
                _ => None,
            }),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(failed(format!("read the table of {name}"))(error)),
        }
    }

    /// Checks that the verity target, where it is loaded already, knows an option.
    fn check_option(&self, on_corruption: OnCorruption) -> Result<(), MappingError> {
        match self.target_version()? {
            Some(has) => knows(has, on_corruption),
            None => Ok(()),
        }
    }

    /// The version of the verity target; None where it is not loaded.
    fn target_version(&self) -> Result<Option<(u32, u32)>, MappingError> {
        let versions = self
            .dm
            .list_versions()
            .map_err(failed("list its targets"))?;
        Ok(versions
            .into_iter()
            .find(|(target, ..)| target == TARGET)
            .map(|(_, major, minor, _)| (major, minor)))
    }

    /// Makes an active, read-only mapping with this table, or joins the one that is there: one
    /// of this name with another table is an error.
    pub(crate) fn activate(
        &self,
        name: &MappingName,
        table: &VerityTable,
    ) -> Result<Mapping<'_>, MappingError> {
        self.check_option(table.on_corruption)?;
        let text = table.to_string();
        let mut half_made_since = None;
        loop {
            let mapping = match self.create(name)? {
                Some(mut mapping) => {
                    mapping.undo = self.load(name, table, &text)?;
                    mapping.undo.then_some(mapping)
                }
                None => match self.describe(name)? {
                    Some(found) if found.table == text => self.join(name)?,
                    Some(found) => {
                        let table = found.table;
                        return Err(MappingError::NameTaken {
                            name: name.clone(),
                            table,
                        });
                    }
                    None => None,
                },
            };
            if let Some(mut mapping) = mapping
                && mapping.open()?
            {
                mapping.check(table, &text)?;
                return Ok(mapping);
            }
            // Somebody else is making it, or removing it, or died halfway.
            let since = *half_made_since.get_or_insert_with(Instant::now);
            if since.elapsed() > HALF_MADE {
                self.remove_half_made(name)?;
                half_made_since = None;
            } else {
                thread::sleep(POLL);
            }
        }
    }

    /// None where the name is taken.
    fn create(&self, name: &MappingName) -> Result<Option<Mapping<'_>>, MappingError> {
        let uuid = uuid(name);
        match self
            .dm
            .device_create(&name.0, Some(&uuid), DmOptions::default())
        {
            Ok(info) => Ok(Some(self.mapping(name, info.device(), false))),
            Err(error) if errno(&error) == Some(libc::EBUSY) => Ok(None),
            Err(error) => Err(failed(format!("create {name}"))(error)),
        }
    }

    /// Takes a share in a mapping that is there; None where it has gone.
    fn join(&self, name: &MappingName) -> Result<Option<Mapping<'_>>, MappingError> {
        match self.dm.device_info(&DevId::Name(&name.0)) {
            Ok(info) => Ok(Some(self.mapping(name, info.device(), true))),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(failed(format!("look at {name}"))(error)),
        }
    }

    fn mapping(
        &self,
        name: &MappingName,
        device: devicemapper::Device,
        joined: bool,
    ) -> Mapping<'_> {
        Mapping {
            dm: self,
            name: name.clone(),
            number: DeviceNumber {
                major: device.major,
                minor: device.minor,
            },
            joined,
            open: None,
            undo: true,
        }
    }

    /// Loads the table and makes it the active one. False where somebody took the mapping for
    /// half made, and removed it.
    fn load(
        &self,
        name: &MappingName,
        table: &VerityTable,
        text: &str,
    ) -> Result<bool, MappingError> {
        let id = DevId::Name(&name.0);
        let target = [(0, table.sectors(), TARGET.to_owned(), text.to_owned())];
        let read_only = DmOptions::default().set_flags(DmFlags::DM_READONLY);
        if let Err(error) = self.dm.table_load(&id, &target, read_only) {
            return Err(match errno(&error) {
                Some(libc::ENXIO) => return Ok(false),
                // The kernel tries to load the module; now it would be in the list.
                Some(libc::EINVAL) if self.target_version()?.is_none() => {
                    MappingError::NoVerityTarget
                }
                Some(libc::EINVAL) => {
                    self.check_option(table.on_corruption)?;
                    failed(format!(
                        "load the table of {name} (the kernel's log has the reason; table: {text})"
                    ))(error)
                }
                Some(errno @ libc::EBUSY) => {
                    MappingError::DeviceInUse(io::Error::from_raw_os_error(errno))
                }
                _ => failed(format!("load the table of {name}"))(error),
            });
        }
        match self.dm.device_suspend(&id, DmOptions::default()) {
            Ok(_) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(false),
            Err(error) => Err(failed(format!("activate {name}"))(error)),
        }
    }

    /// Removes a mapping that nobody activated, and that nobody has open.
    fn remove_half_made(&self, name: &MappingName) -> Result<(), MappingError> {
        match self.dm.device_info(&DevId::Name(&name.0)) {
            Ok(info) if info.flags().contains(DmFlags::DM_ACTIVE_PRESENT) => {
                Err(MappingError::NameTaken {
                    name: name.clone(),
                    table: "not one of dm-verity".to_owned(),
                })
            }
            Ok(_) if self.remove(name, DmFlags::empty())? => Ok(()),
            Ok(_) => Err(MappingError::NameTaken {
                name: name.clone(),
                table: "none yet, and somebody has it open".to_owned(),
            }),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(()),
            Err(error) => Err(failed(format!("look at {name}"))(error)),
        }
    }

    /// Removes a mapping. False where it is in use; one that is gone already is no error.
    fn remove(&self, name: &MappingName, flags: DmFlags) -> Result<bool, MappingError> {
        let options = DmOptions::default().set_flags(flags);
        match self.dm.device_remove(&DevId::Name(&name.0), options) {
            Ok(_) => Ok(true),
            Err(error) if errno(&error) == Some(libc::ENXIO) => Ok(true),
            Err(error) if errno(&error) == Some(libc::EBUSY) => Ok(false),
            Err(error) => Err(failed(format!("remove {name}"))(error)),
        }
    }

    /// Removes a mapping unless somebody uses it. Whether it is gone.
    pub(crate) fn remove_unused(&self, name: &MappingName) -> Result<bool, MappingError> {
        match self.dm.device_info(&DevId::Name(&name.0)) {
            Ok(info) if info.open_count() > 0 => Ok(false),
            _ => self.remove(name, DmFlags::empty()),
        }
    }

    /// Lets a mapping go with its last user.
    pub(crate) fn remove_with_last_user(&self, name: &MappingName) -> Result<(), MappingError> {
        self.remove(name, DmFlags::DM_DEFERRED_REMOVE).map(|_| ())
    }
}

/// An active mapping. Dropped, it is removed, unless somebody else uses it.
pub(crate) struct Mapping<'dm> {
    dm: &'dm DeviceMapper,
    name: MappingName,
    number: DeviceNumber,
    joined: bool,
    /// Its node and its open block device: nobody else can remove what is open.
    open: Option<(Node, File)>,
    undo: bool,
}

impl Mapping<'_> {
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

    /// The kernel has just the table that it was given, read-only, and nothing is corrupt yet.
    fn check(&self, table: &VerityTable, text: &str) -> Result<(), MappingError> {
        let options = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE);
        let (info, targets) = self
            .dm
            .dm
            .table_status(&DevId::Name(&self.name.0), options)
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
            _ => Err(MappingError::Corrupt(format!(
                "dm-verity says so of {}",
                self.name
            ))),
        }
    }

    /// Opens its block device, whose node is made where nobody else has made it. False where the
    /// mapping has gone meanwhile.
    fn open(&mut self) -> Result<bool, MappingError> {
        match self.name.open(self.number) {
            Ok(open) => {
                self.open = Some(open);
                // From now on it goes with this program, whatever becomes of that.
                self.dm.remove_with_last_user(&self.name)?;
                Ok(true)
            }
            // The mapping has gone, or somebody who shares it has just removed the node.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENXIO | libc::ENODEV | libc::ENOENT)
                ) =>
            {
                self.undo = !self.joined;
                Ok(false)
            }
            Err(error) => Err(MappingError::io(format!("open {}", self.name))(error)),
        }
    }

    /// Its node and its open block device.
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
            Err(error) => log::warn(format_args!("the mapping {} stays: {error}", self.name)),
        }
    }
}

/// Whether this version of the verity target knows an option.
fn knows(has: (u32, u32), on_corruption: OnCorruption) -> Result<(), MappingError> {
    match on_corruption.argument() {
        Some((option, needs, linux)) if has < needs => {
            Err(MappingError::TooOld { option, has, linux })
        }
        _ => Ok(()),
    }
}

/// Marks the mapping as this project's. A UUID has less room than two names could need.
fn uuid(name: &MappingName) -> DmUuidBuf {
    let digest = Sha256::digest(name.to_string());
    DmUuidBuf::new(format!("DISK-MOUNTER-{}", hex::encode(digest)))
        .unwrap_or_else(|_| unreachable!("77 ASCII characters"))
}

/// Device-mapper waits for udev through a semaphore of the System V kind, wherever udev's socket
/// is visible. From another IPC namespace udev cannot reach it: the wait would never end.
fn udev_cannot_answer() -> bool {
    /// The number of the first IPC namespace: `PROC_IPC_INIT_INO` of the kernel.
    const INITIAL: u64 = 0xEFFF_FFFF;
    Path::new("/run/udev/control").exists()
        && fs::metadata("/proc/self/ns/ipc").is_ok_and(|namespace| namespace.ino() != INITIAL)
}

/// The errno in the crate's error.
fn errno(error: &devicemapper::DmError) -> Option<i32> {
    use devicemapper::{DmError, errors::Error};
    match error {
        DmError::Core(Error::Ioctl(_, _, _, errno)) => Some(**errno as i32),
        _ => None,
    }
}

fn failed(action: impl Into<String>) -> impl FnOnce(devicemapper::DmError) -> MappingError {
    let action = action.into();
    move |error| {
        let source = match errno(&error) {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::other(error.to_string()),
        };
        MappingError::Io { action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "verity-0123", "A.b:c=d@e_f#g+h-", &"n".repeat(127)] {
            assert_eq!(good.parse::<MappingName>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "é",
            "a\n",
            "a\0",
            &"n".repeat(128),
        ] {
            assert!(bad.parse::<MappingName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_first_word_of_a_status_counts() {
        for text in ["V", "V ", "V -", "V 0 new words"] {
            assert_eq!(VerityStatus::of_target(text), VerityStatus::Verified);
        }
        for text in ["C", "C -", "", "X", "VV", "verified V"] {
            assert_eq!(VerityStatus::of_target(text), VerityStatus::Corrupt);
        }
    }

    #[test]
    fn an_option_that_the_kernel_lacks_is_named() {
        let error = knows((1, 6), OnCorruption::Panic).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unsupported);
        let text = error.to_string();
        for word in ["(1.6)", "panic_on_corruption", "Linux 5.9"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(knows((1, 1), OnCorruption::Restart).is_err());
        for (has, option) in [
            ((1, 7), OnCorruption::Panic),
            ((1, 2), OnCorruption::Restart),
            ((2, 0), OnCorruption::Panic),
            ((1, 0), OnCorruption::Eio),
        ] {
            assert!(knows(has, option).is_ok(), "{has:?} {option:?}");
        }
    }

    #[test]
    fn the_longest_name_has_a_uuid() {
        let name: MappingName = "n".repeat(127).parse().unwrap();
        assert_eq!(uuid(&name).to_string().len(), 77);
    }
}
