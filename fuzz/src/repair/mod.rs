//! `repair` of a disk of which nothing can be trusted but the root hash: data, tree, superblock and
//! FEC area are damaged, or those of another disk. What it writes is what was built, it corrects no
//! less than it promises, and what it tells is so: `verify` finds the same, before and after.

mod case;
mod damage;
mod disk;
mod model;

use tempfile::TempDir;

pub use damage::DAMAGE_SIZE;

use crate::built_disk::workers;
use case::RepairCase;
use damage::damaged;
use disk::{DiskShape, RepairDisk};

/// What stands before the damages in the fuzzer's bytes: the disk, and what the arguments say.
///
/// Of the first byte, the size of a block (bit 0), the algorithm (1), whether the salt is another than
/// the geometry gives (2), whether the tree (3) and the FEC area (4) are in a file of their own, and
/// whether there is no superblock (5). Of the next, what the arguments say: the sizes of blocks (bit 0),
/// the number of data blocks (1), the salt (2), and not where the superblock is (3); and what is in
/// the data (4 and 5) and how many blocks are covered by parity alone (6 and 7). Then the number of data blocks, 2 bytes; that of
/// roots; and, if it is not 0, the number of roots that the arguments say.
pub const ARGUMENTS_SIZE: usize = 6;

/// More damages show nothing more.
const MAX_DAMAGES: usize = 24;

/// Takes a disk, arguments and damages.
pub fn run(bytes: &[u8]) {
    let Some((arguments, damages)) = bytes.split_first_chunk() else {
        return;
    };
    thread_local!(static FOLDER: TempDir = tempfile::tempdir().unwrap());
    FOLDER.with(|folder| {
        workers().install(|| {
            let disk = RepairDisk::new(folder.path(), DiskShape::new(arguments));
            let damages = damages.chunks_exact(DAMAGE_SIZE).take(MAX_DAMAGES);
            let damaged = damaged(&disk, damages.map(|damage| damage.try_into().unwrap()));
            RepairCase::new(&disk, arguments, damaged).judge();
        });
    });
}
