//! The mounter: the commands of `disk-mounter` and the ladder that they climb.
//!
//! The flow is find → check → activate → mount. What may call what, downwards only:
//!
//! - [`cli`] is the command line, which becomes a request,
//! - [`sidecar()`] mounts, watches and unmounts,
//! - [`mount()`], [`unmount()`], [`status()`] and [`inspect()`] are the other commands, [`check()`]
//!   is what a mount does before the kernel has a part in it,
//! - `disk` reads what a device claims to be, and refuses what cannot be,
//! - `device` finds a block device or an image file and opens it once,
//! - `loop_device` and `device_mapper` make the kernel's devices, `node` their nodes,
//! - `mount_point` and `min_free` are made or changed for a mount, and changed back,
//! - `mountinfo`, `uevent`, `signals` and `memory` read what the kernel says,
//! - `watch` bounds how long a device may take to answer, `pause` is how anything waits,
//! - `prefetch` is what is done while a disk is served, `confine` what the sidecar gives up,
//! - [`log`] is what is said on standard error, by all of them.
//!
//! Every byte of a disk is hostile until dm-verity, or a check in here, has passed it. Only the
//! command line is trusted.

mod check;
pub mod cli;
mod confine;
mod device;
mod device_mapper;
mod disk;
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
pub mod log;
mod loop_device;
mod memory;
mod min_free;
mod mount;
mod mount_point;
mod mountinfo;
mod node;
mod pause;
mod prefetch;
mod sidecar;
mod signals;
mod status;
mod uevent;
mod unmount;
mod watch;

pub use check::{Checked, check};
pub use device::DeviceError;
pub use device_mapper::{BadName, MappingError, MappingName, VerityStatus};
pub use disk::{DiskError, ParamsSource};
pub use inspect::inspect;
pub use loop_device::LoopError;
pub use mount::{MountError, MountRequest, Mounted, mount};
pub use mount_point::MountPointError;
pub use pause::Interrupted;
pub use sidecar::{SidecarError, sidecar};
pub use status::{Status, StatusError, status};
pub use unmount::{UnmountError, unmount};
