//! Disks with a partition table (GPT), made in a slow and plain way, to be bent afterwards.

use crate::image::DiskImage;

/// A type that says nothing but that a partition is Linux's.
pub const LINUX: u128 = 0x0fc63daf_8483_4772_8e79_3d69d8477de4;
/// The root directory of x86-64.
pub const ROOT: u128 = 0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709;
/// Its hash tree.
pub const ROOT_VERITY: u128 = 0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5;

/// A partition: its type, its first sector, and its last.
pub type TablePartition = (u128, u64, u64);

/// The sector of the first entry; the header is in the one before.
const ENTRIES: usize = 2;

/// Where a field of the header is, from the start of the disk.
pub fn header_field(sector_size: usize, offset: usize) -> usize {
    sector_size + offset
}

/// Where an entry is; they are counted from 1.
pub fn entry(sector_size: usize, number: usize) -> usize {
    ENTRIES * sector_size + 128 * (number - 1)
}

/// The first sector that partitions can have, where there are no more than 32.
pub fn first_usable(sector_size: usize) -> usize {
    ENTRIES + 4096usize.div_ceil(sector_size)
}

/// Puts a table with room for 32 partitions onto a disk, where all that follows is for them.
pub fn write_table(disk: &mut [u8], sector_size: usize, partitions: &[TablePartition]) {
    let sectors = (disk.len() / sector_size) as u64;
    let mut set = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    for (offset, bytes) in [
        (0, &b"EFI PART"[..]),
        (8, &0x0001_0000u32.to_le_bytes()),
        (12, &92u32.to_le_bytes()),
        (24, &1u64.to_le_bytes()),
        (32, &(sectors - 1).to_le_bytes()),
        (40, &(first_usable(sector_size) as u64).to_le_bytes()),
        (48, &(sectors - 1).to_le_bytes()),
        (72, &(ENTRIES as u64).to_le_bytes()),
        (80, &32u32.to_le_bytes()),
        (84, &128u32.to_le_bytes()),
    ] {
        set(header_field(sector_size, offset), bytes);
    }
    for (number, (partition_type, first, last)) in partitions.iter().enumerate() {
        let at = entry(sector_size, number + 1);
        let partition_type = uuid::Uuid::from_u128(*partition_type);
        set(at, &partition_type.to_bytes_le());
        set(at + 32, &first.to_le_bytes());
        set(at + 40, &last.to_le_bytes());
    }
    seal(disk, sector_size);
}

/// Makes the checksums of a table true, as whoever changes it can. What is no table stays as it is.
pub fn seal(disk: &mut [u8], sector_size: usize) {
    let number = |disk: &[u8], offset: usize, size: usize| {
        let at = header_field(sector_size, offset);
        let bytes = disk.get(at..at + size)?;
        let number = bytes.iter().rev();
        usize::try_from(number.fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))).ok()
    };
    let entries = || {
        let start = number(disk, 72, 8)?.checked_mul(sector_size)?;
        let size = number(disk, 80, 4)?.checked_mul(number(disk, 84, 4)?)?;
        Some(crc32(disk.get(start..start.checked_add(size)?)?))
    };
    let sum = entries();
    let at = header_field(sector_size, 88);
    if let (Some(sum), Some(place)) = (sum, disk.get_mut(at..at + 4)) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    let header = || {
        let size = number(disk, 12, 4).filter(|size| (92..=sector_size).contains(size))?;
        let mut header = disk.get(sector_size..sector_size + size)?.to_vec();
        header[16..20].fill(0);
        Some(crc32(&header))
    };
    if let Some(sum) = header() {
        let at = header_field(sector_size, 16);
        disk[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    !sum
}

/// A disk with the data of an image in its first partition, and superblock and tree in its second.
pub fn partitioned(image: &DiskImage, sector_size: usize, types: [u128; 2]) -> Vec<u8> {
    let area = &image.bytes[image.data_end()..];
    let sectors = |bytes: usize| bytes.div_ceil(sector_size);
    let data = first_usable(sector_size);
    let hash = data + sectors(image.data_end());
    let end = hash + sectors(area.len());
    let mut disk = vec![0; end * sector_size];
    disk[data * sector_size..][..image.data_end()].copy_from_slice(image.data());
    disk[hash * sector_size..][..area.len()].copy_from_slice(area);
    let [data, hash, end] = [data, hash, end].map(|sector| sector as u64);
    let partitions = [(types[0], data, hash - 1), (types[1], hash, end - 1)];
    write_table(&mut disk, sector_size, &partitions);
    disk
}
