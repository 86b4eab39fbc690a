//! Makes the seeds of the fuzzers: one good input of each kind, from which they start.
//!
//! `cargo run --package disk-mounter-fuzz --example seeds` writes them to `fuzz/corpus`.

// Something is wrong with the program itself where it panics.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use disk_mounter_fuzz::{
    TARGETS, built_disk::BuiltDisk, disk::ARGUMENTS_SIZE, manifest, repair, verify,
};
use dm_verity::{HashAlgorithm, Salt, VerityParams};
use model_disk::{
    FileList, ModelFile, RelativePath,
    erofs::{ExtentSource, ImagePlan},
};
use test_support::{
    image::{DiskImage, SaltKind, data},
    partitions::{LINUX, ROOT, ROOT_VERITY, partitioned},
};

type Seed = (&'static str, Vec<u8>);

fn main() {
    for (target, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&folder).unwrap();
        let seeds = match *target {
            "arguments" => arguments(),
            "disk" => disks(),
            "erofs" => vec![("model", erofs()[1024..].to_vec())],
            "fec" => fec(),
            "filesystem" => filesystems(),
            "kernel" => kernel(),
            "manifest" => manifests(),
            "partitions" => partition_tables(),
            "reader" => readers(),
            "repair" => repairs(),
            "sha256_backends" => sha256_backends(),
            "superblock" => superblocks(),
            "verify" => changes(),
            other => panic!("no seeds are known for {other}"),
        };
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

fn arguments() -> Vec<Seed> {
    let root = "5a".repeat(32);
    [
        ("size", "12T".to_owned()),
        ("block-size", "4096".to_owned()),
        ("device", "253:1".to_owned()),
        ("algorithm", "sha512".to_owned()),
        ("filesystem", "squashfs".to_owned()),
        ("name", "disk-mounter-0a".to_owned()),
        ("salt", "-".to_owned()),
        ("root-hash-512", root.repeat(2)),
        ("words", format!("llama 0 {root}")),
        ("root-hash", root),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into()
}

/// The shapes that differ in how they are bound and how many levels they have.
fn images() -> [(&'static str, DiskImage); 5] {
    let deep = data(17 * 512, 1);
    let sha512 = HashAlgorithm::Sha512;
    [
        (
            "geometry",
            DiskImage::new(&deep, (512, 512), SaltKind::Geometry),
        ),
        ("zero", DiskImage::new(&deep, (512, 512), SaltKind::Zero)),
        (
            "one-block",
            DiskImage::new(&data(2048, 2), (2048, 512), SaltKind::Empty),
        ),
        (
            "padded",
            DiskImage::new(&data(3072, 3), (1024, 2048), SaltKind::Geometry),
        ),
        (
            "sha512",
            DiskImage::with_algorithm(&data(2048, 4), (512, 512), SaltKind::Zero, sha512),
        ),
    ]
}

fn with_arguments(flags: u8, numbers: [usize; 3], disk: &[u8]) -> Vec<u8> {
    let mut seed = vec![flags];
    for number in numbers {
        seed.extend((number as u32).to_le_bytes());
    }
    assert_eq!(seed.len(), ARGUMENTS_SIZE);
    seed.extend(disk);
    seed
}

fn disks() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = images()
        .into_iter()
        .map(|(name, image)| (name, with_arguments(0, [0; 3], &image.bytes)))
        .collect();
    let image = DiskImage::new(&data(1024, 5), (512, 512), SaltKind::Zero);
    let end = image.data_end();
    let hash_device = image.bytes.len() - end;
    seeds.push((
        "arguments",
        with_arguments(0b1100, [end, 2, 0], &image.bytes),
    ));
    seeds.push((
        "hash-device",
        with_arguments(0b11000, [0, 2, hash_device], &image.bytes),
    ));
    for (name, number, fields) in [
        (
            "erofs-48-bit",
            0,
            &[
                (1024, &[0xe2, 0xe1, 0xf5, 0xe0][..]),
                (1036, &[12, 0, 0, 0]),
                (1060, &[1]),
                (1104, &[0x80]),
                (1138, &[1]),
            ][..],
        ),
        ("squashfs", 1, &[(0, b"hsqs"), (40, &[0, 16])]),
        ("ext4", 2, &[(1080, &[0x53, 0xef]), (1028, &[4])]),
        ("xfs", 3, &[(0, b"XFSB\0\0\x02\0"), (15, &[8])]),
    ] {
        let mut model = vec![0; 4096];
        fields
            .iter()
            .for_each(|(at, bytes)| model[*at..at + bytes.len()].copy_from_slice(bytes));
        let image = DiskImage::new(&model, (4096, 512), SaltKind::Zero);
        seeds.push((name, with_arguments(number, [0; 3], &image.bytes)));
    }
    seeds
}

/// An image with files and directories, as far as a walk reads it: up to the files' data.
fn erofs() -> Vec<u8> {
    let files = [
        (&b"a/b/c"[..], 5),
        (b"a/d", 0),
        (b"config.json", 612),
        (b"z", 4097),
    ];
    let files = files.map(|(path, size)| ModelFile {
        path: RelativePath::new(path).unwrap(),
        size,
    });
    let plan = ImagePlan::new(&FileList::new(files.into()).unwrap()).unwrap();
    let mut image = Vec::new();
    let mut end = 0;
    for extent in plan.extents() {
        let length = extent.length as usize;
        match extent.source {
            ExtentSource::Metadata(start) => {
                image.extend(&plan.metadata()[start..start + length]);
                end = image.len();
            }
            ExtentSource::File(_) | ExtentSource::Zeros => image.resize(image.len() + length, 0),
        }
    }
    image.truncate(end);
    image
}

fn filesystems() -> Vec<Seed> {
    let header = |fields: &[(usize, &[u8])]| {
        let mut header = vec![0; 2048];
        fields
            .iter()
            .for_each(|(at, bytes)| header[*at..at + bytes.len()].copy_from_slice(bytes));
        header
    };
    vec![
        ("erofs", data(2048, 6)),
        ("squashfs", header(&[(0, b"hsqs"), (40, &[0, 16])])),
        (
            "ext4",
            header(&[(1080, &[0x53, 0xef]), (1028, &[4]), (1120, &[0x80])]),
        ),
        ("xfs", header(&[(0, b"XFSB\0\0\x10\0"), (15, &[8])])),
    ]
}

fn kernel() -> Vec<Seed> {
    let root = "5a".repeat(32);
    [
        ("status", "V 0 1".to_owned()),
        (
            "table",
            format!("1 7:0 7:0 4096 4096 300 301 sha256 {root} 00 1 panic_on_corruption"),
        ),
        (
            "uevent",
            "change@/devices/virtual/block/dm-0\0ACTION=change\0DM_VERITY_ERR_BLOCK_NR=0,12\0\
             MAJOR=253\0MINOR=0\0DEVNAME=dm-0\0"
                .to_owned(),
        ),
        (
            "mountinfo",
            "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
             37 36 253:1 / /mnt/a\\040b\\134 ro - erofs /dev/dm-1 ro\n"
                .to_owned(),
        ),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into()
}

/// Of both sizes of sectors, found and named, with and without a type that tells.
fn partition_tables() -> Vec<Seed> {
    let image = DiskImage::new(&data(2048, 9), (512, 512), SaltKind::Zero);
    let disk = |sector_size, types| partitioned(&image, sector_size, types);
    let seed = |flags: u8, disk: Vec<u8>| [vec![flags, 1, 2], disk].concat();
    vec![
        ("found", seed(0b100, disk(512, [LINUX, LINUX]))),
        ("types", seed(0b100, disk(512, [ROOT, ROOT_VERITY]))),
        ("named", seed(0b11_0100, disk(512, [LINUX, LINUX]))),
        ("as-it-is", seed(0, disk(512, [ROOT, ROOT_VERITY]))),
        ("large-sectors", seed(0b1000, disk(4096, [LINUX, LINUX]))),
    ]
}

/// The fuzzer takes the numbers of what is damaged from wherever it likes, here too.
fn fec() -> Vec<Seed> {
    vec![
        ("zeros", vec![0; 64]),
        ("short", data(80, 10)),
        ("long", data(1024, 11)),
    ]
}

fn sha256_backends() -> Vec<Seed> {
    // The fuzzer takes the salt's length, the sizes and the bytes from wherever it likes.
    vec![("short", vec![7; 40]), ("long", data(2048, 7))]
}

/// What `build` writes, in two ways of writing it, and what a newer one might.
fn manifests() -> Vec<Seed> {
    let disk = BuiltDisk::new(&manifest::FILES);
    let written = fs::read(model_disk::manifest::default_path(&disk.image())).unwrap();
    let text = String::from_utf8(written.clone()).unwrap();
    let short: String = text.split_ascii_whitespace().collect();
    let newer = text.replacen("\"schema\": 1", "\"schema\": 2, \"more\": [1e9, null]", 1);
    let hex = text.replacen("\"path\": \"z\"", "\"path_hex\": \"7a\"", 1);
    assert!(newer != text && hex != text);
    vec![
        ("written", written),
        ("short", short.into_bytes()),
        ("newer", newer.into_bytes()),
        ("hex", hex.into_bytes()),
    ]
}

/// No change; some in files, in the metadata, in each superblock, in hash blocks and in the root
/// block; and each argument, true and not.
fn changes() -> Vec<Seed> {
    let with = |flags: u8, differs: [u8; verify::ARGUMENTS_SIZE - 1], places: &[u32]| {
        let mut seed = vec![flags];
        seed.extend(differs);
        for place in places {
            seed.extend(&place.to_le_bytes()[..3]);
            seed.push(0x10);
        }
        seed
    };
    let none = [0; verify::ARGUMENTS_SIZE - 1];
    vec![
        ("good", with(0, none, &[])),
        ("no-superblock", with(0b10_1111, none, &[30_000])),
        ("all-arguments", with(0b11_1110, none, &[100, 1100, 5000])),
        ("many", with(0, none, &[20_000, 24_100, 40_000, 61_000])),
        ("filesystem", with(0, none, &[1036])),
        ("superblock", with(0, none, &[61_500])),
        ("root", with(0, none, &[62_000])),
        ("tree", with(0, none, &[62_500, 64_000, 66_000])),
        (
            "fewer-blocks",
            with(0b10_1111, [1, 0, 0, 0, 0, 0, 0, 0], &[]),
        ),
        ("no-sizes", with(0b10_0011, none, &[])),
        (
            "other-sizes",
            with(0b10_1111, [0, 0, 0, 0, 3, 3, 0, 0], &[]),
        ),
        (
            "other-algorithm",
            with(0b01_0000, [0, 0, 0, 0, 0, 0, 1, 0], &[]),
        ),
        ("other-salt", with(0b10_0000, [0, 0, 0, 0, 0, 0, 0, 1], &[])),
    ]
}

fn superblocks() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = images()
        .into_iter()
        .map(|(name, image)| (name, image.bytes[image.data_end()..][..512].to_vec()))
        .collect();
    let largest = VerityParams::new(
        HashAlgorithm::Sha256,
        dm_verity::BlockSize::DEFAULT,
        dm_verity::BlockSize::DEFAULT,
        (1 << 50) - 1,
        Salt::new(&[0xee; 256]).unwrap(),
    );
    let superblock = dm_verity::Superblock {
        uuid: uuid::Uuid::from_u128(9),
        params: largest.unwrap(),
    };
    seeds.push(("largest", superblock.to_bytes().to_vec()));
    seeds
}

/// Images with a byte that is changed: nowhere of importance, in a directory, in the tree. In one of
/// them the last file is in chunks. Two have parity, which in the last is none of theirs.
fn readers() -> Vec<Seed> {
    let image = erofs();
    let seed = |place: u32, image: &[u8]| [&place.to_le_bytes()[..], &image[1024..]].concat();
    let mut chunked = image.clone();
    let last = (1024..4096 - 32)
        .step_by(32)
        .rfind(|at| chunked[at + 4..at + 6] == [0o244, 0o201])
        .unwrap();
    chunked[last] = 4 << 1;
    chunked[last + 16..last + 20].fill(0);
    vec![
        ("model", seed(0, &image)),
        ("directory", seed(4100, &image)),
        ("tree", seed(u32::MAX, &image)),
        ("chunks", seed(7, &chunked)),
        ("corrected", seed(2 << 30, &image)),
        ("not-corrected", seed(3 << 30, &image)),
    ]
}

/// Disks of each shape, with each kind of damage, and more of it than can be corrected.
fn repairs() -> Vec<Seed> {
    type Damage = [u8; repair::DAMAGE_SIZE];
    let seed = |arguments: [u8; repair::ARGUMENTS_SIZE], damages: &[Damage]| {
        [&arguments[..], &damages.concat()].concat()
    };
    // The flags of the disk, what is said, the number of blocks in two bytes, that of roots, and as many
    // are said.
    let small = [0, 1, 99, 0, 2, 0];
    let rows = [0, 1, 0x57, 2, 6, 0];
    let block = |number: u8, with| [1, number, 0, with, 0, 0];
    let of_row = |first: u8, count: u8| [2, first, 0, count, 0x55, 0];
    let of_tree = |number: u8, by: u8| [5, number, 0, 9, by, 200];
    let wrong_parity = [7, 0, 0, 1, 1, 0x11];
    vec![
        ("good", seed(small, &[])),
        ("one-block", seed([0, 1, 0, 0, 0, 0], &[block(0, 3)])),
        ("blocks", seed(small, &[block(7, 0), block(50, 9)])),
        (
            "bytes",
            seed(small, &[[0, 3, 0, 5, 1, 0], [0, 30, 0, 99, 8, 8]]),
        ),
        (
            "most",
            seed(rows, &[of_row(1, 8), of_row(0, 8), wrong_parity]),
        ),
        ("too-many", seed(rows, &[of_row(1, 9), of_row(2, 4)])),
        ("root", seed(rows, &[of_tree(0, 1), block(4, 1)])),
        (
            "tree",
            seed(rows, &[of_tree(1, 1), of_tree(4, 2), block(4, 1)]),
        ),
        (
            "in-one-piece",
            seed([0, 1, 99, 0, 22, 0], &[[3, 96, 0, 10, 5, 0]]),
        ),
        ("swapped", seed(small, &[[4, 3, 0, 60, 0, 0]])),
        ("parity", seed(rows, &[[6, 1, 0, 40, 0, 7], wrong_parity])),
        (
            "parity-of-a-few",
            seed(rows, &[[6, 0, 0, 9, 0, 1], of_row(0, 6)]),
        ),
        (
            "superblock",
            seed(small, &[[8, 9, 0, 1, 0, 0], block(1, 1)]),
        ),
        (
            "no-superblock-left",
            seed([0x0c, 7, 40, 0, 4, 0], &[[8, 0, 0, 0, 0, 0]]),
        ),
        (
            "another-number",
            seed([0x08, 0x41, 40, 0, 4, 0], &[[9, 50, 0, 0, 0, 0]]),
        ),
        ("another-number-bound", seed(small, &[[9, 50, 0, 1, 0, 0]])),
        ("another-tree", seed(rows, &[[10, 0, 0, 0b01000, 0, 0]])),
        ("another-disk", seed(small, &[[10, 0, 0, 0b11111, 0, 0]])),
        ("another-area", seed(small, &[[10, 0, 0, 0b10000, 0, 0]])),
        ("short", seed(small, &[[11, 99, 0, 0, 0, 0], block(1, 1)])),
        (
            "hole",
            seed([0x10, 1, 99, 0, 2, 0], &[[11, 100, 3, 0, 0, 1]]),
        ),
        (
            "longer",
            seed([0x18, 0, 99, 0, 2, 0], &[[11, 0, 1, 1, 0, 3], block(1, 1)]),
        ),
        (
            "apart",
            seed([0x1b, 1, 99, 0, 2, 0], &[block(1, 1), of_tree(1, 7)]),
        ),
        (
            "arguments",
            seed([0x20, 0xc0, 99, 0, 2, 0], &[block(1, 1), of_tree(1, 7)]),
        ),
        (
            "more-covered",
            seed([1, 0x81, 99, 0, 2, 0], &[block(109, 1), block(9, 1)]),
        ),
        (
            "more-changed",
            seed([0, 0x81, 56, 0, 0, 0], &[block(63, 1)]),
        ),
        ("own-salt", seed([4, 2, 99, 0, 2, 0], &[block(1, 1)])),
        (
            "zeros",
            seed([0, 0x11, 99, 0, 2, 0], &[block(1, 1), block(2, 2)]),
        ),
        (
            "some-zeros",
            seed([0, 0x21, 99, 0, 2, 0], &[block(1, 0), block(3, 0)]),
        ),
        (
            "filesystem",
            seed(
                [4, 0x38, 0, 0, 2, 0],
                &[block(20, 1), block(40, 0), [10, 0, 0, 16, 0, 0]],
            ),
        ),
        (
            "first-block",
            seed([0, 0x31, 0, 0, 2, 0], &[block(2, 1), block(0, 1)]),
        ),
        ("other-roots", seed([0, 1, 99, 0, 4, 2], &[block(1, 1)])),
    ]
}
