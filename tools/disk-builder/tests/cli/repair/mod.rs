//! `repair`, and `verify --fec`: what is corrected, what is told, and what is left alone.

mod blocks;
mod hostile;
mod interrupted;
mod layouts;
mod parity;

use std::ops::Range;

use dm_verity::{
    BlockSize, HashAlgorithm, HashArea, Salt, TreeLayout, VerityParams,
    fec::{FecLayout, FecRoots},
};
use serde_json::Value;

use crate::program::{Ended, WorkFolder, data, field};

/// A disk in one file, `disk`: data, superblock, tree and FEC area. Small blocks, for a tree of many.
struct DamagedImage {
    place: WorkFolder,
    root: String,
    layout: FecLayout,
    tree: TreeLayout,
    hash_area: HashArea,
    options: String,
    good: Vec<u8>,
}

const BLOCK: usize = 512;

impl DamagedImage {
    fn new(data_blocks: u64, roots: u32) -> Self {
        Self::in_folder(WorkFolder::new(), data_blocks, roots)
    }

    fn in_folder(place: WorkFolder, data_blocks: u64, roots: u32) -> Self {
        place.write("disk", &data(data_blocks as usize * BLOCK, 3));
        let hashed = place.run(&format!(
            "hash disk --data-block-size {BLOCK} --hash-block-size {BLOCK} --fec --fec-roots {roots}"
        ));
        let root = field(&hashed.ok(), "Root hash").to_owned();
        let size = BlockSize::new(BLOCK as u64).unwrap();
        let algorithm = HashAlgorithm::Sha256;
        let params =
            VerityParams::new(algorithm, size, size, data_blocks, Salt::default()).unwrap();
        let roots = FecRoots::try_from(roots).unwrap();
        let offset = data_blocks as usize * BLOCK;
        Self {
            options: format!("--hash-offset {offset} --fec-roots {roots}"),
            good: place.read("disk"),
            root,
            layout: FecLayout::new(&params, roots).unwrap(),
            tree: TreeLayout::new(&params),
            hash_area: HashArea::new(&params, offset as u64, true).unwrap(),
            place,
        }
    }

    /// Where a block of the covered sequence stands.
    fn at(&self, block: u64) -> usize {
        match block.checked_sub(self.layout.data_blocks()) {
            None => block as usize * BLOCK,
            Some(hash_block) => self.hash_area.block_offset(hash_block) as usize,
        }
    }

    fn hash_block(&self, level: usize, block: u64) -> u64 {
        self.layout.data_blocks() + self.tree.levels()[level].first_block + block
    }

    /// Where the parity of a row stands.
    fn parity(&self, row: u64) -> Range<usize> {
        let start = self.hash_area.end(&self.tree) as usize;
        let range = self.layout.row_parity_range(row).unwrap();
        start + range.start as usize..start + range.end as usize
    }

    /// Fills blocks with something else.
    fn damage(&self, blocks: impl IntoIterator<Item = u64>) {
        let mut bytes = self.place.read("disk");
        for block in blocks {
            for byte in &mut bytes[self.at(block)..][..BLOCK] {
                *byte = byte.wrapping_mul(7) ^ 0x5a;
            }
        }
        self.place.write("disk", &bytes);
    }

    fn flip(&self, offset: usize) {
        self.place.flip("disk", offset);
    }

    fn run(&self, command: &str) -> Ended {
        let (root, options) = (&self.root, &self.options);
        let command = command.replacen(' ', " disk ", 1);
        self.place
            .run(&format!("{command} --root-hash {root} {options}"))
    }

    fn repair(&self) -> Ended {
        self.run("repair ")
    }

    fn verify(&self, options: &str) -> Value {
        let ended = self.run(&format!("verify --fec --json {options}"));
        serde_json::from_str(&ended.stdout).unwrap()
    }

    #[track_caller]
    fn assert_good(&self) {
        assert!(self.place.read("disk") == self.good);
    }

    #[track_caller]
    fn repaired(&self) -> String {
        let printed = self.repair().ok();
        self.assert_good();
        printed
    }
}

/// Blocks from all over the disk, a row each.
fn row(disk: &DamagedImage, row: u64) -> Vec<u64> {
    let columns = 0..disk.layout.columns();
    columns
        .filter_map(|column| disk.layout.block_at(row, column))
        .collect()
}
