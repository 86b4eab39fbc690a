//! Model weights on disks that nobody has to trust.
//!
//! The library behind the two programs of this project: `disk-mounter`, which
//! mounts a disk under the kernel's dm-verity, pinned by a root hash, and
//! `disk-builder`, which makes such disks.
//!
//! What lives where, and what may call what (downwards only):
//!
//! | module | holds | does I/O |
//! |---|---|---|
//! | `mounter` | the mounter's commands and the ladder that they climb | yes |
//! | [`sys`] | system calls, and every `unsafe` that is not a hash kernel | yes |
//! | [`claims`] | superblocks of a disk, found and read through a trait, and `inspect` | by the caller |
//! | [`filesystem`] | filesystem types, and the sizes that their superblocks claim | no |
//! | [`erofs`] | the on-disk structs of the EROFS filesystem | no |
//! | [`verity`] | dm-verity: parameters, superblock, tree layout, digests | no |
//! | [`escaped`] | paths as they can be shown | no |
//! | [`units`] | sizes as people write them | no |
//! | [`exit`] | exit codes, shared by both programs | no |
//!
//! `mounter` and most of `sys` need the feature `mount` (on by default).

pub mod claims;
pub mod erofs;
pub mod escaped;
pub mod exit;
pub mod filesystem;
#[cfg(feature = "mount")]
pub mod mounter;
pub mod sys;
pub mod units;
pub mod verity;
