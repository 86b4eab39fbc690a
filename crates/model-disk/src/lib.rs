//! What is on a disk with model weights, for the program that makes such disks and for the one
//! that mounts them.
//!
//! [`Disk::check`] is the one judgement of a disk: from open files and arguments to a checked disk,
//! or to the reason why it is refused. Everything that decides whether a disk is acceptable goes
//! through it.
//!
//! What may call what, downwards only:
//!
//! | items | hold | do I/O |
//! |---|---|---|
//! | [`inspect()`], [`manifest`] | what a disk claims, and what is written beside it | yes |
//! | [`Disk`], [`UnjudgedDisk`], [`DiskArguments`] | the judgement, what comes before it where blocks are to be corrected, and what the arguments say | through the next |
//! | [`DiskFec`], [`FecArguments`] | the FEC area of a disk, and what the arguments say of it | through the next |
//! | [`BackingFile`], [`ReadAt`] | the file or block device that a disk is in, open | yes |
//! | [`FileStamp`] | whether a file is still what it was | yes |
//! | [`PartitionTable`], [`PartitionChoice`] | the partitions of a disk, and which of them hold data and tree | through [`ReadAt`] |
//! | [`superblocks`] | where superblocks are, and what they say | through [`ReadAt`] |
//! | [`Binding`], [`geometry_salt()`], [`appended_hash_offset()`], [`derived_uuid()`] | layout 1: what binds the geometry to the root hash, and where things are | no |
//! | [`filesystem`], [`erofs`] | the sizes that filesystems claim; EROFS read and laid out | no |
//! | [`FileList`], [`RelativePath`] | the files of a model | no |
//! | [`units`], [`VeritysetupFields`] | sizes as people write them, fields as `veritysetup` prints them | no |
//! | [`FileError`], [`ErrorChain`], [`ExitCode`], [`Escaped`] | how both programs tell what is wrong | no |
//! | [`AlignedBuffer`] | memory to write from past the page cache | no |
//! | [`Progress`], [`ProgressLine`] | how far the work is, and how both programs show it at a terminal | the second |

// No panic is reachable from input. What cannot happen says so, with its reason.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::disallowed_macros,
        clippy::disallowed_methods
    )
)]

mod aligned_buffer;
mod arguments;
mod backing_file;
mod binding;
mod disk;
pub mod erofs;
mod error;
mod escaped;
mod exit;
mod fec;
mod file_list;
mod file_stamp;
pub mod filesystem;
mod geometry_salt;
mod hash_offset;
mod inspect;
pub mod manifest;
mod partition_choice;
mod partition_table;
mod partition_types;
mod progress;
mod progress_line;
mod read_at;
mod relative_path;
pub mod superblocks;
pub mod units;
mod verity_uuid;
mod veritysetup;

pub use aligned_buffer::AlignedBuffer;
pub use arguments::{ArgumentsError, Contradiction, DiskArguments, ExpectedParams, ParamsSource};
pub use backing_file::{BackingFile, BackingFileError, BackingKind, device_number};
pub use binding::{Binding, BindingError};
pub use disk::{Disk, DiskError, UnjudgedDisk, filesystem_bytes};
pub use error::{ErrorChain, FileError, Interrupted};
pub use escaped::Escaped;
pub use exit::{ExitCode, HasExitCode};
pub use fec::{DiskFec, FecArguments, FecError, FecSource, proposed_block};
pub use file_list::{FileList, FileListError, ModelFile};
pub use file_stamp::FileStamp;
pub use geometry_salt::geometry_salt;
pub use hash_offset::{appended_hash_offset, hash_offset_candidates};
pub use inspect::{FilesystemReport, Inspection, SuperblockReport, inspect};
pub use partition_choice::{PartitionChoice, PartitionChoiceError, PartitionError};
pub use partition_table::{MAX_PARTITIONS, NoPartitionTable, Partition, PartitionTable};
pub use progress::Progress;
pub use progress_line::ProgressLine;
pub use read_at::ReadAt;
pub use relative_path::{PathError, RelativePath, WrittenPath};
pub use verity_uuid::derived_uuid;
pub use veritysetup::VeritysetupFields;
