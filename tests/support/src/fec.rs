//! Disks with an FEC area after the tree.

use dm_verity::{
    HashArea, TreeLayout,
    fec::{FecArea, FecEncoder, FecLayout, FecRoots, ParityPlanes},
};

use crate::image::DiskImage;

/// A disk, and its FEC area at its end.
#[derive(Clone, Debug)]
pub struct FecImage {
    /// The disk as it should be.
    pub image: DiskImage,
    /// What is covered.
    pub layout: FecLayout,
    /// Where the area is.
    pub area: FecArea,
    /// Where the tree is.
    pub hash_area: HashArea,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl FecImage {
    /// The disk with an area. Its blocks are of one size.
    pub fn new(image: DiskImage, roots: FecRoots) -> Self {
        let tree = TreeLayout::new(&image.params);
        let hash_area = HashArea::new(&image.params, image.data_end() as u64, true).unwrap();
        let layout = FecLayout::new(&image.params, roots).unwrap();
        let area = FecArea::after_tree(&layout, &hash_area, &tree).unwrap();
        let mut disk = Self {
            bytes: image.bytes.clone(),
            image,
            layout,
            area,
            hash_area,
        };
        let rows = 0..layout.rounds();
        let parity: Vec<u8> = rows.flat_map(|row| disk.parity(row)).collect();
        disk.bytes.extend(parity);
        assert_eq!(disk.bytes.len() as u64, area.end());
        disk
    }

    /// Where a block of the sequence that is covered starts.
    pub fn place(&self, block: u64) -> usize {
        let size = self.layout.block_size().bytes();
        let place = match block.checked_sub(self.layout.data_blocks()) {
            None => block * size,
            Some(block) => self.hash_area.block_offset(block),
        };
        place as usize
    }

    fn parity(&self, row: u64) -> Vec<u8> {
        let size = self.layout.block_size().as_usize();
        let encoder = FecEncoder::new(self.layout.roots());
        let mut planes = ParityPlanes::new(self.layout.roots(), size);
        for column in 0..self.layout.columns() {
            if let Some(block) = self.layout.block_at(row, column) {
                let bytes = &self.bytes[self.place(block)..][..size];
                encoder.add(column, bytes, &mut planes, 0);
            }
        }
        let mut parity = vec![0; self.layout.row_parity_bytes()];
        planes.interleave(&mut parity);
        parity
    }
}
