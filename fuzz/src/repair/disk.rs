//! The disks that are repaired: small, of one to three files, of any shape that has an FEC area.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use disk_builder::commands::hash::{Capacity, FecPlan, FecRequest, Hash, TreePlan, TreeRequest};
use dm_verity::{BlockSize, HashAlgorithm, RootHash, Salt, fec::FecRoots};
use model_disk::BackingKind;

use super::ARGUMENTS_SIZE;
use crate::built_disk::{BuiltDisk, workers};

/// What is in the data, the tree's file and that of the FEC area; nothing in those that are not there.
pub(super) type Files = [Vec<u8>; 3];

/// Three rows of parity at the most, and one where there are more than 8 roots: each guess at what is
/// wrong takes longer then.
const MAX_BLOCKS: [u16; 2] = [600, 200];

/// What a disk is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct DiskShape {
    pub(super) block_size: BlockSize,
    algorithm: HashAlgorithm,
    pub(super) own_salt: bool,
    pub(super) tree_apart: bool,
    pub(super) fec_apart: bool,
    pub(super) superblock: bool,
    pub(super) roots: FecRoots,
    contents: u8,
    data_blocks: usize,
    /// Of these many blocks, parity covers those after the tree, and nothing those after the data.
    more: u64,
}

impl DiskShape {
    pub(super) fn new(raw: &[u8; ARGUMENTS_SIZE]) -> Self {
        let [flags, of_data, blocks @ .., roots, _] = raw;
        let set = |bit: u8| flags >> bit & 1 == 1;
        let roots = FecRoots::try_from(2 + u32::from(roots % 23)).unwrap();
        let most = MAX_BLOCKS[usize::from(roots.get() > 8)];
        Self {
            block_size: BlockSize::new(512 << (flags & 1)).unwrap(),
            algorithm: [HashAlgorithm::Sha256, HashAlgorithm::Sha512][usize::from(set(1))],
            own_salt: set(2),
            tree_apart: set(3),
            fec_apart: set(4),
            superblock: !set(5),
            roots,
            contents: of_data >> 4 & 3,
            data_blocks: usize::from(1 + u16::from_le_bytes(*blocks) % most),
            more: u64::from(of_data >> 6),
        }
    }

    /// Whether it has a filesystem.
    pub(super) fn has_filesystem(&self) -> bool {
        self.contents == 3
    }

    /// Whether there is more data than is covered.
    pub(super) fn has_more_data(&self) -> bool {
        self.tree_apart && self.more > 0
    }

    /// Whether there is anything between the tree and the FEC area.
    pub(super) fn has_more_covered(&self) -> bool {
        !self.fec_apart && self.more > 0
    }

    fn data(&self) -> Vec<u8> {
        let size = self.block_size.as_usize();
        let bytes = self.data_blocks * size;
        // No two blocks alike.
        let pattern = (0..bytes).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8);
        match self.contents {
            0 => pattern.collect(),
            1 => vec![0; bytes],
            2 => pattern
                .enumerate()
                .map(|(at, byte)| if at / size % 4 < 2 { 0 } else { byte })
                .collect(),
            _ => filesystem().to_vec(),
        }
    }
}

/// An image of some files.
fn filesystem() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let disk = BuiltDisk::new(&[(b"a/b", 5000), (b"config.json", 612), (b"z", 4097)]);
        let mut bytes = fs::read(disk.image()).unwrap();
        bytes.truncate(disk.report.plan.params.data_bytes() as usize);
        bytes
    })
}

/// A disk with an FEC area, as `hash` makes it.
pub(super) struct RepairDisk<'a> {
    folder: &'a Path,
    pub(super) shape: DiskShape,
    pub(super) plan: TreePlan,
    pub(super) fec: FecPlan,
    pub(super) root_hash: RootHash,
    /// As they must be.
    pub(super) files: Files,
}

impl<'a> RepairDisk<'a> {
    pub(super) fn new(folder: &'a Path, shape: DiskShape) -> Self {
        Self::with_data(folder, shape, shape.data())
    }

    /// One of the same shape over other data.
    pub(super) fn other(&self) -> Self {
        let mut data = self.shape.data();
        data.iter_mut().step_by(300).for_each(|byte| *byte ^= 1);
        Self::with_data(self.folder, self.shape, data)
    }

    fn with_data(folder: &'a Path, shape: DiskShape, mut data: Vec<u8>) -> Self {
        let size = shape.block_size.bytes();
        let data_blocks = data.len() as u64 / size;
        if shape.has_more_data() {
            data.resize(data.len() + (shape.more * size) as usize, 0x5a);
        }
        let path = |file: usize| folder.join(file.to_string());
        fs::write(path(0), &data).unwrap();
        let tree = TreeRequest {
            algorithm: shape.algorithm,
            data_block_size: shape.block_size,
            hash_block_size: shape.block_size,
            data_blocks: Some(data_blocks),
            salt: shape.own_salt.then(|| Salt::new(&[7; 5]).unwrap()),
            hash_offset: None,
            superblock: shape.superblock,
        };
        let there = Capacity {
            kind: BackingKind::File,
            bytes: data.len() as u64,
        };
        let hashes = shape.tree_apart.then_some(Capacity { bytes: 0, ..there });
        let plan = TreePlan::new(&tree, there, hashes).unwrap();
        let after_tree = plan.area.end(&plan.layout) + shape.more * size;
        let hash = Hash {
            data: path(0),
            hash_device: shape.tree_apart.then(|| path(1)),
            tree,
            fec: Some(FecRequest {
                roots: shape.roots,
                device: shape.fec_apart.then(|| path(2)),
                offset: (!shape.fec_apart).then_some(after_tree),
            }),
            uuid: None,
            force: true,
        };
        let hashed = hash.run(workers(), |_| ()).unwrap();
        let mut disk = Self {
            folder,
            shape,
            fec: hashed.plan.fec.unwrap(),
            plan: hashed.plan,
            root_hash: hashed.root_hash,
            files: Files::default(),
        };
        disk.files = disk.read();
        disk
    }

    /// Where a file is.
    pub(super) fn path(&self, file: usize) -> PathBuf {
        self.folder.join(file.to_string())
    }

    /// The file with the tree.
    pub(super) fn tree_file(&self) -> usize {
        usize::from(self.shape.tree_apart)
    }

    /// The file with the FEC area.
    pub(super) fn fec_file(&self) -> usize {
        if self.shape.fec_apart {
            2
        } else {
            self.tree_file()
        }
    }

    fn has(&self, file: usize) -> bool {
        [true, self.shape.tree_apart, self.shape.fec_apart][file]
    }

    /// What is in the files.
    pub(super) fn read(&self) -> Files {
        [0, 1, 2].map(|file| {
            let there = self.has(file).then(|| fs::read(self.path(file)).unwrap());
            there.unwrap_or_default()
        })
    }

    /// Writes the files, with holes where there are only zeros at the end.
    pub(super) fn write(&self, files: &Files) {
        for (number, bytes) in files.iter().enumerate().filter(|(file, _)| self.has(*file)) {
            let end = bytes.iter().rposition(|byte| *byte != 0);
            let written = &bytes[..end.map_or(0, |end| end + 1)];
            fs::write(self.path(number), written).unwrap();
            let file = fs::File::options().write(true).open(self.path(number));
            file.unwrap().set_len(bytes.len() as u64).unwrap();
        }
    }

    /// Where a block of the covered sequence is: its file, and its bytes there.
    pub(super) fn place(&self, block: u64) -> (usize, Range<usize>) {
        let size = self.shape.block_size.bytes();
        let (file, start) = match block.checked_sub(self.fec.layout.data_blocks()) {
            None => (0, block * size),
            Some(block) => (self.tree_file(), self.plan.area.block_offset(block)),
        };
        (file, start as usize..(start + size) as usize)
    }

    /// Where the superblock is, if there is one.
    pub(super) fn superblock(&self) -> Range<usize> {
        self.plan.area.offset() as usize..self.plan.area.block_offset(0) as usize
    }

    /// Where the parity of a row is.
    pub(super) fn parity(&self, row: u64) -> Range<usize> {
        let range = self.fec.layout.row_parity_range(row).unwrap();
        let start = self.fec.area.offset();
        (start + range.start) as usize..(start + range.end) as usize
    }
}
