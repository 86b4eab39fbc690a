//! Partition tables, and the judgement of the disks that they lead to. Each is tried as it is, and once
//! more with true checksums, which no fuzzer finds.

use std::{fs::File, time::Duration};

use disk_mounter::{MountError, MountRequest};
use model_disk::{
    BackingFile, MAX_PARTITIONS, Partition, PartitionChoice, PartitionTable, filesystem::FsType,
};
use test_support::{assert_sound, partitions::seal};

use crate::disk::{fill, judgement};

/// What stands before the disk in the fuzzer's bytes: the filesystem (bits 0 and 1), whether the
/// checksums are made true for sectors of 512 (2) or 4096 bytes (3), whether the partitions of the
/// data (4) and of the tree (5) are named; then these, a byte each.
pub const ARGUMENTS_SIZE: usize = 3;

/// Takes arguments and a disk.
pub fn run(bytes: &[u8]) {
    let Some(([flags, data, hash], disk)) = bytes.split_first_chunk::<ARGUMENTS_SIZE>() else {
        return;
    };
    let set = |bit: u8| flags >> bit & 1 == 1;
    let choice = PartitionChoice {
        data: set(4).then_some(u32::from(*data)),
        hash: set(5).then_some(u32::from(*hash)),
    };
    // That is no fault of the disk.
    if choice.data.is_some() && choice.data == choice.hash {
        return;
    }
    let mut disk = disk.to_vec();
    for (bit, sector_size) in [(2, 512), (3, 4096)] {
        if set(bit) {
            seal(&mut disk, sector_size);
        }
    }
    let table = PartitionTable::read(&disk[..]).unwrap();
    let chosen = table.as_ref().ok().map(|table| {
        assert_apart(table.partitions(), disk.len() as u64);
        choice.find(table, &disk[..]).unwrap()
    });
    thread_local!(static FILE: File = tempfile::tempfile().unwrap());
    FILE.with(|file| {
        let request = MountRequest {
            partitions: Some(choice),
            fs_type: FsType::ALL[usize::from(flags & 3)],
            wait: Duration::ZERO,
            ..MountRequest::new("00".repeat(32).parse().unwrap(), fill(file, &disk), "")
        };
        let fs_type = request.fs_type;
        match judgement(request) {
            Ok((root_hash, accepted)) => {
                let (data, hash) = chosen.unwrap().unwrap();
                let part = |file: &BackingFile, partition: Partition| {
                    let place = (partition.start, partition.bytes);
                    assert_eq!(file.place(), Some(place));
                    &disk[place.0 as usize..][..place.1 as usize]
                };
                let data = part(accepted.data_file(), data);
                let hash = part(accepted.hash_file(), hash);
                assert_sound(data, Some(hash), &root_hash, fs_type, None, &accepted);
            }
            Err(MountError::Partition(_)) => assert!(!matches!(chosen, Some(Ok(_)))),
            Err(_) => assert!(matches!(chosen, Some(Ok(_)))),
        }
    });
}

/// All are on the disk, after the table, and none has a byte of another.
fn assert_apart(partitions: &[Partition], disk_bytes: u64) {
    assert!(partitions.len() <= MAX_PARTITIONS as usize);
    for (index, one) in partitions.iter().enumerate() {
        assert!(one.start >= 1024 && one.bytes >= 512);
        assert!(one.start.checked_add(one.bytes).unwrap() <= disk_bytes);
        assert!(one.start.is_multiple_of(512) && one.bytes.is_multiple_of(512));
        for other in &partitions[..index] {
            assert!(other.number < one.number);
            assert!(one.start + one.bytes <= other.start || other.start + other.bytes <= one.start);
        }
    }
}
