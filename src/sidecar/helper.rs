//! The helper: the sidecar's second process, which keeps what it takes to ask device-mapper and to
//! unmount, and does that for one disk and nothing else.
//!
//! It reads nothing that comes from the disk, and a request is one byte.

use std::{fs::File, os::unix::fs::OpenOptionsExt};

use model_disk::{ErrorChain, ExitCode, HasExitCode};

use super::{
    SidecarError,
    channel::{DiskState, Reply, Request},
};
use crate::{
    device_mapper::{DeviceMapper, VerityStatus},
    mount::Mounted,
    mount_point::ResolvedPath,
    mountinfo,
    unmount::{UnmountError, detach_own, unmount_own},
};

/// What can be done for the watcher, in whichever process.
pub(super) struct Helper<'a> {
    device_mapper: DeviceMapper,
    mounted: &'a Mounted,
    node: Option<File>,
}

impl<'a> Helper<'a> {
    /// Opens all that it needs.
    pub(super) fn new(mounted: &'a Mounted) -> Result<Self, SidecarError> {
        Ok(Self {
            device_mapper: DeviceMapper::open()?,
            mounted,
            node: node(mounted),
        })
    }

    /// Does what it is asked for.
    pub(super) fn answer(&self, request: Request) -> Reply {
        let Self {
            device_mapper,
            mounted,
            ..
        } = self;
        match request {
            Request::State => match self.state() {
                Ok((state, corrected)) => Reply::State(state, corrected),
                Err(error) => failed(&error),
            },
            Request::Open => Reply::Opened(self.open()),
            Request::Unmount => unmounted(unmount_own(device_mapper, mounted)),
            Request::Detach => unmounted(detach_own(device_mapper, mounted)),
        }
    }

    /// How the disk is, and how many of its blocks were corrected, where the kernel tells.
    fn state(&self) -> Result<(DiskState, Option<u64>), SidecarError> {
        let Self {
            device_mapper,
            mounted,
            ..
        } = self;
        let found = device_mapper.at(mounted.number)?;
        let found = found.filter(|found| mounted.is_of(found));
        let mount = mountinfo::mount(mounted.mount_id)
            .map_err(SidecarError::io("read /proc/self/mountinfo"))?;
        let (Some(found), Some(_)) = (found, mount.filter(|mount| mount.device == mounted.number))
        else {
            return Ok((DiskState::Gone, None));
        };
        let shown = ResolvedPath::look(&mounted.mount_point);
        if shown.ok().map(|shown| shown.identity().mount_id) != Some(mounted.mount_id) {
            return Ok((DiskState::Covered, None));
        }
        let state = match found.status {
            VerityStatus::Verified => DiskState::Verified,
            VerityStatus::Corrupt => DiskState::Corrupt,
        };
        Ok((state, found.fec_corrected))
    }

    /// The mapping, open for a moment: what is open, nobody can remove.
    fn open(&self) -> Option<File> {
        use std::os::fd::AsRawFd;
        File::open(format!("/proc/self/fd/{}", self.node.as_ref()?.as_raw_fd())).ok()
    }
}

/// The node of a mapping, from when nodes can still be made, not opened yet. None where there is none
/// to be had: then only the files in a corrupt block are not told.
fn node(mounted: &Mounted) -> Option<File> {
    let (node, _) = mounted.open_mapping().ok()??;
    let mut options = File::options();
    let options = options.read(true).custom_flags(libc::O_PATH);
    options.open(node.path()).ok()
}

fn unmounted(result: Result<String, UnmountError>) -> Reply {
    match result {
        Ok(said) => Reply::Done(said),
        Err(error @ UnmountError::Busy { .. }) => Reply::Busy(ErrorChain(&error).to_string()),
        // Somebody else was faster.
        Err(UnmountError::Status(error)) if error.exit_code() == ExitCode::NotFound => {
            Reply::NotMounted
        }
        Err(error) => failed(&error),
    }
}

/// An error as a reply.
pub(super) fn failed(error: &(impl HasExitCode + std::error::Error)) -> Reply {
    Reply::Failed(error.exit_code(), ErrorChain(error).to_string())
}
