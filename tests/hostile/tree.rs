//! Trees that are not the ones over the data: what the root block tells, and what it does not.

use dm_verity::{RootHash, Salt, Superblock, TreeLayout, VerityParams};
use model_disk::{Binding, geometry_salt};

use test_support::image::{DiskImage, SaltKind, assemble, claim_erofs, data, digest};

use crate::{
    Test,
    disk_file::{DiskFile, Options},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("a_level_as_data", a_level_as_data),
    (
        "a_level_as_data_that_claims_to_be_a_filesystem",
        a_level_as_data_that_claims_to_be_a_filesystem,
    ),
    ("the_only_block_as_a_tree", the_only_block_as_a_tree),
    ("every_bit_of_the_root_block", every_bit_of_the_root_block),
    ("another_models_disk", another_models_disk),
    ("levels_out_of_order", levels_out_of_order),
    ("the_other_algorithm", the_other_algorithm),
    (
        "bytes_moved_between_salt_and_block",
        bytes_moved_between_salt_and_block,
    ),
];

/// A disk whose data is the level of this number of another's tree, with what stands above that
/// level as its tree. It has the other's root hash.
fn level_as_data(of: &DiskImage, level: usize, data: &[u8], salt: Salt) -> (Vec<u8>, VerityParams) {
    let old = &of.params;
    let hash_block = old.hash_block_size();
    let blocks = data.len() as u64 / hash_block.bytes();
    let params = VerityParams::new(old.algorithm(), hash_block, hash_block, blocks, salt).unwrap();
    let superblock = Superblock {
        uuid: uuid::Uuid::nil(),
        params: params.clone(),
    };
    (assemble(data, &superblock, &of.levels[level + 1..]), params)
}

fn three_levels(salt: SaltKind) -> DiskImage {
    let image = DiskImage::new(&data(300 * 512, 6), (512, 512), salt);
    assert_eq!(TreeLayout::new(&image.params).levels().len(), 3);
    image
}

fn a_level_as_data() {
    let file = DiskFile::new();
    for salt in [SaltKind::Geometry, SaltKind::Zero, SaltKind::Empty] {
        let image = three_levels(salt);
        for level in 0..3 {
            let data = &image.levels[level];
            let (disk, params) = level_as_data(&image, level, data, image.params.salt().clone());
            let k = params.data_blocks();
            let at = Options::at(data.len());
            // The attack is real: the root hash fits, and a user who named this number would get
            // this disk.
            let fooled = file
                .check(&disk, &image.root_hash, at.data_blocks(k))
                .unwrap();
            assert_eq!(fooled.binding(), Binding::Arguments);

            let none = Options::default();
            file.refuses(&disk, &image.root_hash, none, &["no erofs filesystem"]);
            file.refuses(&disk, &image.root_hash, at, &["nothing binds"]);
            let right = at.data_blocks(image.params.data_blocks());
            let reason = format!("claims {k} data blocks");
            file.refuses(&disk, &image.root_hash, right, &[&reason]);
            // The salt that would pin these parameters gives another root hash.
            let pinned = geometry_salt(
                params.algorithm(),
                params.data_block_size(),
                params.hash_block_size(),
                k,
            );
            let (disk, _) = level_as_data(&image, level, data, pinned);
            file.refuses(&disk, &image.root_hash, at, &["does not match"]);
        }
    }
}

/// A level's first block would have to be digests and the superblock of a filesystem at once.
/// With a forged one in it, the block's digest is another. Where it is the root block, that is
/// told here; where it is not, the claim passes this far, and the first block that the kernel
/// reads is corrupt, before anything is mounted.
fn a_level_as_data_that_claims_to_be_a_filesystem() {
    let file = DiskFile::new();
    let image = three_levels(SaltKind::Zero);
    for level in 0..3 {
        let mut data = image.levels[level].clone();
        let blocks = data.len() / 512;
        claim_erofs(&mut data, 9, blocks as u32);
        let (disk, params) = level_as_data(&image, level, &data, image.params.salt().clone());
        if data.len() < 1152 {
            // No room for a superblock.
            let options = Options::at(data.len());
            file.refuses(&disk, &image.root_hash, options, &["nothing binds"]);
            continue;
        }
        let checked = file
            .check(&disk, &image.root_hash, Options::default())
            .unwrap();
        assert_eq!(checked.binding(), Binding::Filesystem);
        // The block of the data with the superblock is not what the tree says.
        let claimed = digest(&params, &data[1024..1536]);
        assert_ne!(claimed, image.levels[level + 1][64..96]);
    }

    // Larger blocks, so that it would be the root block itself.
    let image = DiskImage::new(&self::data(100 * 4096, 7), (4096, 4096), SaltKind::Zero);
    let mut level = image.levels[0].clone();
    claim_erofs(&mut level, 12, 1);
    let (disk, _) = level_as_data(&image, 0, &level, image.params.salt().clone());
    file.refuses(
        &disk,
        &image.root_hash,
        Options::default(),
        &["does not match"],
    );
}

/// The other way round: a disk of one block, whose digest is the root hash, as the root block of
/// a tree over something else.
fn the_only_block_as_a_tree() {
    let file = DiskFile::new();
    for salt in [SaltKind::Geometry, SaltKind::Zero, SaltKind::Empty] {
        let image = DiskImage::new(&data(4096, 8), (4096, 4096), salt);
        file.accepts(&image, Options::default());
        for blocks in [2, 100, 128] {
            let other = data(blocks * 4096, 9);
            let old = &image.params;
            let superblock = Superblock {
                uuid: uuid::Uuid::nil(),
                params: VerityParams::new(
                    old.algorithm(),
                    old.data_block_size(),
                    old.hash_block_size(),
                    blocks as u64,
                    old.salt().clone(),
                )
                .unwrap(),
            };
            let disk = assemble(&other, &superblock, &[image.data().to_vec()]);
            // The filesystem of the other data is no witness: its block is not what the
            // "digest" says.
            let checked = file
                .check(&disk, &image.root_hash, Options::default())
                .unwrap();
            assert_eq!(checked.binding(), Binding::Filesystem);
            assert_ne!(digest(checked.params(), &other[..4096]), image.data()[..32]);
            let options = Options::default().data_blocks(1);
            file.refuses(
                &disk,
                &image.root_hash,
                options,
                &["data blocks, the arguments say"],
            );
        }
    }
}

fn every_bit_of_the_root_block() {
    let file = DiskFile::new();
    for (n, blocks, salt) in [
        (300, (512, 512), SaltKind::Geometry),
        (300, (512, 512), SaltKind::Zero),
        (1, (4096, 512), SaltKind::Zero),
    ] {
        let image = DiskImage::new(&data(n * blocks.0 as usize, 10), blocks, salt);
        let root_block = if n == 1 {
            0..4096
        } else {
            image.data_end() + 512..image.data_end() + 1024
        };
        let options = Options::at(image.data_end());
        for byte in root_block {
            for bit in 0..8 {
                let mut disk = image.bytes.clone();
                disk[byte] ^= 1 << bit;
                let reasons = &["does not match", "nothing binds", "is refused"];
                file.refuses(&disk, &image.root_hash, options, reasons);
            }
        }
    }
}

fn another_models_disk() {
    let file = DiskFile::new();
    for salt in [SaltKind::Geometry, SaltKind::Zero, SaltKind::Empty] {
        let [ours, theirs] =
            [11, 12].map(|seed| DiskImage::new(&data(40 * 512, seed), (512, 512), salt));
        let smaller = DiskImage::new(&data(39 * 512, 11), (512, 512), salt);
        for other in [&theirs, &smaller] {
            file.accepts(other, Options::default());
            file.refuses(
                &other.bytes,
                &ours.root_hash,
                Options::default(),
                &["does not match"],
            );
        }
        // Their tree, or a part of it, after our data.
        let mixed = [ours.data(), &theirs.bytes[theirs.data_end()..]].concat();
        file.refuses(
            &mixed,
            &ours.root_hash,
            Options::default(),
            &["does not match"],
        );
        let superblock = Superblock {
            uuid: uuid::Uuid::nil(),
            params: ours.params.clone(),
        };
        let levels = [ours.levels[0].clone(), theirs.levels[1].clone()];
        let mixed = assemble(ours.data(), &superblock, &levels);
        file.refuses(
            &mixed,
            &ours.root_hash,
            Options::default(),
            &["does not match"],
        );
        // Our root block over their blocks is for the kernel to find out.
        let levels = [theirs.levels[0].clone(), ours.levels[1].clone()];
        let mixed = assemble(theirs.data(), &superblock, &levels);
        file.check(&mixed, &ours.root_hash, Options::default())
            .unwrap();
    }
}

fn levels_out_of_order() {
    let file = DiskFile::new();
    let image = three_levels(SaltKind::Geometry);
    let superblock = Superblock {
        uuid: uuid::Uuid::nil(),
        params: image.params.clone(),
    };
    for order in [[2, 1, 0], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]] {
        let levels = order.map(|level| image.levels[level].clone());
        let disk = assemble(image.data(), &superblock, &levels);
        let result = file.check(&disk, &image.root_hash, Options::default());
        // The root level in its place is all that is looked at here.
        if order[2] == 2 {
            result.unwrap();
        } else {
            assert!(result.unwrap_err().to_string().contains("does not match"));
        }
    }
}

fn the_other_algorithm() {
    use dm_verity::HashAlgorithm::{Sha256, Sha512};
    let file = DiskFile::new();
    let [ours, theirs] = [Sha256, Sha512].map(|algorithm| {
        DiskImage::with_algorithm(&data(40 * 512, 13), (512, 512), SaltKind::Zero, algorithm)
    });
    for image in [&ours, &theirs] {
        file.accepts(image, Options::default());
    }
    let reason = &["the root hash is one of"][..];
    file.refuses(&ours.bytes, &theirs.root_hash, Options::default(), reason);
    file.refuses(&theirs.bytes, &ours.root_hash, Options::default(), reason);
    // With room for the larger tree.
    let mut disk = ours.with_superblock_bytes(32, b"sha512");
    disk.resize(disk.len() + 4096, 0);
    file.refuses(&disk, &ours.root_hash, Options::default(), reason);
    // Half a root hash is none of a shorter algorithm.
    let half: RootHash = theirs.root_hash.to_string()[..64].parse().unwrap();
    file.refuses(&theirs.bytes, &half, Options::default(), reason);
}

/// Salt and block are hashed as one run of bytes. A salt that took the start of the block would
/// leave a block that is shorter by as many bytes: no two block sizes are that close.
fn bytes_moved_between_salt_and_block() {
    let file = DiskFile::new();
    for size in 1..=256 {
        let (kind, blocks) = (SaltKind::Empty, (4096, 1024));
        let image = DiskImage::new(&data(100 * 4096, 14), blocks, kind);
        let root_block = image.levels.last().unwrap();
        // The end of the shorter block is made of what comes after.
        let mut disk = image.with_superblock_bytes(88, &root_block[..size]);
        let at = image.data_end();
        disk[at + 80..at + 82].copy_from_slice(&(size as u16).to_le_bytes());
        for hash_block in [512u32, 1024, 2048] {
            disk[at + 68..at + 72].copy_from_slice(&hash_block.to_le_bytes());
            let start = (at + 512).next_multiple_of(hash_block as usize);
            let mut disk = disk.clone();
            disk.resize(disk.len().max(start + 4096), 0);
            disk[start..start + 1024 - size].copy_from_slice(&root_block[size..]);
            let reasons = &["does not match", "cut short"];
            file.refuses(&disk, &image.root_hash, Options::default(), reasons);
        }
    }
}
