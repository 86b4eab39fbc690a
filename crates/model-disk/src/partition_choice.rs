//! Which partitions of a disk hold the data and the hash tree.
//!
//! Whatever a partition table makes of it, nothing is believed for that: what is found is judged
//! like two devices that the arguments name, see [`Disk::check`](crate::Disk::check).

use std::path::PathBuf;

use crate::{
    BackingFile, BackingKind, Escaped, ExitCode, FileError, HasExitCode, NoPartitionTable,
    Partition, PartitionTable, ReadAt, partition_types::data_type_of, superblocks::superblock_at,
};

/// The numbers of the partitions that the arguments name. Those that they do not name are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionChoice {
    /// The one with the data.
    pub data: Option<u32>,
    /// The one with the hash tree.
    pub hash: Option<u32>,
}

/// Why it is not known which partitions are meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionChoiceError {
    /// The arguments name one that the table does not have.
    #[error("it has no partition {0}")]
    NoSuch(u32),
    /// The arguments name one for both.
    #[error("partition {0} cannot hold both the data and its hash tree")]
    Same(u32),
    /// None holds a tree.
    #[error(
        "no partition has a type for hash trees, and none starts with a dm-verity superblock \
         (--hash-partition names one)"
    )]
    NoHash,
    /// None holds data.
    #[error("no partition is left for the data (--data-partition names one)")]
    NoData,
    /// More than one could.
    #[error("the partitions {0} could hold the hash tree: --hash-partition says which does")]
    ManyHashes(String),
    /// More than one could.
    #[error("the partitions {0} could hold the data: --data-partition says which does")]
    ManyData(String),
}

/// Why a disk is not taken apart.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has no table.
    #[error(
        "{} has no partition table (GPT) that is accepted",
        Escaped::path(path)
    )]
    Table {
        /// The device.
        path: PathBuf,
        /// What is wrong.
        source: NoPartitionTable,
    },
    /// It has one, which does not tell.
    #[error(
        "the partitions of {} do not tell where data and hash tree are",
        Escaped::path(path)
    )]
    Choice {
        /// The device.
        path: PathBuf,
        /// What is missing.
        source: PartitionChoiceError,
    },
    /// The device cannot be read from there on.
    #[error(
        "partition {number} of {} does not start and end with a block of the device, which has \
         {logical} bytes",
        Escaped::path(path)
    )]
    Misaligned {
        /// The device.
        path: PathBuf,
        /// The partition.
        number: u32,
        /// The smallest unit that the device can be read in.
        logical: u32,
    },
}

impl HasExitCode for PartitionError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Choice {
                source: PartitionChoiceError::Same(_),
                ..
            } => ExitCode::Usage,
            Self::Table { .. } | Self::Choice { .. } | Self::Misaligned { .. } => {
                ExitCode::Integrity
            }
        }
    }
}

impl PartitionChoice {
    /// Finds the partitions on an open device: that with the data, and that with the tree. Both are
    /// read through the descriptor of the device.
    pub fn open(self, device: &BackingFile) -> Result<(BackingFile, BackingFile), PartitionError> {
        let path = || device.path().to_owned();
        let table = PartitionTable::read(device)?.map_err(|source| PartitionError::Table {
            path: path(),
            source,
        })?;
        let (data, hash) = self
            .find(&table, device)?
            .map_err(|source| PartitionError::Choice {
                path: path(),
                source,
            })?;
        Ok((part(device, data)?, part(device, hash)?))
    }

    /// Finds them in a table: that with the data, and that with the tree. An error is one of
    /// reading; the inner one says why it is not known which they are.
    ///
    /// The tree is in the partition of a type for hash trees, of those of the Discoverable
    /// Partitions; where there is none, in the one that starts with a dm-verity superblock. The data
    /// is in the partition of the type that goes with that of the tree; where there is none, in the
    /// only one that is left.
    pub fn find<D: ReadAt + ?Sized>(
        self,
        table: &PartitionTable,
        disk: &D,
    ) -> Result<Result<(Partition, Partition), PartitionChoiceError>, D::Error> {
        let hash = match self.hash {
            Some(number) => named(table, number),
            None => self.hash_partition(table, disk)?,
        };
        Ok(hash.and_then(|hash| {
            let data = match self.data {
                Some(number) => named(table, number)?,
                None => data_partition(table, &hash)?,
            };
            if data == hash {
                return Err(PartitionChoiceError::Same(data.number));
            }
            Ok((data, hash))
        }))
    }

    fn hash_partition<D: ReadAt + ?Sized>(
        self,
        table: &PartitionTable,
        disk: &D,
    ) -> Result<Result<Partition, PartitionChoiceError>, D::Error> {
        let others = table.partitions().iter();
        let others = others.filter(|partition| Some(partition.number) != self.data);
        let others: Vec<&Partition> = others.collect();
        let typed = others.iter().copied();
        let mut found: Vec<_> = typed.filter(|partition| is_for_trees(partition)).collect();
        if found.is_empty() {
            for partition in others {
                if superblock_at(disk, partition.start)?.has_magic() {
                    found.push(partition);
                }
            }
        }
        let none = PartitionChoiceError::NoHash;
        Ok(the_only(&found, none, PartitionChoiceError::ManyHashes))
    }
}

fn named(table: &PartitionTable, number: u32) -> Result<Partition, PartitionChoiceError> {
    let partition = table.get(number);
    partition
        .copied()
        .ok_or(PartitionChoiceError::NoSuch(number))
}

fn data_partition(
    table: &PartitionTable,
    hash: &Partition,
) -> Result<Partition, PartitionChoiceError> {
    let others = table.partitions().iter();
    let others = others.filter(|partition| *partition != hash && !is_for_trees(partition));
    let others: Vec<&Partition> = others.collect();
    let data_type = data_type_of(hash.type_guid);
    let typed = others.iter().copied();
    let mut found: Vec<_> = typed
        .filter(|partition| Some(partition.type_guid) == data_type)
        .collect();
    if found.is_empty() {
        found = others;
    }
    let none = PartitionChoiceError::NoData;
    the_only(&found, none, PartitionChoiceError::ManyData)
}

fn is_for_trees(partition: &Partition) -> bool {
    data_type_of(partition.type_guid).is_some()
}

/// The only one of those that could be meant; `many` is told their numbers.
fn the_only(
    found: &[&Partition],
    none: PartitionChoiceError,
    many: fn(String) -> PartitionChoiceError,
) -> Result<Partition, PartitionChoiceError> {
    /// No more are named.
    const MOST: usize = 8;
    match found {
        [] => Err(none),
        [only] => Ok(**only),
        _ => {
            let numbers = found.iter().take(MOST);
            let numbers: Vec<_> = numbers
                .map(|partition| partition.number.to_string())
                .collect();
            let more = if found.len() > MOST { ", …" } else { "" };
            Err(many(numbers.join(", ") + more))
        }
    }
}

/// What is in a partition, as a file of its own.
fn part(device: &BackingFile, partition: Partition) -> Result<BackingFile, PartitionError> {
    let Partition { number, .. } = partition;
    let logical = device.logical_block_size()?;
    let whole = |bytes: u64| bytes.is_multiple_of(u64::from(logical));
    if device.kind() != BackingKind::File && !(whole(partition.start) && whole(partition.bytes)) {
        return Err(PartitionError::Misaligned {
            path: device.path().to_owned(),
            number,
            logical,
        });
    }
    Ok(device.part(partition)?)
}
