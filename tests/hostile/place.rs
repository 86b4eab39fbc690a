//! Where things are: hash areas within the data, before it, past the end; disks that were cut.

use model_disk::{ErrorChain, ExitCode, HasExitCode};
use test_support::image::{DiskImage, SaltKind, assemble, data};

use crate::{
    Test,
    disk_file::{DiskFile, Options},
};
use dm_verity::Superblock;

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_hash_area_inside_the_data", a_hash_area_inside_the_data),
    (
        "hash_offsets_where_nothing_is",
        hash_offsets_where_nothing_is,
    ),
    ("every_length", every_length),
    (
        "a_bad_superblock_after_padding",
        a_bad_superblock_after_padding,
    ),
    ("more_than_there_should_be", more_than_there_should_be),
];

/// A superblock and the right root block inside the data: the hash area would be data too.
fn a_hash_area_inside_the_data() {
    let file = DiskFile::new();
    for salt in [SaltKind::Geometry, SaltKind::Zero, SaltKind::Empty] {
        let image = DiskImage::new(&data(40 * 512, 20), (512, 512), salt);
        let area = &image.bytes[image.data_end()..];
        for at in (2048..image.data_end() - area.len()).step_by(512) {
            let mut disk = image.bytes.clone();
            disk[at..at + area.len()].copy_from_slice(area);
            let reason = &["within the data"];
            file.refuses(&disk, &image.root_hash, Options::at(at), reason);
            let options = Options::at(at).data_blocks(40);
            file.refuses(&disk, &image.root_hash, options, reason);
            // The same without any arguments: the filesystem claims to end there.
            test_support::image::claim_erofs(&mut disk, 9, at as u32 / 512);
            file.refuses(&disk, &image.root_hash, Options::default(), reason);
        }
    }
}

fn hash_offsets_where_nothing_is() {
    let file = DiskFile::new();
    let image = DiskImage::new(&data(40 * 512, 21), (512, 512), SaltKind::Geometry);
    let length = image.bytes.len();
    let reasons = &[
        "its magic is missing",
        "cut short",
        "not a multiple",
        "too large",
    ];
    let here = image.data_end();
    for offset in (0..length + 1024).filter(|offset| *offset != here) {
        file.refuses(&image.bytes, &image.root_hash, Options::at(offset), reasons);
    }
    for bits in 14..=64 {
        let power = 1u128 << bits;
        for offset in [power - 512, power - 1, power, power + 1, power + 512] {
            if let Ok(offset) = usize::try_from(offset) {
                file.refuses(&image.bytes, &image.root_hash, Options::at(offset), reasons);
            }
        }
    }
    // A superblock at no multiple of a sector is one that the kernel's tree cannot follow.
    for shift in (1..512).step_by(7) {
        let area = &image.bytes[here..];
        let disk = [image.data(), &vec![0; shift], area].concat();
        let options = Options::at(here + shift);
        let error = file.check(&disk, &image.root_hash, options).unwrap_err();
        // No disk can bring that about, only the argument.
        assert_eq!(error.exit_code(), ExitCode::Usage, "{error}");
        let chain = ErrorChain(&error).to_string();
        assert!(chain.contains("is not a multiple of 512"), "{chain}");
    }
}

/// Cut at every length: nothing shorter than the whole is accepted.
fn every_length() {
    let file = DiskFile::new();
    let reasons = &[
        "cut short",
        "no erofs filesystem",
        "no dm-verity superblock",
    ];
    for (blocks, n) in [
        ((512, 512), 40),
        ((4096, 4096), 2),
        ((4096, 4096), 1),
        ((512, 4096), 17),
    ] {
        let image = DiskImage::new(&data(n * blocks.0 as usize, 22), blocks, SaltKind::Geometry);
        for length in 0..image.bytes.len() {
            let disk = &image.bytes[..length];
            file.refuses(
                disk,
                &image.root_hash,
                Options::at(image.data_end()),
                reasons,
            );
            if length % 64 < 2 {
                file.refuses(disk, &image.root_hash, Options::default(), reasons);
            }
        }
        file.accepts(&image, Options::default());
    }
}

/// What comes after the tree means nothing. A second hash area after the first does neither, nor
/// does one in its place with the first after it.
fn more_than_there_should_be() {
    let file = DiskFile::new();
    let [ours, theirs] =
        [23, 24].map(|seed| DiskImage::new(&data(40 * 512, seed), (512, 512), SaltKind::Geometry));
    let area = |image: &DiskImage| image.bytes[image.data_end()..].to_vec();
    for more in [vec![0; 1], vec![0xff; 4096], area(&theirs)] {
        let disk = [ours.bytes.clone(), more].concat();
        file.check(&disk, &ours.root_hash, Options::default())
            .unwrap();
    }
    let disk = [ours.data().to_vec(), area(&theirs), area(&ours)].concat();
    file.refuses(
        &disk,
        &ours.root_hash,
        Options::default(),
        &["does not match"],
    );
    // Padding, and then ours: within reach of the search, or out of it.
    let superblock = Superblock {
        uuid: uuid::Uuid::nil(),
        params: ours.params.clone(),
    };
    for padding in (512..70_000).step_by(512) {
        let mut disk = ours.data().to_vec();
        disk.resize(disk.len() + padding, 0);
        disk.extend(&assemble(&[], &superblock, &ours.levels));
        match file.check(&disk, &ours.root_hash, Options::default()) {
            Ok(checked) => assert_eq!(checked.params(), &ours.params),
            Err(error) => assert!(
                ["no dm-verity superblock", "cut short"]
                    .iter()
                    .any(|reason| error.to_string().contains(reason)),
                "{error}"
            ),
        }
    }
}

/// The first place with the magic counts, and what is wrong there is what is told: not that there
/// is no superblock at the place before.
fn a_bad_superblock_after_padding() {
    let file = DiskFile::new();
    let image = DiskImage::new(&data(40 * 512, 25), (512, 8192), SaltKind::Geometry);
    // At the next multiple of 8192 bytes after 20480.
    let mut disk = image.data().to_vec();
    disk.resize(24576, 0);
    disk.extend(&image.bytes[image.data_end()..]);
    for (offset, reason) in [
        (8, "version"),
        (12, "hash type"),
        (35, "algorithm"),
        (511, "padding"),
    ] {
        let mut disk = disk.clone();
        disk[24576 + offset] ^= 0x40;
        file.refuses(&disk, &image.root_hash, Options::default(), &[reason]);
    }
    file.refuses(
        &disk[..24576 + 511],
        &image.root_hash,
        Options::default(),
        &["has no dm-verity superblock"],
    );
}
