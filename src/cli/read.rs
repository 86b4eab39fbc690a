//! The command lines of what reads a disk without mounting it.

use std::{
    num::{NonZero, NonZeroUsize},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
};

use clap::{Args, value_parser};
use model_disk::{ArgumentsError, units::Size};

use super::{MounterUsageError, disk::DiskOptions};
use crate::{DiskPath, ExtractRequest, ListFormat, ReadRequest};

/// More threads than this make nothing faster, and each takes more than two mebibytes. Who wants more
/// says so.
const MAX_DEFAULT_THREADS: usize = 16;

/// The options of everything that reads a disk.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// A block device or an image file
    device: PathBuf,
    #[command(flatten)]
    disk: DiskOptions,
}

impl ReadArgs {
    /// Checks the options against each other.
    fn check(self) -> Result<ReadRequest, ArgumentsError> {
        let partitions = self.disk.partitions();
        self.disk.check(self.device, partitions)
    }
}

/// How many threads read.
#[derive(Debug, Args)]
struct ThreadOptions {
    #[arg(long, value_name = "N", help = threads_help(), value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

fn threads_help() -> String {
    format!(
        "How many threads read and verify [default: one per processor, at most \
         {MAX_DEFAULT_THREADS}]"
    )
}

impl ThreadOptions {
    fn number(&self) -> NonZeroUsize {
        threads_or_default(self.threads)
    }
}

/// As many threads as were asked for, or as there are processors.
pub(super) fn threads_or_default(threads: Option<u16>) -> NonZeroUsize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.map_or(processors.min(MAX_DEFAULT_THREADS), usize::from);
    NonZero::new(threads).unwrap_or(NonZero::<usize>::MIN)
}

/// A path on a disk, checked.
fn disk_path(path: &Path) -> Result<DiskPath, MounterUsageError> {
    DiskPath::new(path.as_os_str().as_bytes()).map_err(|source| MounterUsageError::DiskPath {
        path: path.to_owned(),
        source,
    })
}

/// The options of `ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-mounter ls /dev/disk/by-id/virtio-weights -l --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c")]
pub struct ListArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// A directory or a file of the disk [default: all that is at its top]
    #[arg(default_value = "/", hide_default_value = true)]
    path: PathBuf,
    /// With the type and permissions, and the size in bytes
    #[arg(long, short)]
    long: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    /// How the list is printed.
    pub fn format(&self) -> ListFormat {
        match (self.json, self.long) {
            (true, _) => ListFormat::Json,
            (false, true) => ListFormat::Long,
            (false, false) => ListFormat::Names,
        }
    }

    /// Checks the options against each other: which disk, and which of its paths.
    pub fn check(self) -> Result<(ReadRequest, DiskPath), MounterUsageError> {
        let path = disk_path(&self.path)?;
        Ok((self.read.check()?, path))
    }
}

/// The options of `cat`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-mounter cat model.img config.json --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c

What comes out is verified. Where a block is corrupt, nothing from it on comes out, and the exit code
is 3: who reads from a pipe looks at that.")]
pub struct CatArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// The files of the disk, one after the other
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Where to start in the file, of which there is one then
    #[arg(long, value_name = "BYTES")]
    offset: Option<Size>,
    /// How many bytes of the file to print, of which there is one then [default: all]
    #[arg(long, value_name = "BYTES")]
    bytes: Option<Size>,
    #[command(flatten)]
    threads: ThreadOptions,
}

/// What `cat` is to print.
#[derive(Debug)]
pub struct CatRequest {
    /// Of which disk.
    pub read: ReadRequest,
    /// Which files.
    pub paths: Vec<DiskPath>,
    /// Where to start in each.
    pub offset: u64,
    /// How many bytes of each, if there are as many.
    pub bytes: u64,
    /// How many threads read.
    pub threads: NonZeroUsize,
}

impl CatArgs {
    /// Checks the options against each other.
    pub fn check(self) -> Result<CatRequest, MounterUsageError> {
        let is_part = self.offset.is_some() || self.bytes.is_some();
        if is_part && self.paths.len() > 1 {
            return Err(MounterUsageError::PartOfMany);
        }
        let paths = self.paths.iter().map(|path| disk_path(path));
        Ok(CatRequest {
            paths: paths.collect::<Result<_, _>>()?,
            read: self.read.check()?,
            offset: self.offset.map_or(0, |Size(bytes)| bytes),
            bytes: self.bytes.map_or(u64::MAX, |Size(bytes)| bytes),
            threads: self.threads.number(),
        })
    }
}

/// The options of `extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-mounter extract model.img ./model --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c

Each file has its name only when all of it has been verified. A run that did not come to its end is
continued by the next one. Nobody verifies the files after that: `disk-mounter check` compares them.")]
pub struct ExtractArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// The directory that the files come to: a new or empty one, or what an earlier run has left
    destination: PathBuf,
    /// Files and directories of the disk [default: all]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    work: WorkOptions,
}

/// The options of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disk-mounter check model.img ./model --root-hash \\
      50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c

Ends with 3 where anything is missing, is there besides, or differs.")]
pub struct CheckArgs {
    #[command(flatten)]
    read: ReadArgs,
    /// The directory
    directory: PathBuf,
    #[command(flatten)]
    work: WorkOptions,
}

/// How a long work is done, and what is told of it.
#[derive(Debug, Args)]
pub struct WorkOptions {
    #[command(flatten)]
    threads: ThreadOptions,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

impl ExtractArgs {
    /// Checks the options against each other: of which disk, and what.
    pub fn check(self) -> Result<(ReadRequest, ExtractRequest, WorkOptions), MounterUsageError> {
        let paths = self.paths.iter().map(|path| disk_path(path));
        let request = ExtractRequest {
            destination: self.destination,
            paths: paths.collect::<Result<_, _>>()?,
            threads: self.work.threads.number(),
        };
        Ok((self.read.check()?, request, self.work))
    }
}

/// What `check` is to compare.
#[derive(Debug)]
pub struct CheckRequest {
    /// Which disk.
    pub read: ReadRequest,
    /// With which directory.
    pub directory: PathBuf,
    /// By how many threads.
    pub threads: NonZeroUsize,
}

impl CheckArgs {
    /// Checks the options against each other.
    pub fn check(self) -> Result<(CheckRequest, WorkOptions), MounterUsageError> {
        let request = CheckRequest {
            read: self.read.check()?,
            directory: self.directory,
            threads: self.work.threads.number(),
        };
        Ok((request, self.work))
    }
}
