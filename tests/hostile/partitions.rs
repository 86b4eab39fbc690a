//! Partition tables, of which no hash covers a byte: whatever they say, the disk that is accepted is
//! the one of the root hash.

use disk_mounter::MountError;
use model_disk::{ExitCode, HasExitCode, MAX_PARTITIONS, PartitionChoice, PartitionTable, ReadAt};
use test_support::{
    image::{DiskImage, SaltKind, data},
    partitions::{
        LINUX, ROOT, ROOT_VERITY, entry, first_usable, header_field, partitioned, seal, write_table,
    },
};

use crate::{
    Test,
    disk_file::{DiskFile, Options},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("partitions_that_are_found", partitions_that_are_found),
    ("partitions_that_are_named", partitions_that_are_named),
    ("every_bit_of_a_table", every_bit_of_a_table),
    (
        "every_field_of_a_table_with_true_checksums",
        every_field_of_a_table_with_true_checksums,
    ),
    ("tables_that_cannot_be", tables_that_cannot_be),
    (
        "a_table_at_the_end_of_the_disk",
        a_table_at_the_end_of_the_disk,
    ),
    ("a_partition_cut_short", a_partition_cut_short),
    ("memory_is_bounded", memory_is_bounded),
];

const SECTORS: [usize; 2] = [512, 4096];

/// The table tells nothing of what binds the geometry, and so this disk must bind it by itself.
fn image(seed: u64) -> DiskImage {
    DiskImage::new(&data(40 * 512, seed), (512, 512), SaltKind::Zero)
}

fn found() -> Options {
    Options {
        partitions: Some(PartitionChoice::default()),
        ..Options::default()
    }
}

fn named(data: Option<u32>, hash: Option<u32>) -> Options {
    Options {
        partitions: Some(PartitionChoice { data, hash }),
        ..Options::default()
    }
}

fn set(disk: &mut [u8], at: usize, bytes: &[u8]) {
    disk[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Puts a third partition behind the others.
fn with_third(disk: &[u8], sector: usize, partition_type: u128, content: &[u8]) -> Vec<u8> {
    let first = disk.len() / sector;
    let mut disk = [disk, content].concat();
    disk.resize(disk.len().next_multiple_of(sector), 0);
    let last = (disk.len() / sector - 1) as u64;
    let at = entry(sector, 3);
    set(
        &mut disk,
        at,
        &uuid::Uuid::from_u128(partition_type).to_bytes_le(),
    );
    set(&mut disk, at + 32, &(first as u64).to_le_bytes());
    set(&mut disk, at + 40, &last.to_le_bytes());
    set(&mut disk, header_field(sector, 48), &last.to_le_bytes());
    seal(&mut disk, sector);
    disk
}

fn partitions_that_are_found() {
    let file = DiskFile::new();
    let image = image(50);
    for sector in SECTORS {
        for types in [[LINUX, LINUX], [ROOT, ROOT_VERITY], [LINUX, ROOT_VERITY]] {
            let disk = partitioned(&image, sector, types);
            let accepted = file.check(&disk, &image.root_hash, found()).unwrap();
            assert_eq!(accepted.params(), &image.params);
            // Others are no matter, as long as the types tell.
            let third = with_third(&disk, sector, LINUX, &[7; 8192]);
            let outcome = file.check(&third, &image.root_hash, found());
            match types {
                [ROOT, _] => drop(outcome.unwrap()),
                _ => file.refuses(
                    &third,
                    &image.root_hash,
                    found(),
                    &["the partitions 1, 3 could hold the data: --data-partition says which does"],
                ),
            }
        }
    }
}

fn partitions_that_are_named() {
    let file = DiskFile::new();
    let (image, other) = (image(51), self::image(52));
    for sector in SECTORS {
        let disk = partitioned(&image, sector, [LINUX, LINUX]);
        let tree = &other.bytes[other.data_end()..];
        for partition_type in [LINUX, ROOT_VERITY] {
            let two = with_third(&disk, sector, partition_type, tree);
            let check = |options| file.check(&two, &image.root_hash, options);
            drop(check(named(Some(1), Some(2))).unwrap());
            for (options, reasons) in [
                (named(Some(1), Some(3)), &["does not match"][..]),
                (named(Some(2), Some(1)), &["its magic is missing"]),
                (named(Some(3), Some(2)), &["nothing binds", "cut short"]),
                (named(Some(4), Some(2)), &["it has no partition 4"]),
                (named(Some(1), Some(0)), &["it has no partition 0"]),
                (
                    found(),
                    &[
                        "the partitions 2, 3 could hold the hash tree: --hash-partition says which",
                        "the partitions 1, 2 could hold the data: --data-partition says which",
                    ],
                ),
            ] {
                file.refuses(&two, &image.root_hash, options, reasons);
            }
            let error = check(named(Some(2), Some(2))).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Usage, "{error}");
        }
        let swapped = named(Some(2), None);
        file.refuses(
            &disk,
            &image.root_hash,
            swapped,
            &["no partition has a type"],
        );
        file.refuses(&disk, &other.root_hash, found(), &["does not match"]);
        let [one, nothing] = [1, 0].map(|partitions| {
            let mut disk = disk.clone();
            set(&mut disk, entry(sector, 1), &[0; 16]);
            if partitions == 0 {
                set(&mut disk, entry(sector, 2), &[0; 16]);
            }
            seal(&mut disk, sector);
            disk
        });
        file.refuses(
            &one,
            &image.root_hash,
            found(),
            &["no partition is left for"],
        );
        file.refuses(
            &nothing,
            &image.root_hash,
            found(),
            &["no partition has a type"],
        );
    }
}

/// A table is told from noise by its checksums.
fn every_bit_of_a_table() {
    let file = DiskFile::new();
    let image = image(53);
    for sector in SECTORS {
        let disk = partitioned(&image, sector, [ROOT, ROOT_VERITY]);
        let header = sector..sector + 92;
        let entries = entry(sector, 1)..entry(sector, 4);
        for at in header.chain(entries) {
            for bit in 0..8 {
                let mut disk = disk.clone();
                disk[at] ^= 1 << bit;
                let reasons = &[
                    "its signature is missing",
                    "the checksum of its",
                    "a header can",
                ];
                file.refuses(&disk, &image.root_hash, found(), reasons);
            }
        }
    }
}

/// Whoever changes it makes its checksums true. What is accepted then is sound, which
/// `DiskFile::check` looks at.
fn every_field_of_a_table_with_true_checksums() {
    let file = DiskFile::new();
    let image = image(54);
    for sector in SECTORS {
        let disk = partitioned(&image, sector, [ROOT, ROOT_VERITY]);
        let sectors = (disk.len() / sector) as u64;
        let near = (0..sectors + 2).step_by(7);
        let far = (32..64).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        let numbers: Vec<u64> = near.chain(far).chain([u64::MAX - 1, u64::MAX]).collect();
        let header = [
            (8, 4),
            (12, 4),
            (20, 4),
            (24, 8),
            (32, 8),
            (40, 8),
            (48, 8),
            (72, 8),
            (80, 4),
            (84, 4),
        ];
        let header = header.map(|(offset, size)| (header_field(sector, offset), size));
        let entries = [1, 2, 3].map(|number| entry(sector, number));
        let entries = entries
            .iter()
            .flat_map(|at| [(at + 32, 8), (at + 40, 8), (*at, 4)]);
        for (at, size) in header.into_iter().chain(entries) {
            for number in &numbers {
                let mut disk = disk.clone();
                set(&mut disk, at, &number.to_le_bytes()[..size]);
                seal(&mut disk, sector);
                for options in [found(), named(Some(1), Some(2))] {
                    if let Err(error) = file.check(&disk, &image.root_hash, options) {
                        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
                    }
                }
            }
        }
    }
}

fn tables_that_cannot_be() {
    let file = DiskFile::new();
    let image = image(55);
    for sector in SECTORS {
        let good = partitioned(&image, sector, [LINUX, LINUX]);
        let sectors = (good.len() / sector) as u64;
        let first = first_usable(sector) as u64;
        let (one, two) = (entry(sector, 1), entry(sector, 2));
        let field = |offset| header_field(sector, offset);
        let size = sector as u32 + 1;
        for (at, bytes, reason) in [
            (
                field(12),
                &91u32.to_le_bytes()[..],
                "another size than a header can have",
            ),
            (
                field(12),
                &size.to_le_bytes(),
                "another size than a header can have",
            ),
            (
                field(24),
                &2u64.to_le_bytes(),
                "it belongs into another sector",
            ),
            (
                field(40),
                &(sectors + 1).to_le_bytes(),
                "where there is no disk",
            ),
            (field(48), &sectors.to_le_bytes(), "where there is no disk"),
            (field(48), &u64::MAX.to_le_bytes(), "where there is no disk"),
            (
                field(72),
                &1u64.to_le_bytes(),
                "its entries are not before the partitions",
            ),
            (
                field(72),
                &first.to_le_bytes(),
                "its entries are not before the partitions",
            ),
            (
                field(72),
                &u64::MAX.to_le_bytes(),
                "its entries are not before the partitions",
            ),
            (
                field(80),
                &(MAX_PARTITIONS + 1).to_le_bytes(),
                "no more than 1024 are read",
            ),
            (
                field(80),
                &u32::MAX.to_le_bytes(),
                "no more than 1024 are read",
            ),
            (
                field(80),
                &512u32.to_le_bytes(),
                "its entries are not before the partitions",
            ),
            (
                field(84),
                &256u32.to_le_bytes(),
                "its entries do not have 128 bytes",
            ),
            (
                field(84),
                &0u32.to_le_bytes(),
                "its entries do not have 128 bytes",
            ),
            (
                one + 32,
                &(first - 1).to_le_bytes(),
                "partition 1 is not within",
            ),
            (
                one + 32,
                &u64::MAX.to_le_bytes(),
                "partition 1 is not within",
            ),
            (
                one + 40,
                &(first - 1).to_le_bytes(),
                "partition 1 is not within",
            ),
            (
                two + 40,
                &sectors.to_le_bytes(),
                "partition 2 is not within",
            ),
            (two + 32, &first.to_le_bytes(), "overlap"),
            (
                one + 40,
                &(sectors - 1).to_le_bytes(),
                "the partitions 1 and 2 overlap",
            ),
        ] {
            let mut disk = good.clone();
            set(&mut disk, at, bytes);
            seal(&mut disk, sector);
            file.refuses(&disk, &image.root_hash, found(), &[reason]);
        }
    }
    for length in [0, 511, 512, 1023, 1024, 4096, 8191] {
        let disk = &partitioned(&image, 512, [LINUX, LINUX])[..length];
        let reasons = &["its signature is missing", "where there is no disk"];
        file.refuses(disk, &image.root_hash, found(), reasons);
    }
}

/// The second table is not read, be it good or not.
fn a_table_at_the_end_of_the_disk() {
    let file = DiskFile::new();
    let image = image(56);
    let mut disk = partitioned(&image, 512, [LINUX, LINUX]);
    let (header, entries) = (disk[512..1024].to_vec(), disk[1024..1536].to_vec());
    disk.extend([entries, header].concat());
    let check = |disk: &[u8]| file.check(disk, &image.root_hash, found());
    check(&disk).unwrap();
    disk[512..1536].fill(0);
    let reasons = &["its signature is missing, at byte 512 and at byte 4096"];
    file.refuses(&disk, &image.root_hash, found(), reasons);
}

/// Shorter partitions are devices that are cut short.
fn a_partition_cut_short() {
    let file = DiskFile::new();
    let image = image(57);
    let good = partitioned(&image, 512, [LINUX, LINUX]);
    let first = first_usable(512) as u64;
    let data_end = first + 40;
    for (number, from, to) in [
        (1, first, data_end - 1),
        (2, data_end, (good.len() / 512) as u64 - 1),
    ] {
        for last in from..to {
            let mut disk = good.clone();
            set(&mut disk, entry(512, number) + 40, &last.to_le_bytes());
            seal(&mut disk, 512);
            file.refuses(&disk, &image.root_hash, found(), &["cut short"]);
        }
        // A later start is other data.
        for start in from + 1..=to {
            let mut disk = good.clone();
            set(&mut disk, entry(512, number) + 32, &start.to_le_bytes());
            seal(&mut disk, 512);
            let outcome = file.check(&disk, &image.root_hash, named(Some(1), Some(2)));
            let error = outcome.unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
            assert!(!matches!(error, MountError::Partition(_)), "{error}");
        }
    }
}

/// Counts what is read of it.
struct ReadBytes<'a>(&'a [u8], std::cell::Cell<usize>);

impl ReadAt for ReadBytes<'_> {
    type Error = std::io::Error;

    fn bytes(&self) -> u64 {
        1 << 60
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.1.set(self.1.get() + buffer.len());
        let end = (offset as usize).saturating_add(buffer.len());
        let known = self.0.get(offset as usize..end).unwrap_or_default();
        buffer.fill(0);
        buffer[..known.len()].copy_from_slice(known);
        Ok(())
    }
}

fn memory_is_bounded() {
    let mut disk = vec![0; 1 << 20];
    let partitions: Vec<_> = (0..32).map(|at| (LINUX, 2000 + at, 2000 + at)).collect();
    write_table(&mut disk, 512, &partitions);
    for entries in [32, MAX_PARTITIONS, MAX_PARTITIONS + 1, u32::MAX] {
        set(&mut disk, 512 + 80, &entries.to_le_bytes());
        set(&mut disk, 512 + 40, &2000u64.to_le_bytes());
        seal(&mut disk, 512);
        let counted = ReadBytes(&disk, std::cell::Cell::new(0));
        let table = PartitionTable::read(&counted).unwrap();
        assert_eq!(table.is_ok(), entries <= MAX_PARTITIONS, "{table:?}");
        if let Ok(table) = &table {
            assert_eq!(table.partitions().len(), 32);
            let choice = PartitionChoice::default().find(table, &counted).unwrap();
            choice.unwrap_err();
        }
        assert!(counted.1.get() <= 1024 * (128 + 512) + 8192);
    }
}
