//! The library behind `disk-mounter`, which mounts disks with model weights under the kernel's
//! dm-verity, pinned by a root hash.
//!
//! The flow is find → check → activate → mount. What may call what, downwards only:
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the command line, which becomes a request |
//! | [`sidecar()`] | mounts, watches and unmounts |
//! | [`mount()`], [`unmount()`], [`status()`] | the other commands; [`check()`] is what a mount does before the kernel has a part in it |
//! | `fuse` | a disk mounted by FUSE, and the process that serves it |
//! | `reading` | what reads a disk as any user, without the kernel: `ls`, `cat`, `extract`, `check` |
//! | `device`, `block_sizes` | find a block device or an image file and open it once; what this kernel cannot read |
//! | `loop_device`, `device_mapper`, `device_node` | the kernel's devices, and their nodes |
//! | `mount_point`, `min_free` | made or changed for a mount, and changed back |
//! | `lock` | one run at a time has each of them in hand |
//! | [`expect()`] | whether a path shows a verified disk, asked by anybody |
//! | `mountinfo`, `sysfs`, `uevent`, `signals`, `memory` | what the kernel says |
//! | `watchdog`, `pause` | how long a device may take to answer, and how anything waits |
//! | `prefetch`, `corrections` | what is done, and what is told, while a disk is served |
//! | `holders`, `held_devices` | who keeps a disk from being unmounted, and when it is free again |
//! | [`log`] | what is said on standard error, by all of them |
//! | `termination_log` | what the program leaves for Kubernetes when it fails (in the program alone) |
//! | `sys` | system calls that no crate wraps, and every `unsafe` |
//!
//! What a disk is, and whether it is accepted, is in the crate [`model_disk`]; the format of
//! dm-verity in [`dm_verity`]. Every byte of a disk is hostile until dm-verity, or a check of
//! these, has passed it. Only the command line is trusted.

// No panic is reachable from input. What cannot happen says so, with its reason.
#![deny(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unreachable
)]
#![cfg_attr(test, allow(clippy::disallowed_macros, clippy::disallowed_methods))]

mod block_sizes;
pub mod cli;
mod corrections;
mod device;
mod device_mapper;
mod device_node;
mod expect;
mod fuse;
#[doc(hidden)]
pub mod fuzzing;
mod held_devices;
mod holders;
mod lock;
pub mod log;
mod loop_device;
mod memory;
mod min_free;
mod mount;
mod mount_point;
mod mountinfo;
mod pause;
mod prefetch;
mod reading;
mod sidecar;
mod signals;
mod status;
mod sys;
mod sysfs;
mod uevent;
mod unmount;
mod watchdog;

pub use block_sizes::BlockSizeUnsupported;
pub use device::DeviceError;
pub use device_mapper::{BadName, MappingError, MappingName, VerityStatus};
pub use expect::{ExpectError, become_command, expect};
pub use fuse::{FuseError, FuseRequest, mount_fuse, sidecar_fuse};
pub use loop_device::LoopError;
pub use min_free::MinFreeError;
pub use mount::{MountError, MountRequest, Mounted, check, mount};
pub use mount_point::MountPointError;
pub use reading::{
    CheckReport, Difference, DiskPath, ExtractError, ExtractRequest, Extracted, FilesystemError,
    ListFormat, ReadRequest, ReadingError, RefusedEntry, VerifiedFiles, cat, check_directory,
    extract, list,
};
pub use sidecar::{ConfineError, SidecarError, sidecar};
pub use signals::end_when_asked;
pub use status::{Status, StatusError, status};
pub use unmount::{UnmountError, unmount};
