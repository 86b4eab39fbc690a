//! What is on a disk with model weights, for the program that makes such disks and for the one
//! that mounts them.
//!
//! | module | holds | does I/O |
//! |---|---|---|
//! | [`superblocks`] | superblocks of a disk, found and shown: `inspect` | by the caller |
//! | [`manifest`] | what is written beside a disk about it | no |
//! | [`erofs`] | the EROFS filesystem: its structs, a reader, and the layout of an image | no |
//! | [`filesystem`] | filesystem types, and the sizes that their superblocks claim | no |
//! | [`units`] | sizes as people write them | no |
//!
//! At the top are the small types that everything above shares: [`ReadAt`], [`Binding`],
//! [`FileList`], [`Escaped`], [`ExitCode`].

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

mod arguments;
mod backing_file;
mod binding;
mod disk;
pub mod erofs;
mod error;
mod escaped;
mod exit;
mod file_list;
pub mod filesystem;
mod geometry_salt;
mod hash_offset;
mod inspect;
pub mod manifest;
mod read_at;
mod relative_path;
pub mod superblocks;
pub mod units;
mod verity_uuid;
mod veritysetup;

pub use arguments::{ArgumentsError, Contradiction, DiskArguments, ExpectedParams, ParamsSource};
pub use backing_file::{BackingFile, BackingFileError, BackingKind, device_number};
pub use binding::{Binding, BindingError};
pub use disk::{Disk, DiskError, filesystem_bytes};
pub use error::{ErrorChain, FileError, Interrupted};
pub use escaped::Escaped;
pub use exit::{ExitCode, HasExitCode};
pub use file_list::{FileList, FileListError, ModelFile};
pub use geometry_salt::geometry_salt;
pub use hash_offset::{appended_hash_offset, hash_offset_candidates};
pub use inspect::{FilesystemReport, Inspection, SuperblockReport, inspect};
pub use read_at::ReadAt;
pub use relative_path::{PathError, RelativePath, WrittenPath};
pub use verity_uuid::derived_uuid;
pub use veritysetup::VeritysetupFields;
