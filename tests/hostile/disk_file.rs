//! The file in which disks are tried, one after the other.

use std::{
    fs::{self, File},
    num::NonZero,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use disk_mounter::{
    DiskPath, ExtractRequest, ListFormat, MountError, MountRequest, ReadRequest, ReadingError,
    VerifiedFiles, cat, check, extract, list,
};
use dm_verity::RootHash;
use model_disk::{
    BackingFile, Disk, ErrorChain, ExitCode, ExpectedParams, HasExitCode, ParamsSource,
    PartitionChoice, Progress, filesystem::FsType,
};
use test_support::{assert_sound, image::DiskImage};

static TRIED: AtomicUsize = AtomicUsize::new(0);

/// How many disks have been tried.
pub(crate) fn tried() -> usize {
    TRIED.load(Ordering::Relaxed)
}

/// What the arguments say besides the root hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// `--fs-type`
    pub(crate) fs_type: FsType,
    /// `--hash-offset`
    pub(crate) hash_offset: Option<u64>,
    /// `--data-blocks`
    pub(crate) data_blocks: Option<u64>,
    /// `--data-partition` and `--hash-partition`, or neither in the form that looks for both
    pub(crate) partitions: Option<PartitionChoice>,
}

impl Options {
    /// The superblock is at this place.
    pub(crate) fn at(hash_offset: usize) -> Self {
        Self {
            hash_offset: Some(hash_offset as u64),
            ..Self::default()
        }
    }

    /// There are so many data blocks.
    pub(crate) fn data_blocks(self, data_blocks: u64) -> Self {
        Self {
            data_blocks: Some(data_blocks),
            ..self
        }
    }
}

/// How many entries of a disk are printed: directories may be within themselves.
const MAX_ENTRIES: usize = 100;

/// How much of a file is printed from its start, and of its end. A longer one is holes in between.
const MAX_PRINTED: u64 = 1 << 20;

/// Prints all files that `ls` shows in a directory, and below it.
fn print_files(files: &VerifiedFiles, directory: &DiskPath, left: &mut usize) {
    let mut listed = Vec::new();
    let list = list(files, directory, ListFormat::Json, &mut listed);
    assert_ends_well(list.err().and_then(code_of_listed));
    // It is not whole where something cannot be read.
    let Ok(listed) = serde_json::from_slice::<serde_json::Value>(&listed) else {
        return;
    };
    for entry in listed["entries"].as_array().unwrap() {
        // One that is no text is written in another way.
        let Some(name) = entry["path"].as_str() else {
            continue;
        };
        let Ok(path) = DiskPath::new(&[directory.as_bytes(), b"/", name.as_bytes()].concat())
        else {
            continue;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        match (entry["type"].as_str(), entry["size"].as_u64()) {
            (Some("directory"), _) => print_files(files, &path, left),
            (Some("file"), Some(size)) => {
                for offset in [0, size.saturating_sub(MAX_PRINTED)] {
                    assert_ends_well(print(files, path.clone(), offset, size));
                }
            }
            _ => {}
        }
    }
}

/// Prints a part of a file: as many bytes as it should have, or the exit code of the error.
fn print(files: &VerifiedFiles, path: DiskPath, offset: u64, size: u64) -> Option<ExitCode> {
    let mut printed = Vec::new();
    let one_thread = NonZero::<usize>::MIN;
    let paths = [path];
    match cat(files, &paths, offset, MAX_PRINTED, one_thread, &mut printed) {
        Ok(()) => {
            assert_eq!(printed.len() as u64, (size - offset).min(MAX_PRINTED));
            None
        }
        Err(error) => code_of_listed(error),
    }
}

/// The exit code of the error of something that `ls` has shown. Of names that are not in their order, or
/// there twice, another may be found, or none: a kernel, too, shows them and does not find them.
fn code_of_listed(error: ReadingError) -> Option<ExitCode> {
    match error {
        ReadingError::NoFile { .. } | ReadingError::NotFound { .. } => None,
        error => Some(error.exit_code()),
    }
}

/// There was no error, or one that says what is wrong with the disk.
#[track_caller]
fn assert_ends_well(code: Option<ExitCode>) {
    let expected = [None, Some(ExitCode::Integrity), Some(ExitCode::Unsupported)];
    assert!(expected.contains(&code), "{code:?}");
}

/// A file that becomes one disk after the other.
pub(crate) struct DiskFile(File);

impl DiskFile {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempfile().unwrap())
    }

    /// Checks a disk as the mounter does. What is accepted must be sound.
    pub(crate) fn check(
        &self,
        disk: &[u8],
        root_hash: &RootHash,
        options: Options,
    ) -> Result<Disk, MountError> {
        self.0.set_len(disk.len() as u64).unwrap();
        self.0.write_all_at(disk, 0).unwrap();
        TRIED.fetch_add(1, Ordering::Relaxed);
        let device = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let params = ParamsSource::Superblock {
            hash_offset: options.hash_offset,
            expected: ExpectedParams {
                data_blocks: options.data_blocks,
                ..ExpectedParams::default()
            },
        };
        let result = check(&MountRequest {
            params: params.clone(),
            fs_type: options.fs_type,
            partitions: options.partitions,
            wait: Duration::ZERO,
            ..MountRequest::new(*root_hash, &device, "")
        });
        if options.fs_type == FsType::Erofs {
            let request = ReadRequest {
                root_hash: *root_hash,
                device: device.into(),
                hash_device: None,
                partitions: options.partitions,
                params,
                fec: None,
            };
            self.read(&request, result.as_ref());
        }
        if let Ok(checked) = &result {
            let part = |file: &BackingFile| {
                let (start, bytes) = file.place().unwrap();
                &disk[start as usize..][..bytes as usize]
            };
            let hash = checked.separate_hash_file().map(part);
            assert_eq!(hash.is_some(), options.partitions.is_some());
            assert_sound(
                hash.map_or(disk, |_| part(checked.data_file())),
                hash,
                root_hash,
                options.fs_type,
                options.data_blocks,
                checked,
            );
        }
        result
    }

    /// Reads a disk as `ls`, `cat` and `extract` do: what the mounter refuses is refused in the same words, and
    /// what it accepts is read, or refused for what is on it.
    fn read(&self, request: &ReadRequest, mounted: Result<&Disk, &MountError>) {
        let files = match (request.open(), mounted) {
            (Ok(files), Ok(_)) => files,
            (Err(error), Ok(_)) => {
                let code = error.exit_code();
                let refused = matches!(code, ExitCode::Integrity | ExitCode::Unsupported);
                assert!(refused, "{}", ErrorChain(&error));
                return;
            }
            (Err(error), Err(MountError::Disk(also))) => {
                assert_eq!(ErrorChain(&error).to_string(), ErrorChain(also).to_string());
                return;
            }
            (Err(error), Err(MountError::Partition(also))) => {
                assert_eq!(ErrorChain(&error).to_string(), ErrorChain(also).to_string());
                return;
            }
            // Blocks that this machine's kernel cannot read.
            (_, Err(_)) => return,
        };
        // In memory, where there is a place for that: what is extracted is synced.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let request = ExtractRequest {
            destination: folder.path().join("out"),
            paths: Vec::new(),
            threads: NonZero::<usize>::MIN,
        };
        let top = DiskPath::new(b"/").unwrap();
        let listed = list(&files, &top, ListFormat::Long, std::io::sink());
        print_files(&files, &top, &mut MAX_ENTRIES.clone());
        let extracted = extract(&files, &request, &Progress::default());
        for code in [
            listed.map_err(|error| error.exit_code()).err(),
            extracted.map_err(|error| error.exit_code()).err(),
        ] {
            assert_ends_well(code);
        }
        let names = fs::read_dir(folder.path()).unwrap();
        assert!(
            names.count() <= 1,
            "something else than the directory was made"
        );
    }

    /// A disk that is refused for integrity, with one of these reasons.
    #[track_caller]
    pub(crate) fn refuses(
        &self,
        disk: &[u8],
        root_hash: &RootHash,
        options: Options,
        reasons: &[&str],
    ) {
        let (code, message) = match self.check(disk, root_hash, options) {
            Ok(checked) => panic!("accepted: {checked:?}, {options:?}"),
            Err(error) => (error.exit_code(), ErrorChain(&error).to_string()),
        };
        assert!(
            code == ExitCode::Integrity && reasons.iter().any(|reason| message.contains(reason)),
            "expected one of {reasons:?}: {code:?}: {message}, {options:?}"
        );
    }

    /// A disk that is as it should be.
    #[track_caller]
    pub(crate) fn accepts(&self, image: &DiskImage, options: Options) {
        let checked = self.check(&image.bytes, &image.root_hash, options).unwrap();
        assert_eq!(checked.params(), &image.params);
    }
}
