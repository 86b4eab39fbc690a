//! Disks of all shapes, sound, corrupt, and on storage that fails or lies: what is read is right, or is
//! an error that names the block.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use dm_verity::{HashAlgorithm, HashArea, TreeLayout};
use model_disk::{
    BackingFile, Binding, DiskArguments, ExitCode, FileError, HasExitCode, ParamsSource, ReadAt,
};
use test_support::image::{DiskImage, SaltKind, data};
use verified_disk::{BlockStorage, VerifiedDisk, VerifiedDiskError, VerifiedReadError};

/// A disk in memory, and what becomes of each read: it gets whether it is one of data, the place, and
/// the bytes.
struct Bent<'a, F> {
    disk: &'a [u8],
    bend: F,
}

impl<F: Fn(bool, u64, &mut [u8]) -> io::Result<()>> Bent<'_, F> {
    fn read(&self, is_data: bool, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.disk
            .read_exact_at(buffer, offset)
            .and_then(|()| (self.bend)(is_data, offset, buffer))
            .map_err(FileError::new("read", Path::new("bent")))
    }
}

impl<F: Fn(bool, u64, &mut [u8]) -> io::Result<()>> BlockStorage for Bent<'_, F> {
    fn read_data(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.read(true, buffer, offset)
    }

    fn read_hashes(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.read(false, buffer, offset)
    }

    fn data_path(&self) -> &Path {
        Path::new("data")
    }

    fn hash_path(&self) -> &Path {
        Path::new("hashes")
    }
}

fn area(image: &DiskImage) -> HashArea {
    HashArea::new(&image.params, image.data_end() as u64, true).unwrap()
}

fn bent<'a, F>(image: &DiskImage, disk: &'a [u8], bend: F) -> VerifiedDisk<Bent<'a, F>>
where
    F: Fn(bool, u64, &mut [u8]) -> io::Result<()>,
{
    let storage = Bent { disk, bend };
    VerifiedDisk::with_storage(image.params.clone(), area(image), image.root_hash, storage)
}

fn plain(image: &DiskImage) -> VerifiedDisk<impl BlockStorage> {
    bent(image, &image.bytes, |_, _, _| Ok(()))
}

fn shapes() -> impl Iterator<Item = DiskImage> {
    let sizes = [512, 1024, 2048, 4096, 65536];
    let shapes = sizes
        .into_iter()
        .flat_map(move |data| sizes.map(|hash| (data, hash)));
    shapes.flat_map(|(data_size, hash_size)| {
        HashAlgorithm::ALL.into_iter().flat_map(move |algorithm| {
            [1, 2, 9, 150].map(|blocks| {
                let blocks = if data_size == 65536 {
                    blocks.min(9)
                } else {
                    blocks
                };
                let data = data(blocks * data_size as usize, blocks as u64);
                let sizes = (data_size, hash_size);
                DiskImage::with_algorithm(&data, sizes, SaltKind::Geometry, algorithm)
            })
        })
    })
}

/// Numbers that look random.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn every_shape_reads_as_it_is() {
    let mut state = 1;
    let mut tried = 0;
    for image in shapes() {
        let disk = plain(&image);
        let data = image.data();
        assert_eq!(disk.bytes(), data.len() as u64);
        let mut all = vec![0; data.len()];
        disk.read_exact_at(&mut all, 0).unwrap();
        assert!(all == data);
        for _ in 0..10 {
            let start = random(&mut state) as usize % data.len();
            let length = random(&mut state) as usize % (data.len() - start + 1);
            let mut part = vec![0; length];
            disk.read_exact_at(&mut part, start as u64).unwrap();
            assert!(part == data[start..start + length]);
        }
        for (length, offset) in [(1, data.len() as u64), (data.len() + 1, 0), (1, u64::MAX)] {
            let error = disk
                .read_exact_at(&mut vec![7; length], offset)
                .unwrap_err();
            assert!(matches!(error, VerifiedReadError::Beyond { .. }), "{error}");
        }
        tried += 1;
    }
    assert_eq!(tried, 25 * 2 * 4);
}

/// A byte of each block of the data and of each level in turn.
#[test]
fn each_corrupt_block_is_named() {
    for image in shapes().filter(|image| image.bytes.len() < 200_000) {
        let (data_size, hash_size) = (
            image.params.data_block_size().as_usize(),
            image.params.hash_block_size().as_usize(),
        );
        let mut all = vec![0; image.data_end()];
        for block in 0..image.params.data_blocks() {
            let mut bytes = image.bytes.clone();
            bytes[block as usize * data_size + data_size / 2] ^= 1;
            let disk = bent(&image, &bytes, |_, _, _| Ok(()));
            all.fill(0xee);
            let error = disk.read_exact_at(&mut all, 0).unwrap_err();
            let named = matches!(
                error,
                VerifiedReadError::DataBlock { block: found, offset, .. }
                    if found == block && offset == block * data_size as u64
            );
            assert!(named, "{error}");
            assert_eq!(error.exit_code(), ExitCode::Integrity);
            assert!(all.iter().all(|byte| matches!(byte, 0 | 0xee)) || all.len() > 512 << 10);
            // In small pieces, all the others come.
            for other in 0..image.params.data_blocks() {
                let mut one = [0xee; 17];
                let at = other * data_size as u64 + 100;
                let read = disk.read_exact_at(&mut one, at);
                assert_eq!(read.is_ok(), other != block);
                let expected = &image.data()[at as usize..][..17];
                assert!(one == expected || (other == block && one == [0xee; 17]));
            }
        }
        let layout = TreeLayout::new(&image.params);
        for (level, blocks) in layout.levels().iter().enumerate() {
            for number in 0..blocks.blocks {
                let offset = area(&image).block_offset(blocks.first_block + number);
                let mut bytes = image.bytes.clone();
                bytes[offset as usize + hash_size - 1] ^= 0x80;
                let disk = bent(&image, &bytes, |_, _, _| Ok(()));
                all.fill(0xee);
                let error = disk.read_exact_at(&mut all, 0).unwrap_err();
                let named = matches!(
                    error,
                    VerifiedReadError::HashBlock { level: l, block: b, offset: o, .. }
                        if (l, b, o) == (level, number, offset)
                );
                assert!(named, "{level} {number}: {error}");
                assert_eq!(error.exit_code(), ExitCode::Integrity);
            }
        }
    }
}

/// Storage that gives other bytes now and then, and other ones the next time.
#[test]
fn storage_that_changes_between_two_reads() {
    let image = DiskImage::new(&data(600 * 512, 3), (512, 512), SaltKind::Geometry);
    let state = Mutex::new(5);
    let disk = bent(&image, &image.bytes, |_, _, buffer| {
        let mut state = state.lock().unwrap();
        if random(&mut state).is_multiple_of(3) {
            let place = random(&mut state) as usize % buffer.len();
            buffer[place] ^= 1 << (random(&mut state) % 8);
        }
        Ok(())
    });
    let (mut right, mut refused) = (0, 0);
    let mut state = 7;
    for _ in 0..3000 {
        let start = random(&mut state) as usize % image.data_end();
        let length = random(&mut state) as usize % (image.data_end() - start).min(3000);
        let mut part = vec![0xee; length];
        match disk.read_exact_at(&mut part, start as u64) {
            Ok(()) => right += 1,
            Err(_) => refused += 1,
        }
        // What is there after an error is right, or zero, or untouched.
        for (byte, expected) in part.iter().zip(&image.data()[start..]) {
            assert!(byte == expected || matches!(byte, 0 | 0xee));
        }
    }
    assert!(right > 500 && refused > 100, "{right} {refused}");
}

/// What is right at the first read only: it is not read again to be given.
#[test]
fn what_was_verified_is_what_is_given() {
    let image = DiskImage::new(&data(64 * 512, 3), (512, 512), SaltKind::Geometry);
    let seen = Mutex::new(std::collections::BTreeSet::new());
    let disk = bent(&image, &image.bytes, |is_data, offset, buffer| {
        if !seen.lock().unwrap().insert((is_data, offset)) {
            buffer.fill(0xbb);
        }
        Ok(())
    });
    let mut all = vec![0; image.data_end()];
    disk.read_exact_at(&mut all, 0).unwrap();
    assert!(all == image.data());
    let again = disk.read_exact_at(&mut all, 0);
    assert!(matches!(
        again,
        Err(VerifiedReadError::DataBlock { block: 0, .. })
    ));
}

#[test]
fn a_read_error_is_handed_on() {
    let image = DiskImage::new(&data(64 * 512, 3), (512, 512), SaltKind::Geometry);
    for fails_on_data in [true, false] {
        let disk = bent(&image, &image.bytes, |is_data, _, buffer| {
            buffer.fill(0xbb);
            if is_data == fails_on_data {
                return Err(io::Error::from_raw_os_error(5));
            }
            Ok(())
        });
        let mut all = vec![0xee; 4096];
        let error = disk.read_exact_at(&mut all, 0).unwrap_err();
        match (&error, fails_on_data) {
            (VerifiedReadError::File(error), _) => {
                assert_eq!(error.source.raw_os_error(), Some(5));
            }
            // The digests are looked at first.
            (VerifiedReadError::HashBlock { .. }, true) => {}
            _ => panic!("{error}"),
        }
        assert!(all.iter().all(|byte| *byte == 0xee || *byte == 0));
    }
}

/// Each byte of a disk is read once by whoever reads it in order, and the tree as well.
#[test]
fn nothing_is_read_twice() {
    for image in shapes() {
        let read = AtomicU64::new(0);
        let disk = bent(&image, &image.bytes, |_, _, buffer| {
            read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            Ok(())
        });
        let mut part = vec![0; 3 * image.params.data_block_size().as_usize()];
        for offset in (0..image.data_end()).step_by(part.len()) {
            let length = part.len().min(image.data_end() - offset);
            disk.read_exact_at(&mut part[..length], offset as u64)
                .unwrap();
        }
        let tree = TreeLayout::new(&image.params).blocks() * image.params.hash_block_size().bytes();
        assert_eq!(read.into_inner(), image.data_end() as u64 + tree);
    }
}

#[test]
fn many_threads_at_a_time() {
    let image = DiskImage::new(&data(3000 * 512, 3), (512, 512), SaltKind::Geometry);
    let disk = plain(&image);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (disk, image) = (&disk, &image);
            scope.spawn(move || {
                let mut state = thread + 1;
                for _ in 0..200 {
                    let start = random(&mut state) as usize % image.data_end();
                    let length = random(&mut state) as usize % (image.data_end() - start);
                    let mut part = vec![0; length];
                    disk.read_exact_at(&mut part, start as u64).unwrap();
                    assert!(part == image.data()[start..start + length]);
                }
            });
        }
    });
}

struct OpenedFrom {
    folder: tempfile::TempDir,
}

impl OpenedFrom {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> BackingFile {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        BackingFile::open(&path).unwrap()
    }

    fn file_to_write(&self, name: &str) -> File {
        File::options()
            .write(true)
            .open(self.folder.path().join(name))
            .unwrap()
    }
}

fn read_all(disk: &VerifiedDisk) -> Result<Vec<u8>, VerifiedReadError> {
    let mut all = vec![0; disk.bytes() as usize];
    disk.read_exact_at(&mut all, 0)?;
    Ok(all)
}

#[test]
fn opened_in_all_ways() {
    let place = OpenedFrom::new();
    for salt in [SaltKind::Geometry, SaltKind::Zero] {
        let image = DiskImage::new(&data(40 * 512, 4), (512, 1024), salt);
        let expected = match salt {
            SaltKind::Geometry => Binding::GeometrySalt,
            _ => Binding::Filesystem,
        };
        let arguments = DiskArguments::new(image.root_hash);
        let whole = place.file("whole", &image.bytes);
        let (disk, binding) = VerifiedDisk::open(whole, None, &arguments).unwrap();
        assert_eq!(binding, expected);
        assert!(read_all(&disk).unwrap() == image.data());

        // The tree on a device of its own, with its superblock and without.
        let tree = &image.bytes[image.data_end()..];
        let (data, hash) = (place.file("data", image.data()), place.file("tree", tree));
        let (disk, binding) = VerifiedDisk::open(data, Some(hash), &arguments).unwrap();
        assert_eq!(binding, expected);
        assert!(read_all(&disk).unwrap() == image.data());

        let levels: Vec<u8> = image.levels.iter().rev().flatten().copied().collect();
        let (data, hash) = (
            place.file("data", image.data()),
            place.file("tree", &levels),
        );
        let without = DiskArguments {
            params: ParamsSource::Arguments {
                params: image.params.clone(),
                hash_area: HashArea::new(&image.params, 0, false).unwrap(),
            },
            ..arguments.clone()
        };
        let (disk, binding) = VerifiedDisk::open(data, Some(hash), &without).unwrap();
        assert_eq!(binding, Binding::Arguments);
        assert!(read_all(&disk).unwrap() == image.data());

        // Another root hash, and none.
        let other = DiskArguments::new("00".repeat(32).parse().unwrap());
        let whole = place.file("whole", &image.bytes);
        let error = VerifiedDisk::open(whole, None, &other)
            .map(|_| ())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the root hash does not match")
        );
        let none = DiskArguments {
            root_hash: None,
            ..arguments.clone()
        };
        let whole = place.file("whole", &image.bytes);
        let error = VerifiedDisk::open(whole, None, &none)
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, VerifiedDiskError::NoRootHash));

        // What binds the geometry, and is not what the root hash says.
        let mut bytes = image.bytes.clone();
        bytes[1024 + 70] ^= 1;
        let whole = place.file("whole", &bytes);
        let error = VerifiedDisk::open(whole, None, &arguments)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "data block 2 is corrupt (byte 1024 of {})",
                place.folder.path().join("whole").to_str().unwrap()
            )
        );
        assert_eq!(error.exit_code(), ExitCode::Integrity);
    }
}

/// After it was judged: what is gone is an error, and what is written is corrupt.
#[test]
fn a_file_that_changes_while_it_is_open() {
    let place = OpenedFrom::new();
    let image = DiskImage::new(&data(400 * 4096, 4), (4096, 4096), SaltKind::Geometry);
    let arguments = DiskArguments::new(image.root_hash);
    let open = || {
        VerifiedDisk::open(place.file("disk", &image.bytes), None, &arguments)
            .unwrap()
            .0
    };
    let disk = open();
    place
        .file_to_write("disk")
        .write_all_at(b"X", 300 * 4096)
        .unwrap();
    let error = read_all(&disk).unwrap_err();
    assert!(
        matches!(error, VerifiedReadError::DataBlock { block: 300, .. }),
        "{error}"
    );
    for length in [0, 100 * 4096, image.data_end() as u64 + 8192] {
        let disk = open();
        place.file_to_write("disk").set_len(length).unwrap();
        let error = read_all(&disk).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity, "{error}");
    }
}
