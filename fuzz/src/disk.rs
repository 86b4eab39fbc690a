//! The mounter's decision on a disk, up to the kernel, and the builder's `verify` and `inspect`
//! beside it. What one accepts, the other does, and takes for the same.

use std::{
    fs::File,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    time::Duration,
};

use disk_builder::{
    commands::verify::{Verify, VerifyError, VerifyReport},
    engine::VerifyTreeError,
};
use disk_mounter::{MountError, MountRequest, check};
use dm_verity::RootHash;
use model_disk::{
    Disk, DiskError, ErrorChain, ExpectedParams, HasExitCode, ParamsSource, filesystem::FsType,
    inspect,
};
use test_support::assert_sound;

use crate::built_disk::workers;

/// What stands before the disk in the fuzzer's bytes: what the arguments say.
///
/// One byte with the filesystem (bits 0 and 1), whether the hash offset (2), the number of data
/// blocks (3) and a hash device (4) are given; then these, 4 bytes each: the offset, the number,
/// and how many bytes at the end are the hash device's.
pub const ARGUMENTS_SIZE: usize = 13;

struct DiskTargetArguments {
    fs_type: FsType,
    hash_offset: Option<u64>,
    data_blocks: Option<u64>,
    hash_device_bytes: Option<usize>,
}

impl DiskTargetArguments {
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
    let arguments = DiskTargetArguments::read(arguments);
    let hash_bytes = arguments
        .hash_device_bytes
        .map(|bytes| bytes.min(disk.len()));
    let (data, hash) = disk.split_at(disk.len() - hash_bytes.unwrap_or(0));
    let hash = hash_bytes.map(|_| hash);
    thread_local!(static FILES: [File; 2] = [(); 2].map(|()| tempfile::tempfile().unwrap()));
    FILES.with(|files| workers().install(|| judge(&arguments, files, data, hash)));
}

fn judge(
    arguments: &DiskTargetArguments,
    [data_file, hash_file]: &[File; 2],
    data: &[u8],
    hash: Option<&[u8]>,
) {
    let data_path = fill(data_file, data);
    let hash_path = hash.map(|hash| fill(hash_file, hash));
    let inspection = inspect(&data_path, arguments.hash_offset).unwrap();
    assert!(!inspection.to_string().is_empty() && inspection.to_json().is_object());
    let request = request(arguments, &data_path, hash_path.as_deref());
    let mounted = judgement(request.clone());
    let root_hash = mounted.as_ref().map(|(root_hash, _)| *root_hash);
    let verified = verdict(&request, root_hash.unwrap_or(request.root_hash));
    let (root_hash, accepted) = match mounted {
        Ok(accepted) => accepted,
        Err(MountError::Disk(refused)) => {
            let Err(VerifyError::Disk(also)) = verified else {
                panic!("verify does not refuse what mount does: {refused}");
            };
            let [refused, also] = [&refused, &also].map(|error| ErrorChain(error).to_string());
            assert_eq!(refused, also);
            return;
        }
        // Blocks that this machine cannot read.
        Err(_) => return,
    };
    let (fs_type, data_blocks) = (arguments.fs_type, arguments.data_blocks);
    assert_sound(data, hash, &root_hash, fs_type, data_blocks, &accepted);
    match verified {
        Ok(report) => {
            assert_eq!(&report.params, accepted.params());
            assert_eq!(report.hash_area, accepted.hash_area());
            assert_eq!(report.binding, accepted.binding());
        }
        // That the last hash block of a level has more digests than it should is looked at by
        // `verify` alone: the kernel does not mind.
        Err(VerifyError::Tree(VerifyTreeError::MoreDigests { .. })) => {}
        Err(error) => panic!("verify refuses what mount accepts: {error}"),
    }
}

pub(crate) fn fill(file: &File, bytes: &[u8]) -> PathBuf {
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn request(arguments: &DiskTargetArguments, data: &Path, hash: Option<&Path>) -> MountRequest {
    MountRequest {
        hash_device: hash.map(Path::to_owned),
        params: ParamsSource::Superblock {
            hash_offset: arguments.hash_offset,
            expected: ExpectedParams {
                data_blocks: arguments.data_blocks,
                ..ExpectedParams::default()
            },
        },
        fs_type: arguments.fs_type,
        wait: Duration::ZERO,
        ..MountRequest::new("00".repeat(32).parse().unwrap(), data, "")
    }
}

/// The disk, if it is accepted under the root hash that it has: no fuzzer finds one that fits, so
/// it is taken from the refusal of another.
pub(crate) fn judgement(mut request: MountRequest) -> Result<(RootHash, Disk), MountError> {
    loop {
        match check(&request) {
            Ok(disk) => return Ok((request.root_hash, disk)),
            Err(MountError::Disk(DiskError::RootHash { expected, found })) => {
                assert!(expected == request.root_hash && found != expected);
                request.root_hash = found;
            }
            Err(MountError::Disk(DiskError::Algorithm { disk, root_hash })) => {
                assert!(root_hash == request.root_hash.algorithm() && disk != root_hash);
                request.root_hash = "00".repeat(disk.digest_size()).parse().unwrap();
            }
            Err(error) => {
                // Every refusal has its words and its exit code.
                assert!(!error.to_string().is_empty() && error.exit_code() as u8 > 2);
                return Err(error);
            }
        }
    }
}

/// What `verify` says of the same disk.
fn verdict(request: &MountRequest, root_hash: RootHash) -> Result<VerifyReport, VerifyError> {
    Verify {
        fec: None,
        image: request.device.clone(),
        root_hash,
        hash_device: request.hash_device.clone(),
        fs_type: request.fs_type,
        params: request.params.clone(),
    }
    .run(workers())
}
