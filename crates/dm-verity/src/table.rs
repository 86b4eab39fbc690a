//! The kernel's table line for the target `verity`.

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

use super::{BlockSize, HashArea, RootHash, VerityParams, fec::FecRoots};

/// The number of a block device, written `major:minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl core::str::FromStr for DeviceNumber {
    type Err = NotATable;

    fn from_str(text: &str) -> Result<Self, NotATable> {
        let (major, minor) = text.split_once(':').ok_or(NotATable)?;
        let number = |text: &str| text.parse().map_err(|_| NotATable);
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// What the kernel does when it reads a corrupt block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCorruption {
    /// The reader gets EIO.
    #[default]
    Eio,
    /// The machine restarts.
    Restart,
    /// The kernel panics.
    Panic,
}

impl OnCorruption {
    /// The optional argument of the table, with the version of the target and
    /// the first Linux that have it. None for what needs no argument.
    pub fn argument(self) -> Option<(&'static str, (u32, u32), &'static str)> {
        match self {
            Self::Eio => None,
            Self::Restart => Some(("restart_on_corruption", (1, 2), "4.1")),
            Self::Panic => Some(("panic_on_corruption", (1, 7), "5.9")),
        }
    }
}

/// What the kernel does when a block cannot be read, which is no corruption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReadError {
    /// The reader gets EIO.
    #[default]
    Eio,
    /// The machine restarts.
    Restart,
    /// The kernel panics.
    Panic,
}

impl OnReadError {
    /// The optional argument of the table, with the version of the target and the first Linux that
    /// have it. None for what needs no argument.
    ///
    /// The version is that of Linux 6.8 already: it was not raised when these came. An older one
    /// surely lacks them, and of this one only loading a table tells.
    pub fn argument(self) -> Option<(&'static str, (u32, u32), &'static str)> {
        match self {
            Self::Eio => None,
            Self::Restart => Some(("restart_on_error", (1, 10), "6.12")),
            Self::Panic => Some(("panic_on_error", (1, 10), "6.12")),
        }
    }
}

/// How the kernel corrects blocks that are not what the root hash says.
///
/// The version of the target tells nothing of it: all have it since 1.3, unless they were built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecTable {
    /// The device with the FEC area; it may be that of the tree, or of the data.
    pub device: DeviceNumber,
    /// How many blocks it covers: those of the data, and those from the first of the tree on.
    pub blocks: u64,
    /// Its first block, counted from the start of the device.
    pub start: u64,
    /// How many bytes of a codeword are parity.
    pub roots: FecRoots,
}

impl FecTable {
    /// How many words it is in a table.
    const WORDS: usize = 8;
    /// The word before its device.
    const DEVICE: &str = "use_fec_from_device";
}

impl fmt::Display for FecTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            blocks,
            start,
            roots,
        } = self;
        let name = Self::DEVICE;
        write!(
            f,
            "{name} {device} fec_blocks {blocks} fec_start {start} fec_roots {roots}"
        )
    }
}

/// A table of one verity target, as it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerityTable {
    /// The device with the data.
    pub data_device: DeviceNumber,
    /// The device with the tree; it may be the same.
    pub hash_device: DeviceNumber,
    /// The parameters of the tree.
    pub params: VerityParams,
    /// Where the tree is on the hash device.
    pub hash_area: HashArea,
    /// What it is checked against.
    pub root_hash: RootHash,
    /// What happens on corruption.
    pub on_corruption: OnCorruption,
    /// What happens when a block cannot be read.
    pub on_error: OnReadError,
    /// What is tried before either.
    pub fec: Option<FecTable>,
}

impl VerityTable {
    /// The length of the device that the target makes, in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.params.data_bytes() / 512
    }
}

/// The target's parameters, in the very form in which the kernel gives them back.
impl fmt::Display for VerityTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = &self.params;
        write!(
            f,
            "1 {} {} {} {} {} {} {} {} {}",
            self.data_device,
            self.hash_device,
            params.data_block_size(),
            params.hash_block_size(),
            params.data_blocks(),
            self.hash_area.first_block(),
            params.algorithm(),
            self.root_hash,
            params.salt(),
        )?;
        // The kernel gives them back in this order, whatever they were given in.
        let on_corruption = self.on_corruption.argument();
        let on_error = self.on_error.argument();
        let arguments = || on_corruption.iter().chain(&on_error);
        let fec_words = self.fec.map_or(0, |_| FecTable::WORDS);
        match arguments().count().saturating_add(fec_words) {
            0 => return Ok(()),
            count => write!(f, " {count}")?,
        }
        arguments().try_for_each(|(argument, ..)| write!(f, " {argument}"))?;
        self.fec.iter().try_for_each(|fec| write!(f, " {fec}"))
    }
}

/// What is needed of a table that the kernel has: whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedTable {
    /// The device with the data.
    pub data_device: DeviceNumber,
    /// The device with the tree.
    pub hash_device: DeviceNumber,
    /// The unit in which the data is verified.
    pub data_block_size: BlockSize,
    /// How many bytes of data there are.
    pub data_bytes: u64,
    /// The root hash, in hex.
    pub root_hash: String,
    /// The device with the FEC area, where there is one.
    pub fec_device: Option<DeviceNumber>,
}

/// A text that is no table of a verity target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's dm-verity table has an unknown form")]
pub struct NotATable;

impl core::str::FromStr for LoadedTable {
    type Err = NotATable;

    /// Reads a verity target's parameters, of any version.
    fn from_str(text: &str) -> Result<Self, NotATable> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let field = |index: usize| fields.get(index).copied().ok_or(NotATable);
        let number = |index: usize| field(index)?.parse::<u64>().map_err(|_| NotATable);
        let data_block_size = BlockSize::new(number(3)?).map_err(|_| NotATable)?;
        let mut arguments = fields.iter().skip(10);
        let fec_device = arguments
            .find(|word| **word == FecTable::DEVICE)
            .map(|_| arguments.next().ok_or(NotATable)?.parse())
            .transpose()?;
        Ok(Self {
            fec_device,
            data_block_size,
            data_device: field(1)?.parse()?,
            hash_device: field(2)?.parse()?,
            data_bytes: data_block_size
                .bytes()
                .checked_mul(number(5)?)
                .ok_or(NotATable)?,
            root_hash: field(8)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockSize, HashAlgorithm, Salt};

    fn table(salt: &str, on_corruption: OnCorruption) -> VerityTable {
        let params = VerityParams::new(
            HashAlgorithm::Sha256,
            BlockSize::DEFAULT,
            BlockSize::new(1024).unwrap(),
            300,
            salt.parse::<Salt>().unwrap(),
        )
        .unwrap();
        VerityTable {
            data_device: DeviceNumber { major: 7, minor: 0 },
            hash_device: DeviceNumber {
                major: 259,
                minor: 1048575,
            },
            hash_area: HashArea::new(&params, 4096, true).unwrap(),
            params,
            root_hash: "ab".repeat(32).parse().unwrap(),
            on_corruption,
            on_error: OnReadError::Eio,
            fec: None,
        }
    }

    fn fec() -> FecTable {
        FecTable {
            device: DeviceNumber { major: 7, minor: 2 },
            blocks: 303,
            start: 77,
            roots: FecRoots::default(),
        }
    }

    #[test]
    fn the_kernels_form() {
        let root = "ab".repeat(32);
        let plain = table("-", OnCorruption::Eio);
        assert_eq!(plain.sectors(), 2400);
        assert_eq!(
            plain.to_string(),
            format!("1 7:0 259:1048575 4096 1024 300 5 sha256 {root} -")
        );
        assert_eq!(
            table("00ff", OnCorruption::Panic).to_string(),
            format!("1 7:0 259:1048575 4096 1024 300 5 sha256 {root} 00ff 1 panic_on_corruption")
        );
    }

    #[test]
    fn optional_arguments_are_counted_and_in_the_kernels_order() {
        let corruption = [
            (OnCorruption::Eio, None),
            (OnCorruption::Restart, Some("restart_on_corruption")),
            (OnCorruption::Panic, Some("panic_on_corruption")),
        ];
        let error = [
            (OnReadError::Eio, None),
            (OnReadError::Restart, Some("restart_on_error")),
            (OnReadError::Panic, Some("panic_on_error")),
        ];
        for (on_corruption, first) in corruption {
            for (on_error, second) in error {
                let table = VerityTable {
                    on_error,
                    ..table("00ff", on_corruption)
                };
                let text = table.to_string();
                let (_, end) = text.split_once(" 00ff").unwrap();
                let expected = match (first, second) {
                    (None, None) => String::new(),
                    (Some(one), None) | (None, Some(one)) => format!(" 1 {one}"),
                    (Some(first), Some(second)) => format!(" 2 {first} {second}"),
                };
                assert_eq!(end, expected);
            }
        }
    }

    #[test]
    fn correction_comes_last_and_each_of_its_words_counts() {
        let words = "use_fec_from_device 7:2 fec_blocks 303 fec_start 77 fec_roots 2";
        for (on_corruption, expected) in [
            (OnCorruption::Eio, format!(" 00ff 8 {words}")),
            (
                OnCorruption::Restart,
                format!(" 00ff 9 restart_on_corruption {words}"),
            ),
        ] {
            let table = VerityTable {
                fec: Some(fec()),
                ..table("00ff", on_corruption)
            };
            let text = table.to_string();
            assert!(text.ends_with(&expected), "{text}");
            let loaded: LoadedTable = text.parse().unwrap();
            assert_eq!(loaded.fec_device, Some(fec().device));
        }
        let cut = format!("{} 8 use_fec_from_device", table("00ff", OnCorruption::Eio));
        assert_eq!(cut.parse::<LoadedTable>(), Err(NotATable));
    }

    #[test]
    fn whose_it_is() {
        let table = table("00", OnCorruption::Restart);
        let loaded: LoadedTable = table.to_string().parse().unwrap();
        assert_eq!(loaded.data_device, table.data_device);
        assert_eq!(loaded.hash_device, table.hash_device);
        assert_eq!(loaded.data_bytes, table.params.data_bytes());
        assert_eq!(loaded.root_hash, table.root_hash.to_string());
        assert_eq!(loaded.fec_device, None);
        for bad in [
            "",
            "1",
            "1 7:0",
            "1 7:0 7:x 4096 4096 1 1 sha256 ab -",
            "1 7:0 7:0 4096 4096 x 1 sha256 ab -",
            "1 7:0 7:0 4096 4096 18446744073709551615 1 sha256 ab -",
            "1 7:0 7:0 4096 4096 1 1 sha256",
        ] {
            assert_eq!(bad.parse::<LoadedTable>(), Err(NotATable), "{bad:?}");
        }
    }
}
