//! Disks in memory, parts of which cannot be read or written.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

use dm_verity::{
    BlockSize, HashAlgorithm, HashArea, RootHash, Salt, TreeLayout, VerityParams,
    fec::{FecArea, FecLayout, FecRoots},
};

use super::{
    super::{Sink, SinkError, hash_tree},
    *,
};

const BLOCK: usize = 512;

/// Blocks, some of which cannot be read until they are written.
#[derive(Debug, Default)]
struct FaultyStorage {
    bytes: Mutex<Vec<u8>>,
    faults: Mutex<BTreeSet<usize>>,
    /// Whether it forgets what is written to it.
    forgets: bool,
}

impl FaultyStorage {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            ..Self::default()
        }
    }

    fn contents(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        if self.forgets {
            return;
        }
        let start = offset as usize;
        self.bytes.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
        let blocks = start / BLOCK..(start + bytes.len()) / BLOCK;
        self.faults
            .lock()
            .unwrap()
            .retain(|fault| !blocks.contains(fault));
    }
}

impl Source for FaultyStorage {
    fn bytes(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let start = offset as usize;
        let blocks = start / BLOCK..(start + buf.len()).div_ceil(BLOCK);
        if self.faults.lock().unwrap().range(blocks).next().is_some() {
            return Err(SourceError::Read {
                path: "storage".into(),
                offset,
                source: io::Error::from_raw_os_error(libc::EIO),
            });
        }
        buf.copy_from_slice(&self.bytes.lock().unwrap()[start..start + buf.len()]);
        Ok(())
    }
}

impl Sink for FaultyStorage {
    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        self.write(first * BLOCK as u64, blocks);
        Ok(())
    }

    fn finish(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A disk, with each of its parts apart.
struct FaultyDisk {
    params: VerityParams,
    root_hash: RootHash,
    data: FaultyStorage,
    hashes: FaultyStorage,
    parity: FaultyStorage,
    layout: FecLayout,
    workers: Workers,
}

impl FaultyDisk {
    fn new(data_blocks: u64, roots: u32) -> Self {
        let size = BlockSize::new(BLOCK as u64).unwrap();
        let algorithm = HashAlgorithm::Sha256;
        let params =
            VerityParams::new(algorithm, size, size, data_blocks, Salt::default()).unwrap();
        let bytes = (0..data_blocks as usize * BLOCK).map(|n| (n * 7 + n / 251) as u8);
        let data = FaultyStorage::new(bytes.collect());
        let tree_bytes = TreeLayout::new(&params).blocks() as usize * BLOCK;
        let hashes = FaultyStorage::new(vec![0; tree_bytes]);
        let workers = Workers::new(2, Arc::default()).unwrap();
        let layout = FecLayout::new(&params, FecRoots::try_from(roots).unwrap()).unwrap();
        let disk = Self {
            root_hash: hash_tree(&params, &data, &hashes, &workers).unwrap(),
            parity: FaultyStorage::new(vec![0; layout.parity_bytes() as usize]),
            params,
            data,
            hashes,
            layout,
            workers,
        };
        write_parity(&disk.covered(), &[0..layout.rounds()], &disk, &disk.workers).unwrap();
        disk
    }

    fn covered(&self) -> CoveredDisk<'_> {
        CoveredDisk {
            tree: TreeParts {
                params: &self.params,
                root_hash: &self.root_hash,
                data: &self.data,
                hashes: &self.hashes,
                area: HashArea::new(&self.params, 0, false).unwrap(),
            },
            layout: self.layout,
            area: FecArea::new(&self.layout, 0).unwrap(),
            parity: &self.parity,
        }
    }

    fn parts(&self) -> [Vec<u8>; 3] {
        [&self.data, &self.hashes, &self.parity].map(FaultyStorage::contents)
    }

    /// Lets blocks of the covered sequence be lost.
    fn lose(&self, blocks: &[u64]) {
        for block in blocks {
            let (storage, at) = match block.checked_sub(self.layout.data_blocks()) {
                None => (&self.data, *block),
                Some(hash_block) => (&self.hashes, hash_block),
            };
            storage.faults.lock().unwrap().insert(at as usize);
            let start = at as usize * BLOCK;
            storage.bytes.lock().unwrap()[start..start + BLOCK].fill(0);
        }
    }

    fn correct(&self) -> RepairOutcome {
        correct(&self.covered(), self, &self.workers).unwrap()
    }

    fn faults(&self) -> usize {
        let storages = [&self.data, &self.hashes, &self.parity];
        storages
            .map(|storage| storage.faults.lock().unwrap().len())
            .iter()
            .sum()
    }
}

impl RepairSink for FaultyDisk {
    fn keeps_data(&self) -> bool {
        true
    }

    fn put(&self, place: CoveredPlace, block: &[u8]) -> Result<(), FileError> {
        match place {
            CoveredPlace::Data(offset) => self.data.write(offset, block),
            CoveredPlace::Hashes(offset) => self.hashes.write(offset, block),
        }
        Ok(())
    }

    fn put_parity(&self, offset: u64, parity: &[u8]) -> Result<(), FileError> {
        self.parity.write(offset, parity);
        Ok(())
    }

    fn sync(&self) -> Result<(), FileError> {
        Ok(())
    }
}

#[test]
fn blocks_that_cannot_be_read() {
    let disk = FaultyDisk::new(2000, 2);
    let good = disk.parts();
    let rounds = disk.layout.rounds();
    // Two of one row, one of each level of the tree, and parity.
    let levels = TreeLayout::new(&disk.params);
    let of_tree = levels.levels().iter().map(|level| 2000 + level.first_block);
    let of_tree: Vec<_> = of_tree.collect();
    let row = (0..rounds).find(|row| of_tree.iter().all(|block| block % rounds != *row));
    let row = row.unwrap();
    disk.lose(&[row + 5 * rounds, row + 7 * rounds]);
    disk.lose(&of_tree);
    let parity_row = (row + 1) % rounds;
    let parity = if of_tree.iter().any(|block| block % rounds == parity_row) {
        None
    } else {
        Some(parity_row as usize * 2)
    };
    disk.parity.faults.lock().unwrap().extend(parity);
    assert_eq!(disk.faults(), 2 + of_tree.len() + parity.iter().count());

    let outcome = disk.correct();
    assert!(outcome.left.is_clean(), "{outcome:?}");
    assert!(
        outcome.found.corrupt_data.is_empty(),
        "the root block was lost"
    );
    let found = find_wrong_parity(&disk.covered(), &outcome.left, &disk.workers).unwrap();
    assert_eq!(found.wrong_rows(), parity.iter().count() as u64);
    write_parity(&disk.covered(), &found.wrong, &disk, &disk.workers).unwrap();
    assert!(disk.parts() == good);
    assert_eq!(disk.faults(), 0);
}

/// What nothing is known of is taken as it is, also where all of it could be erased: parity that is
/// wrong leaves no room for that.
#[test]
fn what_is_not_known_need_not_be_wrong() {
    let disk = FaultyDisk::new(600, 10);
    assert_eq!(disk.layout.rounds(), 3);
    // The hash block over the first blocks cannot be corrected: too much of its row is lost.
    let first_of_lowest = 600 + TreeLayout::new(&disk.params).levels()[0].first_block;
    assert_eq!(first_of_lowest % 3, 1);
    let row: Vec<_> = (100..133).step_by(3).collect();
    disk.lose(&[&row[..], &[first_of_lowest, 300]].concat());
    // With blocks 0, 3 .. 15 and 300 as erasures, that is one more than ten roots correct.
    disk.parity.bytes.lock().unwrap()[..2].fill(0x11);
    let outcome = disk.correct();
    assert_eq!(outcome.left.unverifiable_data, [0..16]);
    assert_eq!(outcome.corrected, [300..301]);
}

/// A block that is all zeros is no more right than any other where it cannot be read.
#[test]
fn whatever_cannot_be_read_is_wrong() {
    let disk = FaultyDisk::new(300, 3);
    disk.data.bytes.lock().unwrap().fill(0);
    let tree = hash_tree(&disk.params, &disk.data, &disk.hashes, &disk.workers);
    let disk = FaultyDisk {
        root_hash: tree.unwrap(),
        ..disk
    };
    write_parity(
        &disk.covered(),
        &[0..disk.layout.rounds()],
        &disk,
        &disk.workers,
    )
    .unwrap();
    disk.lose(&[4, 5, 6, 250]);
    let outcome = disk.correct();
    assert_eq!(outcome.found.corrupt_data, [4..7, 250..251]);
    assert_eq!(outcome.corrected, [4..7, 250..251]);
    assert!(outcome.left.is_clean());
    assert_eq!(disk.faults(), 0);
}

#[test]
fn a_disk_that_keeps_nothing_is_given_up() {
    let mut disk = FaultyDisk::new(300, 2);
    disk.data.forgets = true;
    disk.lose(&[7]);
    let outcome = disk.correct();
    assert_eq!(outcome.corrected, [7..8]);
    assert_eq!(outcome.left.corrupt_data, [7..8]);
}

#[test]
fn a_read_that_fails_for_another_reason_ends_it() {
    let disk = FaultyDisk::new(300, 2);
    disk.data.bytes.lock().unwrap()[0] ^= 1;
    struct Shorter<'a>(&'a FaultyStorage);
    impl Source for Shorter<'_> {
        fn bytes(&self) -> u64 {
            Source::bytes(self.0)
        }

        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
            if offset + buf.len() as u64 > 100 * BLOCK as u64 {
                return Err(SourceError::Ended {
                    path: "storage".into(),
                    end: 100 * BLOCK as u64,
                    expected: 300 * BLOCK as u64,
                });
            }
            self.0.read_exact_at(buf, offset)
        }
    }
    let shorter = Shorter(&disk.data);
    let mut covered = disk.covered();
    covered.tree.data = &shorter;
    let before = disk.parts();
    let error = correct(&covered, &disk, &disk.workers).unwrap_err();
    assert!(error.to_string().contains("became shorter"), "{error}");
    assert!(disk.parts() == before);
}
