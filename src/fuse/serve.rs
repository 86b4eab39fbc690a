//! Serves a disk that is mounted, and watches it: until it is unmounted, or this program is asked to
//! end.

use std::{
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use fuser::Session;
use model_disk::{ErrorChain, Escaped, ReadAt as _, erofs};

use super::{
    FuseError,
    filesystem::{DiskFilesystem, ServedDisk},
    found::FuseMount,
    health::{HealthEvent, HealthEvents, ServedDamage},
};
use crate::{
    UnmountError,
    corrections::Corrections,
    log, mountinfo,
    signals::{Signals, wait_for},
    watchdog::run_with_timeout,
};

/// How often it is looked for signals at least.
const POLL: Duration = Duration::from_secs(1);

/// How long the files in a corrupt block are looked for, on a disk that may not answer any more.
const FILES: Duration = Duration::from_secs(5);

/// How long a mount that is in use is tried again, and how often.
const BUSY: Duration = Duration::from_secs(10);
const BUSY_POLL: Duration = Duration::from_millis(100);

/// A disk that is being served.
pub(super) struct Server {
    disk: Arc<ServedDisk>,
    events: HealthEvents,
    thread: JoinHandle<()>,
}

/// Where it was mounted.
pub(super) struct ServedPlace {
    pub(super) mount_point: PathBuf,
    pub(super) mount_id: u64,
}

impl Server {
    /// Starts the threads.
    pub(super) fn start(
        session: Session<DiskFilesystem>,
        disk: Arc<ServedDisk>,
        events: HealthEvents,
    ) -> Result<Self, FuseError> {
        let served = Arc::clone(&disk);
        let run = move || {
            // It ends when the disk is unmounted, whatever it says.
            let _ = session.run();
            served.health.end();
        };
        let thread = thread::Builder::new().spawn(run);
        let thread = thread.map_err(FuseError::process("start threads"))?;
        Ok(Self {
            disk,
            events,
            thread,
        })
    }

    /// Waits until the disk is unmounted, or this program is asked to end, and then unmounts it. What
    /// is wrong with the disk is told at once, and is the result.
    pub(super) fn watch(
        self,
        place: &ServedPlace,
        signals: &Signals,
        tell: &dyn Fn(&FuseError),
    ) -> Result<(), FuseError> {
        let mut corrupt = None;
        let corrections = Corrections::default();
        let tell_corrections = |is_last| {
            let corrected = self.disk.files.corrected();
            corrections.tell(&place.mount_point, corrected, is_last);
        };
        let was_asked = loop {
            let waited = wait_for(&[signals.as_fd(), self.events.as_fd()], POLL);
            waited.map_err(FuseError::process("wait for events"))?;
            tell_corrections(false);
            let asked = signals.end_requested();
            if asked.map_err(FuseError::process("read signals"))? {
                break true;
            }
            let event = self.events.next();
            match event.map_err(FuseError::process("wait for events"))? {
                None => {}
                Some(HealthEvent::Ended) => break false,
                Some(HealthEvent::Unread) => self.warn_unread(),
                Some(HealthEvent::Corrupt) => corrupt = self.corrupt(tell),
            }
        };
        tell_corrections(true);
        if was_asked {
            // What has come since, or while it was unmounted, counts.
            let taken_down = take_down(place, signals);
            if corrupt.is_none() {
                corrupt = self.corrupt(tell);
            }
            return match (corrupt, taken_down) {
                (None, taken_down) => taken_down.inspect_err(tell),
                (Some(corrupt), taken_down) => {
                    if let Err(error) = taken_down {
                        log::warn(format_args!("{}", ErrorChain(&error)));
                    }
                    Err(corrupt)
                }
            };
        }
        // Nothing waits for it any more.
        let _ = self.thread.join();
        corrupt.map_or_else(
            || {
                let gone = FuseError::Gone(place.mount_point.clone());
                tell(&gone);
                Err(gone)
            },
            Err,
        )
    }

    fn warn_unread(&self) {
        if let Some(what) = self.disk.health.unread() {
            log::warn(format_args!("{what}; reads of it fail"));
        }
    }

    /// Tells what was found corrupt, if anything was.
    fn corrupt(&self, tell: &dyn Fn(&FuseError)) -> Option<FuseError> {
        let damage = self.disk.health.corrupt()?;
        let files = match self.files(&damage) {
            Some(files) => format!("; it lies in {files}"),
            None => String::new(),
        };
        let error = FuseError::Corrupt {
            device: self.disk.files.shown_device(),
            what: format!("{}{files}", damage.what),
        };
        tell(&error);
        Some(error)
    }

    /// The files in a data block that is corrupt; None where the filesystem does not tell, or not in
    /// time, or is corrupt itself.
    fn files(&self, damage: &ServedDamage) -> Option<String> {
        let start = damage.data_offset?;
        let disk = Arc::clone(&self.disk);
        let size = disk
            .files
            .view()
            .image()
            .storage()
            .params()
            .data_block_size();
        let range = start..start.checked_add(size.bytes())?;
        let found = run_with_timeout(FILES, move || {
            let image = disk.files.view().image();
            let read = |buffer: &mut [u8], offset| {
                let read = image.read_exact_at(buffer, offset);
                read.map_err(io::Error::other)
            };
            erofs::paths_in(read, range).ok()
        })??;
        found.shown()
    }
}

/// Unmounts what was mounted, and nothing that has taken its place. A mount that is in use is tried
/// again for a while, and then detached: who uses it gets errors from then on, as nobody serves it.
fn take_down(place: &ServedPlace, signals: &Signals) -> Result<(), FuseError> {
    let path = Escaped::path(&place.mount_point);
    let mut tries = BUSY.as_millis() / BUSY_POLL.as_millis();
    loop {
        let found = FuseMount::at(&place.mount_point)?;
        let Some(found) = found.filter(|found| found.mount.id == place.mount_id) else {
            return match mountinfo::mount(place.mount_id) {
                Ok(Some(mount)) => Err(UnmountError::Covered(mount.mount_point).into()),
                // Somebody else was faster.
                _ => Ok(()),
            };
        };
        match found.unmount(tries == 0) {
            Ok(()) if tries == 0 => {
                log::warn(format_args!(
                    "{path} was in use and is detached; nobody serves it to those who use it"
                ));
                return Ok(());
            }
            Ok(()) => {
                log::info(format_args!("{path} is unmounted"));
                return Ok(());
            }
            Err(UnmountError::Busy { .. }) if tries > 0 => {
                // Whoever asks again wants it now.
                let asked_again = signals.pause(BUSY_POLL).is_err();
                tries = if asked_again { 0 } else { tries - 1 };
            }
            Err(error) => return Err(error.into()),
        }
    }
}
