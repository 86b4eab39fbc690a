//! `verify` of a good disk of which some bytes were changed, and with arguments that are not all
//! true. It finds just the blocks that differ, and tells just the files that they lie in.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
};

use disk_builder::{
    commands::{
        hash::{Hash, TreePlan, TreeRequest},
        verify::{Damage, Verify, VerifyError, VerifyReport},
    },
    engine::Findings,
};
use dm_verity::{BlockSize, HashAlgorithm, RootHash, SUPERBLOCK_SIZE, Salt};
use model_disk::{
    DiskError, ExpectedParams, HasExitCode, ParamsSource,
    erofs::{self, SUPERBLOCK_OFFSET},
    filesystem::FsType,
    manifest::default_path,
};

use crate::built_disk::{BuiltDisk, workers};

/// What stands before the changes in the fuzzer's bytes: what the arguments say.
///
/// One byte with whether there is no superblock (bit 0), and whether the number of data blocks
/// (1), the size of a data block (2) and of a hash block (3), the algorithm (4) and the salt (5)
/// are given; then how each of these differs from the truth: 4 bytes, and 1 for each of the
/// others. A change is three bytes with its place, and how the byte there differs.
pub const ARGUMENTS_SIZE: usize = 9;

/// The smallest: a tree of two levels over little data.
const BLOCK: u64 = 512;

/// How many digests a hash block has.
const DIGESTS: u64 = BLOCK / 32;

/// The disk, which has a tree of two levels.
struct Subject {
    _disk: BuiltDisk,
    image: PathBuf,
    file: File,
    bytes: Vec<u8>,
    root_hash: RootHash,
    plan: TreePlan,
    /// What is in its filesystem, in the order of a walk.
    nodes: Vec<(Vec<u8>, [Range<u64>; 2])>,
    /// The bytes of files: all others, a walk may read.
    file_data: Vec<Range<u64>>,
}

impl Subject {
    fn new() -> Self {
        let disk = BuiltDisk::new(&[
            (b"a/b/c", 5000),
            (b"a/d", 0),
            (b"config.json", 612),
            (b"model.safetensors", 5 * 4096),
            (b"z/\xff", 4097),
        ]);
        let image = disk.image();
        fs::remove_file(default_path(&image)).unwrap();
        let file = File::options().write(true).open(&image).unwrap();
        file.set_len(disk.report.plan.params.data_bytes()).unwrap();
        let block_size = BlockSize::new(BLOCK).unwrap();
        let hash = Hash {
            data: image.clone(),
            hash_device: None,
            tree: TreeRequest {
                data_block_size: block_size,
                hash_block_size: block_size,
                ..TreeRequest::default()
            },
            fec: None,
            uuid: None,
            force: false,
        };
        let hashed = hash.run(workers(), |_| ()).unwrap();
        assert_eq!(hashed.plan.layout.levels().len(), 2);
        let bytes = fs::read(&image).unwrap();
        let read = |buffer: &mut [u8], offset: u64| {
            buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
            Ok(())
        };
        let (mut nodes, mut file_data) = (Vec::new(), Vec::new());
        erofs::walk(read, |entry| {
            let mut name = entry.path.to_vec();
            let data = entry.node.flat_data().unwrap().clone();
            if entry.node.is_directory() {
                name.push(b'/');
            } else {
                file_data.extend(data.clone());
            }
            nodes.push((name, data));
        })
        .unwrap();
        Self {
            file,
            image,
            bytes,
            root_hash: hashed.root_hash,
            plan: hashed.plan,
            nodes,
            file_data,
            _disk: disk,
        }
    }

    /// What the arguments say, and whether it is so.
    fn arguments(&self, raw: &[u8; ARGUMENTS_SIZE]) -> (ExpectedParams, bool) {
        let [flags, blocks @ .., data, hash, algorithm, salt] = raw;
        let given = |bit: u8| flags >> bit & 1 == 1;
        let params = &self.plan.params;
        let size = |log: u8| BlockSize::new(BLOCK << (log & 7)).ok();
        let mut other_salt = params.salt().as_bytes().to_vec();
        other_salt[0] ^= salt;
        let other_salt = Salt::new(&other_salt).ok();
        let algorithm = [HashAlgorithm::Sha256, HashAlgorithm::Sha512][usize::from(algorithm & 1)];
        let said = ExpectedParams {
            data_blocks: given(1)
                .then_some(params.data_blocks() ^ u64::from(u32::from_le_bytes(*blocks))),
            data_block_size: size(*data).filter(|_| given(2)),
            hash_block_size: size(*hash).filter(|_| given(3)),
            algorithm: given(4).then_some(algorithm),
            salt: other_salt.filter(|_| given(5)),
        };
        let truth = ExpectedParams {
            data_blocks: said.data_blocks.and(Some(params.data_blocks())),
            data_block_size: said.data_block_size.and(Some(params.data_block_size())),
            hash_block_size: said.hash_block_size.and(Some(params.hash_block_size())),
            algorithm: said.algorithm.and(Some(params.algorithm())),
            salt: said.salt.as_ref().and(Some(params.salt().clone())),
        };
        let true_ = said == truth;
        (said, true_)
    }

    /// Makes the changes, checks, and takes them back.
    fn judge(&self, arguments: &[u8; ARGUMENTS_SIZE], changes: &[u8]) {
        let mut changed = self.bytes.clone();
        let mut places = BTreeSet::new();
        for change in changes.chunks_exact(4) {
            let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
            let place = place % changed.len();
            changed[place] ^= change[3];
            places.insert(place);
        }
        let write = |bytes: &[u8]| {
            for place in &places {
                let byte = &bytes[*place..=*place];
                self.file.write_all_at(byte, *place as u64).unwrap();
            }
        };
        write(&changed);
        self.check(arguments, &changed);
        write(&self.bytes);
    }

    fn check(&self, raw: &[u8; ARGUMENTS_SIZE], changed: &[u8]) {
        let superblock = raw[0] & 1 == 0;
        let (tree, true_) = self.arguments(raw);
        // Where nothing says its sizes, they are taken for others than this disk has.
        let sizes = tree.data_block_size.is_some() && tree.hash_block_size.is_some();
        let true_ = true_ && (superblock || sizes);
        let tree_start = self.plan.area.block_offset(0);
        let area = self.plan.area.offset();
        let params = if superblock {
            ParamsSource::Superblock {
                hash_offset: Some(area),
                expected: tree,
            }
        } else {
            let enough = tree.data_blocks.is_some() && tree.salt.is_some();
            let params = tree.without_superblock(&self.root_hash, Some(tree_start));
            assert!(enough || params.is_err());
            let Ok(params) = params else {
                return;
            };
            params
        };
        let verified = Verify {
            fec: None,
            image: self.image.clone(),
            root_hash: self.root_hash,
            hash_device: None,
            fs_type: FsType::default(),
            params,
        }
        .run(workers());
        match &verified {
            Ok(report) => assert!(!report.to_string().is_empty() && report.to_json().is_object()),
            Err(error) => assert!(!error.to_string().is_empty() && error.exit_code() as u8 >= 2),
        }
        if superblock && !true_ {
            assert!(verified.is_err());
        }
        let same = |start: u64, length: u64| {
            let range = start as usize..(start + length) as usize;
            changed[range.clone()] == self.bytes[range]
        };
        if !true_ || (superblock && !same(area, SUPERBLOCK_SIZE as u64)) {
            return;
        }
        if !same(tree_start, BLOCK) {
            assert!(verified.is_err(), "another root block");
            return;
        }
        // A filesystem that cannot be is refused before all is read.
        if let Err(VerifyError::Disk(DiskError::Filesystem { .. })) = verified {
            assert!(!same(SUPERBLOCK_OFFSET, erofs::SUPERBLOCK_SIZE as u64));
            return;
        }
        let report = verified.unwrap();
        let differs = |block: &u64| !same(block * BLOCK, BLOCK);
        let leaves = self.plan.layout.levels()[0];
        let hash_blocks: Vec<u64> = (0..leaves.blocks)
            .filter(|block| !same(tree_start + (leaves.first_block + block) * BLOCK, BLOCK))
            .collect();
        let data_blocks = self.plan.params.data_blocks();
        let under = |block: &u64| hash_blocks.contains(&(block / DIGESTS));
        let unverifiable: Vec<u64> = (0..data_blocks).filter(under).collect();
        let corrupt: Vec<u64> = (0..data_blocks)
            .filter(|block| differs(block) && !under(block))
            .collect();
        let Findings {
            corrupt_hash_blocks,
            corrupt_data,
            unverifiable_data,
            incomplete,
        } = &report.findings;
        let found: Vec<u64> = corrupt_hash_blocks
            .iter()
            .map(|found| found.block)
            .collect();
        assert_eq!(found, hash_blocks);
        assert!(corrupt_hash_blocks.iter().all(|found| found.level == 0) && !incomplete);
        assert_eq!(all(corrupt_data), corrupt);
        assert_eq!(all(unverifiable_data), unverifiable);
        self.check_paths(&report, &[corrupt, unverifiable].concat());
    }

    /// All paths are told where a walk meets no bad block, and never a wrong one.
    fn check_paths(&self, report: &VerifyReport, bad: &[u64]) {
        let is_of_a_file = |block: &u64| {
            let bytes = block * BLOCK..(block + 1) * BLOCK;
            self.file_data.iter().any(|data| overlap(data, &bytes))
        };
        let damages = &report.damages;
        let certain = bad.iter().all(is_of_a_file);
        assert!(!certain || damages.unknown.is_none());
        for Damage { blocks, paths } in damages.corrupt.iter().chain(&damages.unverifiable) {
            let bytes = blocks.start * BLOCK..blocks.end * BLOCK;
            let hit = |node: &&(Vec<u8>, [Range<u64>; 2])| {
                node.1.iter().any(|data| overlap(data, &bytes))
            };
            let expected: Vec<_> = self.nodes.iter().filter(hit).map(|node| &node.0).collect();
            if damages.unknown.is_none() {
                assert_eq!(paths.iter().collect::<Vec<_>>(), expected);
            } else {
                let expected: BTreeSet<_> = expected.into_iter().collect();
                assert!(paths.iter().all(|path| expected.contains(path)));
            }
        }
    }
}

/// Takes arguments and changes.
pub fn run(bytes: &[u8]) {
    let Some((arguments, changes)) = bytes.split_first_chunk() else {
        return;
    };
    thread_local!(static SUBJECT: Subject = Subject::new());
    SUBJECT.with(|subject| workers().install(|| subject.judge(arguments, changes)));
}

fn all(ranges: &[Range<u64>]) -> Vec<u64> {
    ranges.iter().cloned().flatten().collect()
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    !one.is_empty() && one.start < other.end && other.start < one.end
}
