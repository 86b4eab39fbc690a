//! Disks with an FEC area: corrupt blocks are corrected as far as that goes, and no other byte than the
//! right one is given, whatever the area holds.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use std::{cell::Cell, collections::BTreeSet, io, path::Path};

use dm_verity::{TreeLayout, fec::FecRoots};
use model_disk::{FileError, ReadAt};
use test_support::{
    fec::FecImage,
    image::{DiskImage, SaltKind, data},
};
use verified_disk::{BlockStorage, VerifiedDisk, VerifiedReadError};

/// A disk with an FEC area, to be changed.
#[derive(Clone)]
struct ChangedFec(FecImage);

impl ChangedFec {
    fn new(blocks: usize, block_size: u64, roots: u32) -> Self {
        let data = data(blocks * block_size as usize, 7);
        let image = DiskImage::new(&data, (block_size, block_size), SaltKind::Geometry);
        Self(FecImage::new(image, FecRoots::try_from(roots).unwrap()))
    }

    /// The blocks of a row.
    fn row(&self, row: u64) -> impl Iterator<Item = u64> {
        let columns = 0..self.0.layout.columns();
        columns.filter_map(move |column| self.0.layout.block_at(row, column))
    }

    /// Makes nonsense of a block.
    fn spoil(&mut self, block: u64) {
        let (place, size) = (self.0.place(block), self.0.layout.block_size().as_usize());
        for (number, byte) in self.0.bytes[place..][..size].iter_mut().enumerate() {
            *byte ^= (number as u64 * 7 + block * 13) as u8 | 1;
        }
    }

    fn disk<F>(&self, bend: F) -> VerifiedDisk<FecStorage<'_, F>>
    where
        F: Fn(&mut [u8], u64) -> io::Result<()>,
    {
        let storage = FecStorage {
            bytes: &self.0.bytes,
            bend,
        };
        let (params, root_hash) = (self.0.image.params.clone(), self.0.image.root_hash);
        VerifiedDisk::with_storage(params, self.0.hash_area, root_hash, storage)
            .with_fec(&self.0.layout, self.0.area)
    }

    /// Reads all, and gives how many blocks were corrected.
    fn read(&self) -> Result<u64, VerifiedReadError> {
        self.read_from(&self.disk(|_, _| Ok(())))
    }

    fn read_from(&self, disk: &VerifiedDisk<impl BlockStorage>) -> Result<u64, VerifiedReadError> {
        let mut all = vec![0xee; self.0.image.data_end()];
        let read = disk.read_exact_at(&mut all, 0);
        // Whatever comes of it: what is there is right, or nothing.
        let size = self.0.layout.block_size().as_usize();
        for (block, right) in all.chunks(size).zip(self.0.image.data().chunks(size)) {
            let is_nothing = block.iter().all(|byte| matches!(byte, 0 | 0xee));
            assert!(block == right || read.is_err() && is_nothing);
        }
        read?;
        assert!(all == self.0.image.data());
        // The same in small pieces, of which none is a block.
        for (offset, right) in (0..)
            .step_by(300)
            .zip(self.0.image.data().chunks(300))
            .take(50)
        {
            let mut piece = vec![0; right.len()];
            disk.read_exact_at(&mut piece, offset).unwrap();
            assert!(piece == right);
        }
        Ok(disk.corrected().unwrap())
    }
}

/// A disk in memory; what becomes of each read is said by its buffer and place.
struct FecStorage<'a, F> {
    bytes: &'a [u8],
    bend: F,
}

impl<F: Fn(&mut [u8], u64) -> io::Result<()>> BlockStorage for FecStorage<'_, F> {
    fn read_data(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        let read = self.bytes.read_exact_at(buffer, offset);
        read.and_then(|()| (self.bend)(buffer, offset))
            .map_err(FileError::new("read", Path::new("disk")))
    }

    fn read_hashes(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.read_data(buffer, offset)
    }

    fn data_path(&self) -> &Path {
        Path::new("disk")
    }

    fn hash_path(&self) -> &Path {
        Path::new("disk")
    }
}

/// Blocks of data, their size, and the number of roots: one row and several, trees of none to four
/// levels.
fn shapes() -> impl Iterator<Item = ChangedFec> {
    let shapes = [
        (1, 512, 2),
        (2, 512, 2),
        (300, 512, 3),
        (1100, 512, 24),
        (1500, 1024, 2),
        (600, 4096, 5),
    ];
    shapes
        .into_iter()
        .map(|(blocks, size, roots)| ChangedFec::new(blocks, size, roots))
}

#[test]
fn a_sound_disk_is_read_as_it_is() {
    for image in shapes() {
        assert_eq!(image.read().unwrap(), 0);
    }
}

#[test]
fn as_many_blocks_of_a_row_as_there_are_roots() {
    for mut image in shapes() {
        let (roots, data_blocks) = (image.0.layout.roots().get(), image.0.layout.data_blocks());
        let mut spoiled = 0;
        for row in 0..image.0.layout.rounds() {
            let blocks: Vec<u64> = image
                .row(row)
                .filter(|block| *block < data_blocks)
                .collect();
            for block in blocks.iter().rev().take(roots) {
                image.spoil(*block);
                spoiled += 1;
            }
        }
        assert_eq!(image.read().unwrap(), spoiled);
    }
}

/// Of hash blocks that are corrupt, one after the other, all above it are well.
#[test]
fn every_block_of_the_tree() {
    for mut image in shapes() {
        let before = image.0.bytes.clone();
        for block in image.0.layout.data_blocks()..image.0.layout.covered_blocks() {
            image.spoil(block);
            assert_eq!(image.read().unwrap(), 1, "{block}");
            image.0.bytes.clone_from(&before);
        }
    }
}

/// The root block and all on the way to a data block, in rows of their own.
#[test]
fn a_whole_way_down() {
    let mut image = ChangedFec::new(1500, 1024, 2);
    let levels = TreeLayout::new(&image.0.image.params).levels().to_vec();
    let data_blocks = image.0.layout.data_blocks();
    let mut way: BTreeSet<u64> = levels
        .iter()
        .map(|level| data_blocks + level.first_block)
        .collect();
    way.insert(0);
    let rows: BTreeSet<u64> = way
        .iter()
        .map(|block| image.0.layout.place(*block).unwrap().row)
        .collect();
    way.iter().for_each(|block| image.spoil(*block));
    assert_eq!(
        image.read().unwrap(),
        way.len() as u64,
        "in {} rows",
        rows.len()
    );
}

#[test]
fn one_more_than_there_are_roots() {
    for mut image in shapes() {
        let (roots, data_blocks) = (image.0.layout.roots().get(), image.0.layout.data_blocks());
        let row: Vec<u64> = image.row(0).filter(|block| *block < data_blocks).collect();
        if row.len() <= roots {
            continue;
        }
        row[..=roots].iter().for_each(|block| image.spoil(*block));
        let error = image.read().unwrap_err();
        let named = matches!(error, VerifiedReadError::DataBlock { block: 0, .. });
        assert!(named, "{error}");
        // The others are given.
        let disk = image.disk(|_, _| Ok(()));
        let mut block = vec![0; image.0.layout.block_size().as_usize()];
        let sound = row[roots + 1];
        disk.read_exact_at(&mut block, image.0.place(sound) as u64)
            .unwrap();
    }
}

/// What cannot be read is corrected like what is corrupt, and if it cannot be, the error is that of the
/// read.
#[test]
fn blocks_that_cannot_be_read() {
    let mut image = ChangedFec::new(1500, 1024, 2);
    let row: Vec<u64> = image.row(1).collect();
    let with = |blocks: &[u64], image: &ChangedFec| {
        let places: Vec<usize> = blocks.iter().map(|block| image.0.place(*block)).collect();
        let disk = image.disk(|buffer: &mut [u8], offset: u64| {
            let range = offset as usize..offset as usize + buffer.len();
            if places.iter().any(|place| range.contains(place)) {
                buffer.fill(0xbb);
                return Err(io::Error::from_raw_os_error(5));
            }
            Ok(())
        });
        image.read_from(&disk)
    };
    assert_eq!(with(&row[3..5], &image).unwrap(), 2);
    match with(&row[3..6], &image).unwrap_err() {
        VerifiedReadError::File(error) => assert_eq!(error.source.raw_os_error(), Some(5)),
        other => panic!("{other}"),
    }
    // Parity that cannot be read.
    image.spoil(row[3]);
    let area = image.0.area.offset();
    let disk = image.disk(|_, offset| {
        if offset >= area {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    });
    let error = image.read_from(&disk).unwrap_err();
    let named = matches!(error, VerifiedReadError::DataBlock { block, .. } if block == row[3]);
    assert!(named, "{error}");
}

/// Whatever the area holds, what is given is right, or nothing is.
#[test]
fn hostile_areas() {
    for shape in shapes() {
        let size = shape.0.layout.block_size().as_usize();
        let changes: [fn(&mut [u8], usize); 5] = [
            |area, _| area.fill(0),
            |area, _| area.fill(0xff),
            |area, _| {
                (0_usize..)
                    .zip(area)
                    .for_each(|(n, byte)| *byte = (n * n / 7) as u8)
            },
            |area, size| area.rotate_left(size / 2),
            |area, _| area.reverse(),
        ];
        for change in changes {
            let mut image = shape.clone();
            let start = image.0.area.offset() as usize;
            change(&mut image.0.bytes[start..], size);
            // As long as nothing is corrupt, nobody looks at it.
            assert_eq!(image.read().unwrap(), 0);
            let block = image.0.layout.data_blocks() / 2;
            image.spoil(block);
            match image.read() {
                // A row of one block may have the same parity.
                Ok(corrected) => assert_eq!(corrected, 1),
                Err(error) => assert!(
                    matches!(error, VerifiedReadError::DataBlock { block: found, .. } if found == block),
                    "{error}"
                ),
            }
        }
    }
}

/// Wrong parity and a corrupt block, where there are roots for both.
#[test]
fn some_of_the_parity_is_wrong() {
    let mut image = ChangedFec::new(1100, 512, 24);
    let start = image.0.area.offset() as usize;
    // Two of 24 bytes of each codeword.
    for byte in image.0.bytes[start..].iter_mut().step_by(12) {
        *byte ^= 0x5a;
    }
    let row: Vec<u64> = image.row(0).collect();
    row[..3].iter().for_each(|block| image.spoil(*block));
    assert_eq!(image.read().unwrap(), 3);
}

/// What is wrong differs from one read to the next, also while a block is corrected.
#[test]
fn storage_that_changes_while_it_is_corrected() {
    let image = ChangedFec::new(1100, 512, 24);
    let state = Cell::new(1_u64);
    let random = || {
        let mut next = state.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        next
    };
    let disk = image.disk(|buffer, _| {
        if random().is_multiple_of(20) {
            let place = random() as usize % buffer.len();
            buffer[place] ^= 1 << (random() % 8);
        }
        Ok(())
    });
    let (mut right, mut refused) = (0, 0);
    for _ in 0..150 {
        let block = random() as usize % 1100 * 512;
        let mut buffer = [0xee; 2048];
        let length = buffer.len().min(image.0.image.data_end() - block);
        match disk.read_exact_at(&mut buffer[..length], block as u64) {
            Ok(()) => right += 1,
            Err(_) => refused += 1,
        }
        let expected = &image.0.image.data()[block..][..length];
        let mut bytes = buffer.iter().zip(expected);
        assert!(bytes.all(|(byte, expected)| byte == expected || matches!(byte, 0 | 0xee)));
    }
    assert!(
        right > 100 && disk.corrected() > Some(3),
        "{right} {refused}"
    );
}

/// No corrupt block takes more to be read than its row and what that is verified by.
#[test]
fn what_a_corrupt_block_costs() {
    let mut image = ChangedFec::new(20_000, 512, 2);
    // All of the data, and all of the tree that can be without making the disk another.
    let levels = TreeLayout::new(&image.0.image.params).levels().len() as u64;
    let blocks = image.0.layout.covered_blocks();
    (0..blocks).for_each(|block| image.spoil(block));
    let way = {
        // The way to the last data block stays.
        let mut way = Vec::new();
        let mut below = image.0.layout.data_blocks() - 1;
        for level in TreeLayout::new(&image.0.image.params).levels() {
            below /= image.0.image.params.digests_per_block();
            way.push(image.0.layout.data_blocks() + level.first_block + below);
        }
        way
    };
    way.iter().for_each(|block| image.spoil(*block));
    let read = Cell::new(0);
    let disk = image.disk(|buffer, _| {
        read.set(read.get() + buffer.len() as u64);
        Ok(())
    });
    let last = image.0.image.data_end() as u64 - 512;
    let error = disk.read_exact_at(&mut [0; 512], last).unwrap_err();
    assert!(
        matches!(error, VerifiedReadError::DataBlock { .. }),
        "{error}"
    );
    let most = 255 * (1 + levels) * 512;
    assert!(read.get() <= most, "{} of {most}", read.get());
}
