//! The mounter: the commands of `disk-mounter` and the ladder that they climb.
//!
//! The flow is find → check → activate → mount:
//!
//! - `device` finds a block device or an image file and opens it once,
//! - `disk` reads what it claims to be, and refuses what cannot be,
//! - `loop_device` and `device_mapper` make the kernel's devices, `node` their nodes,
//! - [`mount()`], [`sidecar()`], [`unmount()`], [`status()`] and [`inspect()`] are the commands,
//! - `watch` bounds how long a device may take to answer,
//! - `signals` and `uevent` are what the sidecar waits for, `prefetch` what it does meanwhile,
//! - [`cli`] is the command line, `log` what is said on standard error.
//!
//! Every byte of a disk is hostile until dm-verity, or a check in here, has passed it. Only the
//! command line is trusted.

pub mod cli;
mod device;
mod device_mapper;
mod disk;
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

pub use device::DeviceError;
pub use device_mapper::{BadName, MappingError, MappingName, VerityStatus};
pub use disk::{DiskError, ParamsSource};
pub use inspect::{Claims, inspect};
pub use loop_device::LoopError;
pub use mount::{MountError, MountRequest, Mounted, mount};
pub use mount_point::MountPointError;
pub use pause::Interrupted;
pub use sidecar::{SidecarError, sidecar};
pub use status::{Status, StatusError, status};
pub use unmount::{UnmountError, unmount};
