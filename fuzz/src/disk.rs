//! The mounter's decision on a disk, up to the kernel, and the builder's `verify` and `inspect`
//! beside it. What both accept, they take for the same.

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use disk_builder::{
    engine::VerifyTreeError,
    verify::{TreeArguments, Verify, VerifyError},
};
use disk_mounter::{Checked, DiskError, MountError, MountRequest, ParamsSource, check, inspect};
use dm_verity::RootHash;
use model_disk::{Binding, filesystem::FsType};

use crate::{model_disk::workers, sound::assert_sound};

/// What stands before the disk in the fuzzer's bytes: what the arguments say.
///
/// One byte with the filesystem (bits 0 and 1), whether the hash offset (2), the number of data
/// blocks (3) and a hash device (4) are given; then these, 4 bytes each: the offset, the number,
/// and how many bytes at the end are the hash device's.
pub const ARGUMENTS_SIZE: usize = 13;

struct Arguments {
    fs_type: FsType,
    hash_offset: Option<u64>,
    data_blocks: Option<u64>,
    hash_device_bytes: Option<usize>,
}

impl Arguments {
    fn read(bytes: &[u8; ARGUMENTS_SIZE]) -> Self {
        let flags = bytes[0];
        let number = |index: usize| {
            let raw = &bytes[1 + 4 * index..][..4];
            let number = raw
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            (flags >> (2 + index) & 1 == 1).then_some(number)
        };
        Self {
            fs_type: FsType::ALL[usize::from(flags & 3)],
            hash_offset: number(0),
            data_blocks: number(1),
            hash_device_bytes: number(2).map(|bytes| bytes as usize),
        }
    }
}

/// Takes arguments and a disk.
pub fn run(bytes: &[u8]) {
    let Some((arguments, disk)) = bytes.split_first_chunk() else {
        return;
    };
    let arguments = Arguments::read(arguments);
    let hash_bytes = arguments
        .hash_device_bytes
        .map(|bytes| bytes.min(disk.len()));
    let (data, hash) = disk.split_at(disk.len() - hash_bytes.unwrap_or(0));
    let hash = hash_bytes.map(|_| hash);
    thread_local!(static FILES: [File; 2] = [(); 2].map(|()| tempfile::tempfile().unwrap()));
    FILES.with(|[data_file, hash_file]| {
        let data_path = fill(data_file, data);
        let hash_path = hash.map(|hash| fill(hash_file, hash));
        let claims = inspect(&data_path, arguments.hash_offset).unwrap();
        assert!(!claims.to_string().is_empty() && claims.to_json().is_object());
        let to_builder = disk_builder::inspect::inspect(&data_path, arguments.hash_offset);
        assert_eq!(to_builder.unwrap(), claims);
        let Some((root_hash, checked)) = accepted(&arguments, &data_path, hash_path.as_deref())
        else {
            return;
        };
        let (fs_type, data_blocks) = (arguments.fs_type, arguments.data_blocks);
        assert_sound(data, hash, &root_hash, fs_type, data_blocks, &checked);
        agrees(
            &arguments,
            &data_path,
            hash_path.as_deref(),
            &root_hash,
            &checked,
        );
    });
}

fn fill(file: &File, bytes: &[u8]) -> PathBuf {
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Whether the disk is accepted under the root hash that it has: no fuzzer finds one that fits, so
/// it is taken from the refusal of another.
fn accepted(
    arguments: &Arguments,
    data: &Path,
    hash: Option<&Path>,
) -> Option<(RootHash, Checked)> {
    let mut request = MountRequest {
        hash_device: hash.map(Path::to_owned),
        params: ParamsSource::Superblock {
            hash_offset: arguments.hash_offset,
            data_blocks: arguments.data_blocks,
        },
        fs_type: arguments.fs_type,
        wait: Duration::ZERO,
        ..MountRequest::new("00".repeat(32).parse().unwrap(), data, "")
    };
    loop {
        match check(&request) {
            Ok(checked) => return Some((request.root_hash, checked)),
            Err(MountError::Disk(DiskError::RootHash { expected, found })) => {
                assert!(expected == request.root_hash && found != expected);
                request.root_hash = found;
            }
            Err(MountError::Disk(DiskError::Algorithm { disk, expected })) => {
                assert!(expected == request.root_hash.algorithm() && disk != expected);
                request.root_hash = "00".repeat(disk.digest_size()).parse().unwrap();
            }
            Err(error) => {
                // Every refusal has its words and its exit code.
                assert!(!error.to_string().is_empty() && error.exit_code() as u8 > 2);
                return None;
            }
        }
    }
}

/// `verify` has no reason to refuse what the mounter accepts, but what it finds deeper down, and
/// the filesystems that it does not know.
fn agrees(
    arguments: &Arguments,
    data: &Path,
    hash: Option<&Path>,
    root_hash: &RootHash,
    checked: &Checked,
) {
    let verified = Verify {
        image: data.to_owned(),
        root_hash: *root_hash,
        hash_device: hash.map(Path::to_owned),
        hash_offset: arguments.hash_offset,
        superblock: true,
        tree: TreeArguments {
            data_blocks: arguments.data_blocks,
            ..TreeArguments::default()
        },
    }
    .run(workers());
    let known = arguments.fs_type == FsType::Erofs || checked.binding != Binding::Filesystem;
    let found_alike =
        arguments.fs_type == FsType::Erofs || arguments.hash_offset.is_some() || hash.is_some();
    match verified {
        Ok(report) if found_alike => {
            assert_eq!(
                report.plan.params.data_blocks(),
                checked.params.data_blocks()
            );
            assert_eq!(report.plan.area.offset(), checked.hash_area.offset());
            if report.binding != checked.binding {
                // The filesystem that it knows was not the one that was named.
                assert!(!known, "{:?} {:?}", report.binding, checked.binding);
            }
        }
        // That the last hash block of a level has more digests than it should is looked at by
        // `verify` alone: the kernel does not mind.
        Ok(_) | Err(VerifyError::Tree(VerifyTreeError::MoreDigests { .. })) => {}
        Err(error) => assert!(!(known && found_alike), "{error}"),
    }
}
