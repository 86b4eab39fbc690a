//! The watcher: waits for the end, and for what may go wrong before it.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
    time::Duration,
};

use super::{
    SidecarError,
    channel::{DiskState, Reply, Request},
    split::Asked,
};
use crate::{
    corrections::Corrections,
    log,
    mount::{MountRequest, Mounted},
    signals::{Signals, wait_for},
    uevent::{CorruptBlock, Uevents},
    watchdog::run_with_timeout,
};
use model_disk::{ErrorChain, Escaped, erofs};

/// How long a corruption stays unknown at most, where the kernel's event is lost.
const POLL: Duration = Duration::from_secs(1);

/// How long the kernel's event may come after the status that it tells of.
const LATE_EVENT: Duration = Duration::from_millis(200);

/// How long the files in a corrupt block are looked for, on a disk that may not answer any more.
const FILES: Duration = Duration::from_secs(5);

/// What is watched, and whom it is told to.
pub(super) struct Watch<'a> {
    pub(super) request: &'a MountRequest,
    pub(super) mounted: &'a Mounted,
    pub(super) signals: &'a Signals,
    pub(super) uevents: Option<&'a Uevents>,
    pub(super) asked: &'a Asked<'a>,
    pub(super) corrections: &'a Corrections,
    pub(super) tell: &'a dyn Fn(&SidecarError),
}

/// Why there is nothing to watch any more.
pub(super) enum WatchEnd {
    /// The sidecar was asked to end.
    Asked {
        /// What is wrong with the disk; it has been told.
        error: Option<SidecarError>,
        /// Whether the disk is where it was mounted, as far as anybody can tell.
        in_place: bool,
    },
    /// It ends by itself, and leaves what is mounted. The error has been told.
    Alone(SidecarError),
}

impl Watch<'_> {
    /// Returns when the sidecar is asked to end, or has to. `error` is what is wrong with the disk
    /// already.
    pub(super) fn run(&self, error: Option<SidecarError>) -> WatchEnd {
        let mut error = error;
        loop {
            match self.step(error.is_some()) {
                Ok(Step::Asked) => return self.last_look(error),
                Ok(Step::Well) => {}
                Ok(Step::Corrupt(block)) => {
                    let corrupt = self.corrupt(block);
                    let path = Escaped::path(&self.mounted.mount_point);
                    log::warn(format_args!(
                        "{path} stays mounted until this sidecar is asked to end; reads of corrupt \
                         blocks fail"
                    ));
                    error = Some(corrupt);
                }
                Err(other) => {
                    // What is wrong with the disk comes first, and has been told.
                    let Some(error) = error else {
                        (self.tell)(&other);
                        return WatchEnd::Alone(other);
                    };
                    log::warn(format_args!("{}", ErrorChain(&other)));
                    return WatchEnd::Alone(error);
                }
            }
        }
    }

    /// What has come of the disk since it was looked at, when the sidecar is asked to end.
    pub(super) fn last_look(&self, error: Option<SidecarError>) -> WatchEnd {
        let (error, in_place) = match self.look(error.is_some(), true) {
            Ok(Step::Corrupt(block)) => (Some(self.corrupt(block)), true),
            Ok(_) => (error, true),
            Err(_) => (error, false),
        };
        WatchEnd::Asked { error, in_place }
    }

    /// Waits for the next that happens, but not for long. What is corrupt is not looked for where it
    /// `is_known`.
    fn step(&self, is_known: bool) -> Result<Step, SidecarError> {
        let mut sources = vec![self.signals.as_fd()];
        let uevents = self.uevents.filter(|_| !is_known);
        sources.extend(uevents.map(AsFd::as_fd));
        wait_for(&sources, POLL).map_err(SidecarError::io("wait for events"))?;
        let asked = self.signals.end_requested();
        if asked.map_err(SidecarError::io("read signals"))? {
            return Ok(Step::Asked);
        }
        self.look(is_known, false)
    }

    /// How the disk is; for the last time or not.
    fn look(&self, is_known: bool, is_last: bool) -> Result<Step, SidecarError> {
        let uevents = self.uevents.filter(|_| !is_known);
        if let Some(uevents) = uevents
            && let Some(block) = self.event(uevents)?
        {
            return Ok(Step::Corrupt(Some(block)));
        }
        let path = || self.mounted.mount_point.clone();
        let (state, corrected) = match self.asked.ask(Request::State)? {
            Reply::State(state, corrected) => (state, corrected),
            other => return Err(SidecarError::unexpected(other)),
        };
        let mount_point = &self.mounted.mount_point;
        self.corrections.tell(mount_point, corrected, is_last);
        match state {
            DiskState::Verified => Ok(Step::Well),
            DiskState::Corrupt if is_known => Ok(Step::Well),
            DiskState::Corrupt => {
                let Some(uevents) = uevents else {
                    return Ok(Step::Corrupt(None));
                };
                // The event follows the status at once.
                let waited = wait_for(&[uevents.as_fd()], LATE_EVENT);
                waited.map_err(SidecarError::io("wait for events"))?;
                Ok(Step::Corrupt(self.event(uevents)?))
            }
            DiskState::Covered => Err(SidecarError::Covered(path())),
            DiskState::Gone => Err(SidecarError::Gone(path())),
        }
    }

    fn event(&self, uevents: &Uevents) -> Result<Option<CorruptBlock>, SidecarError> {
        let block = uevents.corrupt_block(self.mounted.number);
        block.map_err(SidecarError::io("read the kernel's events"))
    }

    /// Tells a corruption.
    fn corrupt(&self, block: Option<CorruptBlock>) -> SidecarError {
        let error = self.corruption(block);
        (self.tell)(&error);
        error
    }

    /// The corruption in words, with the files that the block lies in where the filesystem tells.
    fn corruption(&self, block: Option<CorruptBlock>) -> SidecarError {
        let name = &self.mounted.name;
        let what = match block {
            None => return SidecarError::corrupt(self.request, self.mounted),
            Some(CorruptBlock::Hash(block)) => {
                format!("hash block {block} of {name} is not what the root hash says")
            }
            Some(CorruptBlock::Data(block)) => {
                let files = match self.files(block) {
                    Some(files) => format!("; it lies in {files}"),
                    None => String::new(),
                };
                format!("data block {block} of {name} is not what the root hash says{files}")
            }
        };
        SidecarError::Corrupt {
            device: self.request.device.clone(),
            what,
        }
    }

    /// The files in a data block; None where the filesystem does not tell, or not in time, or is
    /// corrupt itself.
    fn files(&self, block: u64) -> Option<String> {
        let Ok(Reply::Opened(Some(device))) = self.asked.ask(Request::Open) else {
            return None;
        };
        let size = self.mounted.data_block_size.bytes();
        let start = block.checked_mul(size)?;
        let range = start..start.checked_add(size)?;
        let found = run_with_timeout(FILES, move || {
            let read = |buffer: &mut [u8], offset| File::read_exact_at(&device, buffer, offset);
            erofs::paths_in(read, range).ok()
        })??;
        found.shown()
    }
}

/// What has happened.
enum Step {
    /// Nothing.
    Well,
    /// A signal came.
    Asked,
    /// A block was found corrupt; which one, where that is known.
    Corrupt(Option<CorruptBlock>),
}
