//! The view of a filesystem through verified reads: what it gives of a disk with a changed byte is what
//! the unchanged disk has, or an error; and what it gives of the unchanged disk are the bytes that the
//! walk tells of. A disk with a sound FEC area gives what the unchanged one has.

use std::path::Path;

use dm_verity::fec::FecRoots;
use model_disk::{
    FileError, ReadAt,
    erofs::{ErofsNode, ErofsView, MAX_LINK_SIZE},
};
use test_support::{
    fec::FecImage,
    image::{DiskImage, SaltKind},
};
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

/// What is done with parity, by the first two bits of the place.
#[derive(Clone, Copy, PartialEq)]
enum Parity {
    None,
    Sound,
    Hostile,
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
    let place = u32::from_le_bytes(*place) as usize;
    let parity = match place >> 30 {
        0 | 1 => Parity::None,
        2 => Parity::Sound,
        _ => Parity::Hostile,
    };
    let place = place % disk.bytes.len();
    let FecImage {
        image: disk,
        layout,
        area,
        hash_area,
        bytes: mut changed,
    } = FecImage::new(disk, FecRoots::default());
    changed[place] ^= 1;
    if parity == Parity::Hostile {
        let hostile = changed[area.offset() as usize..]
            .iter_mut()
            .zip(image.iter().cycle());
        hostile.for_each(|(byte, other)| *byte = *other);
    }
    // The superblock is not read here, and not covered.
    let is_covered = place < data.len() || place as u64 >= hash_area.block_offset(0);
    let storage = FuzzedDisk(changed);
    let mut verified =
        VerifiedDisk::with_storage(disk.params.clone(), hash_area, disk.root_hash, storage);
    if parity != Parity::None {
        verified = verified.with_fec(&layout, area);
    }
    if parity == Parity::Sound {
        let mut all = vec![0; data.len()];
        verified.read_exact_at(&mut all, 0).unwrap();
        assert!(all == data);
        assert_eq!(verified.corrected(), Some(u64::from(is_covered)));
    }
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
