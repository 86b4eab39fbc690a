//! The partition table of a disk: the GPT of the UEFI specification, chapter 5. No hash covers it,
//! so that whoever operates the disk has chosen every byte of it.
//!
//! It is read as strictly as Linux reads it, or more so. The second table at the end of a disk is
//! never read: it would be one more that somebody can choose.

use crc::{CRC_32_ISO_HDLC, Crc};
use uuid::Uuid;
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

use crate::ReadAt;

/// No table with more entries is read: that is eight times as many as there are by default.
pub const MAX_PARTITIONS: u32 = 1024;

/// The header is in the second sector, whatever the size of sectors is.
const SECTOR_SIZES: [u64; 2] = [512, 4096];

const SIGNATURE: &[u8; 8] = b"EFI PART";

/// Where the header's checksum of itself is, which counts as zeros in it.
const CHECKSUM: std::ops::Range<usize> = 16..20;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTableHeader {
    signature: [u8; 8],
    revision: U32,
    header_size: U32,
    checksum: U32,
    reserved: U32,
    own_sector: U64,
    other_header: U64,
    first_usable: U64,
    last_usable: U64,
    disk_guid: [u8; 16],
    entries_sector: U64,
    entries: U32,
    entry_size: U32,
    entries_checksum: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTableEntry {
    type_guid: [u8; 16],
    guid: [u8; 16],
    first_sector: U64,
    last_sector: U64,
    attributes: U64,
    name: [u8; 72],
}

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    partitions: Vec<Partition>,
}

/// A part of a disk, within it and apart from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the table, as the kernel counts: from 1 on.
    pub number: u32,
    /// What the table says that it is for.
    pub type_guid: Uuid,
    /// Where it starts, in bytes.
    pub start: u64,
    /// How many bytes it has; at least one sector.
    pub bytes: u64,
}

/// Why a disk has no partition table that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPartitionTable {
    /// There is none.
    #[error("its signature is missing, at byte 512 and at byte 4096")]
    Signature,
    /// It has been changed, or was never whole.
    #[error("the checksum of its {0} is another")]
    Checksum(&'static str),
    /// Its header is not one of a GPT.
    #[error("its header says that {0}")]
    Header(&'static str),
    /// More than anybody needs.
    #[error("it has {0} entries, and no more than {MAX_PARTITIONS} are read")]
    Entries(u32),
    /// A partition cannot be where the table says.
    #[error("partition {0} is not within the part of the disk that is for partitions")]
    Outside(u32),
    /// Two partitions are one in part.
    #[error("the partitions {0} and {1} overlap")]
    Overlap(u32, u32),
}

impl PartitionTable {
    /// Reads it. An error is one of reading; the inner one says why there is no table.
    ///
    /// What is read is bounded, whatever the header says.
    pub fn read<D: ReadAt + ?Sized>(disk: &D) -> Result<Result<Self, NoPartitionTable>, D::Error> {
        for sector_size in SECTOR_SIZES {
            let mut sector = vec![0; sector_size as usize];
            if sector_size.saturating_mul(2) > disk.bytes() {
                continue;
            }
            disk.read_exact_at(&mut sector, sector_size)?;
            if !sector.starts_with(SIGNATURE) {
                continue;
            }
            let header = match TableHeader::parse(&sector, sector_size, disk.bytes()) {
                Ok(header) => header,
                Err(reason) => return Ok(Err(reason)),
            };
            let mut entries = vec![0; header.entries_size as usize];
            disk.read_exact_at(&mut entries, header.entries_start)?;
            return Ok(header.partitions(&entries));
        }
        Ok(Err(NoPartitionTable::Signature))
    }

    /// The partitions in the order of their numbers.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with a number.
    pub fn get(&self, number: u32) -> Option<&Partition> {
        let mut partitions = self.partitions.iter();
        partitions.find(|partition| partition.number == number)
    }
}

/// What is needed of a header that has been checked: all it names is on the disk.
struct TableHeader {
    sector_size: u64,
    /// The sectors that partitions may have.
    usable: std::ops::RangeInclusive<u64>,
    /// Where the entries are, and how large they are together, in bytes.
    entries_start: u64,
    entries_size: u64,
    entries_checksum: u32,
}

impl TableHeader {
    fn parse(sector: &[u8], sector_size: u64, disk_bytes: u64) -> Result<Self, NoPartitionTable> {
        use NoPartitionTable as No;
        let Ok((raw, _)) = RawTableHeader::ref_from_prefix(sector) else {
            return Err(No::Signature);
        };
        let size = raw.header_size.get() as usize;
        let header = match sector.get(..size) {
            Some(header) if size >= size_of::<RawTableHeader>() => header,
            _ => return Err(No::Header("it has another size than a header can have")),
        };
        if header_checksum(header) != raw.checksum.get() {
            return Err(No::Checksum("header"));
        }
        if raw.own_sector.get() != 1 {
            return Err(No::Header("it belongs into another sector"));
        }
        if raw.entry_size.get() as usize != size_of::<RawTableEntry>() {
            return Err(No::Header("its entries do not have 128 bytes"));
        }
        let entries = raw.entries.get();
        if entries > MAX_PARTITIONS {
            return Err(No::Entries(entries));
        }
        let entries_size = u64::from(entries).saturating_mul(size_of::<RawTableEntry>() as u64);
        let usable = raw.first_usable.get()..=raw.last_usable.get();
        let usable_end = usable.end().checked_add(1);
        let usable_end = usable_end.and_then(|sector| sector.checked_mul(sector_size));
        if usable.is_empty() || usable_end.is_none_or(|end| end > disk_bytes) {
            return Err(No::Header("partitions may be where there is no disk"));
        }
        // That of the first usable sector can be had: it comes before the last one's end.
        let usable_start = usable.start().saturating_mul(sector_size);
        let entries_start = raw.entries_sector.get().checked_mul(sector_size);
        match entries_start.and_then(|start| Some((start, start.checked_add(entries_size)?))) {
            Some((entries_start, end)) if raw.entries_sector.get() > 1 && end <= usable_start => {
                Ok(Self {
                    sector_size,
                    usable,
                    entries_start,
                    entries_size,
                    entries_checksum: raw.entries_checksum.get(),
                })
            }
            _ => Err(No::Header("its entries are not before the partitions")),
        }
    }

    fn partitions(&self, entries: &[u8]) -> Result<PartitionTable, NoPartitionTable> {
        if checksum(&[entries]) != self.entries_checksum {
            return Err(NoPartitionTable::Checksum("entries"));
        }
        let raw = entries.chunks_exact(size_of::<RawTableEntry>());
        let raw = raw.filter_map(|raw| RawTableEntry::ref_from_bytes(raw).ok());
        let used = raw.zip(1..).filter(|(raw, _)| raw.type_guid != [0; 16]);
        let partitions: Vec<_> = used
            .map(|(raw, number)| self.partition(raw, number))
            .collect::<Result<_, _>>()?;
        let mut in_order: Vec<_> = partitions.iter().collect();
        in_order.sort_by_key(|partition| partition.start);
        for (one, next) in in_order.iter().zip(in_order.iter().skip(1)) {
            if one.start.saturating_add(one.bytes) > next.start {
                return Err(NoPartitionTable::Overlap(one.number, next.number));
            }
        }
        Ok(PartitionTable { partitions })
    }

    fn partition(&self, raw: &RawTableEntry, number: u32) -> Result<Partition, NoPartitionTable> {
        let (first, last) = (raw.first_sector.get(), raw.last_sector.get());
        if first > last || !self.usable.contains(&first) || !self.usable.contains(&last) {
            return Err(NoPartitionTable::Outside(number));
        }
        // Within the usable sectors, whose end in bytes is known to fit.
        let sectors = last.saturating_sub(first).saturating_add(1);
        Ok(Partition {
            number,
            type_guid: Uuid::from_bytes_le(raw.type_guid),
            start: first.saturating_mul(self.sector_size),
            bytes: sectors.saturating_mul(self.sector_size),
        })
    }
}

fn header_checksum(header: &[u8]) -> u32 {
    let before = header.get(..CHECKSUM.start).unwrap_or_default();
    let after = header.get(CHECKSUM.end..).unwrap_or_default();
    checksum(&[before, &[0; 4], after])
}

fn checksum(parts: &[&[u8]]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}
