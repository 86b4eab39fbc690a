//! The view of a filesystem through verified reads: what it gives of a disk with a changed byte is what
//! the unchanged disk has, or an error; and what it gives of the unchanged disk are the bytes that the
//! walk tells of.

use std::path::Path;

use dm_verity::HashArea;
use model_disk::{
    FileError, ReadAt,
    erofs::{ErofsNode, ErofsView, MAX_LINK_SIZE},
};
use test_support::image::{DiskImage, SaltKind};
use verified_disk::{BlockStorage, VerifiedDisk};

/// How many entries of an image are looked at.
const MAX_VISITED: usize = 100;

/// How much of a file is read.
const MAX_READ: usize = 16 << 10;

/// The largest image, in bytes: a tree over it is made each time.
const MAX_IMAGE: usize = 64 << 10;

/// A disk in memory.
struct FuzzedDisk(Vec<u8>);

impl BlockStorage for FuzzedDisk {
    fn read_data(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        let read = self.0.read_exact_at(buffer, offset);
        read.map_err(FileError::new("read", self.data_path()))
    }

    fn read_hashes(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.read_data(buffer, offset)
    }

    fn data_path(&self) -> &Path {
        Path::new("disk")
    }

    fn hash_path(&self) -> &Path {
        self.data_path()
    }
}

/// Takes the place of a byte that is changed, 4 bytes, and an image without its first 1024 bytes,
/// which mean nothing.
pub fn run(bytes: &[u8]) {
    let Some((place, image)) = bytes.split_first_chunk() else {
        return;
    };
    let mut data = vec![0; 1024];
    data.extend(image);
    data.truncate(MAX_IMAGE);
    data.resize(data.len().next_multiple_of(512), 0);
    let Ok(plain) = ErofsView::open(&data[..]) else {
        return;
    };
    let disk = DiskImage::new(&data, (512, 512), SaltKind::Geometry);
    let mut changed = disk.bytes.clone();
    let place = u32::from_le_bytes(*place) as usize % changed.len();
    changed[place] ^= 1;
    let area = HashArea::new(&disk.params, data.len() as u64, true).unwrap();
    let storage = FuzzedDisk(changed);
    let verified = VerifiedDisk::with_storage(disk.params.clone(), area, disk.root_hash, storage);
    let verified = ErofsView::open(verified).ok();

    let Ok(root) = plain.root() else {
        return;
    };
    let mut walk = plain.walk(root);
    for _ in 0..MAX_VISITED {
        let Ok(Some(entry)) = walk.next_entry() else {
            return;
        };
        let node = entry.node.clone();
        let found = read_in_pieces(&plain, &node);
        if let (Ok(found), Some(flat)) = (&found, node.flat_data()) {
            let there = flat.iter().flat_map(|range| range.clone());
            let there: Vec<u8> = there.take(MAX_READ).map(|at| data[at as usize]).collect();
            assert!(*found == there);
        }
        if let Ok(target) = plain.link_target(&node) {
            assert!((1..=MAX_LINK_SIZE).contains(&(target.len() as u64)));
        }
        if let Some(verified) = &verified {
            match (verified.node(node.nid()), read_in_pieces(verified, &node)) {
                (Ok(same), Ok(read)) => {
                    assert_eq!(same, node);
                    assert!(found.is_ok_and(|found| found == read));
                }
                (Ok(same), Err(_)) => assert_eq!(same, node),
                (Err(_), read) => {
                    assert!(read.is_err() || found.is_ok_and(|found| read.ok() == Some(found)));
                }
            }
        }
    }
}

/// The first bytes of a file, read at once and in pieces, which must be the same.
fn read_in_pieces<D: ReadAt>(view: &ErofsView<D>, node: &ErofsNode) -> Result<Vec<u8>, ()> {
    let mut whole = vec![0; MAX_READ];
    let read = view.read(node, &mut whole, 0).map_err(|_| ())?;
    assert_eq!(read as u64, node_bytes(node).min(MAX_READ as u64));
    whole.truncate(read);
    for (start, piece) in (0..).step_by(1000).zip(whole.chunks(1000)) {
        let mut again = vec![0; piece.len()];
        let read = view.read(node, &mut again, start);
        // Of the table of a chunked file another part may be needed.
        if read.map_err(|_| ())? != piece.len() {
            panic!("a piece is shorter than the whole");
        }
        assert!(again == piece);
    }
    Ok(whole)
}

/// Devices and the like have no data, whatever they claim.
fn node_bytes(node: &ErofsNode) -> u64 {
    match node.flat_data() {
        Some(data) => data.iter().map(|range| range.end - range.start).sum(),
        None => node.size(),
    }
}
