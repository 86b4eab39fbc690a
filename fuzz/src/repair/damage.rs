//! What can happen to a disk.

use std::ops::Range;

use dm_verity::{SUPERBLOCK_SIZE, Superblock, VerityParams};
use model_disk::{derived_uuid, geometry_salt};

use super::disk::{Files, RepairDisk};

/// One damage in the fuzzer's bytes: what happens, and numbers: one of two bytes, and three of one.
pub const DAMAGE_SIZE: usize = 6;

/// The files of a disk when all that has happened to it.
pub(super) fn damaged(
    disk: &RepairDisk<'_>,
    damages: impl Iterator<Item = [u8; DAMAGE_SIZE]>,
) -> Files {
    let mut files = disk.files.clone();
    let mut shortened = [0; 3];
    for [kind, low, high, a, b, c] in damages {
        let number = u16::from_le_bytes([low, high]);
        match kind % 12 {
            0 => change(disk, &mut files, block(disk, number), (a, b), c),
            1 => overwrite(disk, &mut files, block(disk, number), a),
            // So many blocks of a row, whose number is that of the first.
            2 => {
                let rounds = disk.fec.layout.rounds();
                let first = block(disk, number);
                for count in 0..u64::from(a) % 30 {
                    let next = first + count * rounds * (1 + u64::from(c));
                    if next < disk.fec.layout.covered_blocks() {
                        overwrite(disk, &mut files, next, b);
                    }
                }
            }
            // So many blocks that follow each other.
            3 => {
                let first = block(disk, number);
                let end = disk.fec.layout.covered_blocks();
                (first..end)
                    .take(usize::from(a))
                    .for_each(|block| overwrite(disk, &mut files, block, b));
            }
            4 => swap(disk, &mut files, number, u16::from_le_bytes([a, b])),
            // Of the tree, the top first.
            5 => {
                let of_tree = disk.plan.layout.blocks();
                if of_tree > 0 {
                    let block = disk.fec.layout.data_blocks() + u64::from(number) % of_tree;
                    change(disk, &mut files, block, (a, b), c);
                }
            }
            6 => {
                let row = u64::from(number) % disk.fec.layout.rounds();
                let parity = &mut files[disk.fec_file()][disk.parity(row)];
                let at = usize::from(u16::from_le_bytes([a, b])) % parity.len();
                parity[at..].iter_mut().take(8).for_each(|byte| *byte ^= c);
            }
            // A byte of the parity of each codeword, or of some.
            7 => {
                let row = u64::from(number) % disk.fec.layout.rounds();
                let parity = &mut files[disk.fec_file()][disk.parity(row)];
                let roots = disk.shape.roots.get();
                let codewords = parity.chunks_mut(roots).step_by(1 + usize::from(b));
                codewords.for_each(|codeword| codeword[usize::from(a) % roots] ^= c);
            }
            8 if disk.shape.superblock => {
                let superblock = &mut files[disk.tree_file()][disk.superblock()];
                if a == 0 {
                    superblock.fill(b);
                } else {
                    superblock[usize::from(number) % SUPERBLOCK_SIZE] ^= a;
                }
            }
            9 if disk.shape.superblock => claim(disk, &mut files, number, a),
            10 => other_disk(disk, &mut files, a),
            11 => {
                let file = usize::from(a) % 3;
                shortened[file] = usize::from(number) * (1 + 7 * usize::from(b));
                // Longer, or with a hole.
                if c & 1 == 1 {
                    let bytes = &mut files[file];
                    let longer = if c & 2 == 2 { shortened[file] } else { 0 };
                    let end = bytes.len().saturating_sub(shortened[file]);
                    bytes[end..].fill(0);
                    if !bytes.is_empty() {
                        bytes.resize(bytes.len() + longer % 2048, 0);
                    }
                    shortened[file] = 0;
                }
            }
            _ => (),
        }
    }
    // All else finds its place.
    for (bytes, less) in files.iter_mut().zip(shortened) {
        bytes.truncate(bytes.len().saturating_sub(less));
    }
    files
}

fn block(disk: &RepairDisk<'_>, number: u16) -> u64 {
    u64::from(number) % disk.fec.layout.covered_blocks()
}

/// Some bytes are others: at most as many as a byte says, from a place in the block on.
fn change(disk: &RepairDisk<'_>, files: &mut Files, block: u64, (at, by): (u8, u8), count: u8) {
    let (file, range) = disk.place(block);
    let start = usize::from(at) * (range.len() / 256);
    let bytes = files[file][range][start..].iter_mut();
    bytes
        .take(1 + usize::from(count))
        .for_each(|byte| *byte ^= by);
}

/// Other bytes, or nothing but zeros.
fn overwrite(disk: &RepairDisk<'_>, files: &mut Files, block: u64, with: u8) {
    let (file, range) = disk.place(block);
    for (at, byte) in files[file][range].iter_mut().enumerate() {
        *byte = with.wrapping_mul(at as u8 ^ block as u8);
    }
}

fn swap(disk: &RepairDisk<'_>, files: &mut Files, one: u16, other: u16) {
    let [one, other] = [one, other].map(|number| disk.place(block(disk, number)));
    let bytes = files[one.0][one.1.clone()].to_vec();
    let others = files[other.0][other.1.clone()].to_vec();
    files[one.0][one.1].copy_from_slice(&others);
    files[other.0][other.1].copy_from_slice(&bytes);
}

/// A superblock that claims another number of data blocks, with the salt that this gives or that of
/// the disk.
fn claim(disk: &RepairDisk<'_>, files: &mut Files, data_blocks: u16, salt: u8) {
    let params = &disk.plan.params;
    let (algorithm, size, data_blocks) = (
        params.algorithm(),
        params.data_block_size(),
        u64::from(data_blocks),
    );
    let salt = if salt & 1 == 0 {
        params.salt().clone()
    } else {
        geometry_salt(algorithm, size, size, data_blocks)
    };
    let Ok(params) = VerityParams::new(algorithm, size, size, data_blocks, salt) else {
        return;
    };
    let uuid = derived_uuid(&disk.root_hash);
    let superblock = Superblock { uuid, params }.to_bytes();
    files[disk.tree_file()][disk.superblock()][..SUPERBLOCK_SIZE].copy_from_slice(&superblock);
}

/// Parts of it are those of a disk with other data: by the bits, data, superblock, the top of the
/// tree, the rest of it, and parity.
fn other_disk(disk: &RepairDisk<'_>, files: &mut Files, parts: u8) {
    let is_set = |bit: u8| parts >> bit & 1 == 1;
    let other = disk.other();
    let mut copy = |file: usize, range: Range<usize>| {
        files[file][range.clone()].copy_from_slice(&other.files[file][range]);
    };
    let data_blocks = disk.fec.layout.data_blocks();
    let tree_end = data_blocks + disk.plan.layout.blocks();
    let blocks = [
        (0, 0..data_blocks),
        (2, data_blocks..tree_end.min(data_blocks + 1)),
        (3, tree_end.min(data_blocks + 1)..tree_end),
    ];
    for (_, blocks) in blocks.into_iter().filter(|(bit, _)| is_set(*bit)) {
        for (file, range) in blocks.map(|block| disk.place(block)) {
            copy(file, range);
        }
    }
    if is_set(1) && disk.shape.superblock {
        copy(disk.tree_file(), disk.superblock());
    }
    if is_set(4) {
        let parity = disk.parity(0).start..disk.fec.area.end() as usize;
        copy(disk.fec_file(), parity);
    }
}
