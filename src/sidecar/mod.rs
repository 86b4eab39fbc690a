//! `sidecar`: mounts a disk, watches it, and unmounts it when it is asked to end.
//!
//! What was mounted stays until then, whatever becomes of it: no read succeeds with anything that was
//! not verified, and what is below the mount point is not uncovered while a workload may look. Once the
//! disk is mounted, the sidecar is two processes: a helper with the one capability that it takes to
//! unmount, and this one, which does the rest as nobody.

mod channel;
mod confine;
mod helper;
mod split;
mod watch;

use std::{cell::Cell, io, path::PathBuf, time::Duration};

use crate::{
    corrections::Corrections,
    device_mapper::MappingError,
    log,
    mount::{MountError, MountRequest, Mounted, left_behind, mount_watched},
    prefetch::Prefetch,
    signals::Signals,
    uevent::Uevents,
};
use channel::{Reply, Request};
pub use confine::ConfineError;
pub(crate) use confine::confine_server;
use helper::Helper;
use model_disk::{ErrorChain, Escaped, ExitCode, HasExitCode};
use split::{Asked, split};
use watch::{Watch, WatchEnd};

/// How long a mount that is in use is tried again, and how often.
const BUSY: Duration = Duration::from_secs(10);
const BUSY_POLL: Duration = Duration::from_millis(100);

/// Why a sidecar ends before it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The disk cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The disk turned corrupt.
    #[error("{} is corrupt: {what}", Escaped::path(device))]
    Corrupt {
        /// The data device.
        device: PathBuf,
        /// The block and the files.
        what: String,
    },
    /// Somebody else has unmounted the disk.
    #[error("{}: not mounted any more; somebody else has unmounted it", Escaped::path(.0))]
    Gone(PathBuf),
    /// The path leads to something else.
    #[error(
        "{}: another mount covers the disk, or another directory has taken its place; the disk stays \
         mounted below it",
        Escaped::path(.0)
    )]
    Covered(PathBuf),
    /// It would keep rights that it does not need.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// Device-mapper does not tell the disk's state.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The helper could not do something.
    #[error("{message}")]
    Helper {
        /// With which code it would end.
        code: ExitCode,
        /// The error, with its causes.
        message: String,
    },
    /// The helper has ended.
    #[error("the sidecar's helper process has ended; {} stays mounted", Escaped::path(.0))]
    HelperEnded(PathBuf),
    /// A system call failed.
    #[error("cannot {action}")]
    Io {
        /// What was done.
        action: &'static str,
        /// With its errno.
        source: io::Error,
    },
}

impl HasExitCode for SidecarError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Mount(error) => error.exit_code(),
            Self::Corrupt { .. } => ExitCode::Integrity,
            Self::Gone(_) | Self::Covered(_) => ExitCode::NotFound,
            Self::Confine(error) => error.exit_code(),
            Self::Mapping(error) => error.exit_code(),
            Self::Helper { code, .. } => *code,
            Self::HelperEnded(_) => ExitCode::Failure,
            Self::Io { source, .. } => source.exit_code(),
        }
    }
}

impl SidecarError {
    /// Of a disk of which dm-verity says no more.
    fn corrupt(request: &MountRequest, mounted: &Mounted) -> Self {
        Self::Corrupt {
            device: request.device.clone(),
            what: format!(
                "dm-verity says so of {}, without naming a block",
                mounted.name
            ),
        }
    }

    /// The helper answers something else than it was asked.
    fn unexpected(reply: Reply) -> Self {
        match reply {
            Reply::Failed(code, message) => Self::Helper { code, message },
            _ => Self::io("understand the helper process")(io::ErrorKind::InvalidData.into()),
        }
    }

    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// Mounts a disk and stays until SIGTERM or SIGINT, which unmount it, and nothing else that is mounted
/// there, or leave it for the next where that is asked for. A disk that turns corrupt is told at once,
/// and stays mounted until then; the result is that error. A disk that somebody else unmounts, or
/// covers with another mount, ends the sidecar.
///
/// A mount of this disk that an earlier run has left is taken over, also where the disk cannot be
/// mounted any more: nobody else would unmount it.
///
/// `tell` gets to know what went wrong as soon as that is known.
pub fn sidecar(request: &MountRequest, tell: &dyn Fn(&SidecarError)) -> Result<(), SidecarError> {
    let signals = Signals::open().map_err(SidecarError::io("wait for signals"));
    let signals = signals.inspect_err(tell)?;
    // Before the mount, so that no event is missed.
    let uevents = Uevents::open()
        .inspect_err(|error| {
            log::warn(format_args!(
                "no events from the kernel, only its status: {error}"
            ));
        })
        .ok();
    let asked_to_end = Cell::new(false);
    let begun = mount_watched(request, &|| {
        // Without a way to read signals there is none to be asked: ending is the safe side.
        asked_to_end.set(signals.end_requested().unwrap_or(true));
        asked_to_end.get()
    });
    let (mounted, error) = match begun {
        Ok(mounted) => (mounted, None),
        Err(error) if error.is_interrupted() => match left_behind(request) {
            Some(mounted) => (mounted, None),
            None => {
                log::info(format_args!("asked to end before anything was mounted"));
                return Ok(());
            }
        },
        Err(error) => {
            let (mounted, error) = match error {
                MountError::FoundCorrupt(mounted) => {
                    let error = SidecarError::corrupt(request, &mounted);
                    (Some(*mounted), error)
                }
                // Otherwise what is mounted there has been looked at.
                error if error.is_of_the_disk() => (left_behind(request), error.into()),
                error => (None, error.into()),
            };
            tell(&error);
            match mounted {
                Some(mounted) => (mounted, Some(error)),
                None => return Err(error),
            }
        }
    };
    let here = Helper::new(&mounted).inspect_err(tell)?;
    let corrections = Corrections::default();
    let watch_by = |asked| Watch {
        request,
        mounted: &mounted,
        signals: &signals,
        uevents: uevents.as_ref(),
        asked,
        corrections: &corrections,
        tell,
    };
    if asked_to_end.get() {
        let asked = Asked::Here(here);
        return end(&watch_by(&asked), watch_by(&asked).last_look(error));
    }
    // A directory that only root gets to is opened before.
    let root = request.prefetch.then(|| mounted.open_root());
    let (asked, unconfined) = split(here, &mounted);
    match unconfined {
        Some(unconfined) if !request.allow_unconfined => {
            tell(&unconfined);
            return finish(Some(unconfined), &asked, &signals, tell);
        }
        Some(unconfined) => log::warn(format_args!("{}", ErrorChain(&unconfined))),
        None => {}
    }
    // Its open files would keep the mount busy.
    let prefetch = match root {
        Some(Ok(root)) if error.is_none() => Some(Prefetch::start(root)),
        Some(Err(error)) => {
            log::warn(format_args!("prefetch: {}", ErrorChain(&error)));
            None
        }
        _ => None,
    };
    let path = Escaped::path(&mounted.mount_point);
    match &error {
        None => log::info(format_args!("ready: {path} is served and watched")),
        Some(_) => log::warn(format_args!(
            "{path} was mounted by an earlier run, and stays until this one is asked to end"
        )),
    }
    let watch = watch_by(&asked);
    let ended = watch.run(error);
    drop(prefetch);
    end(&watch, ended)
}

/// What the end comes to: a disk that is where it was mounted is left where that is asked for, and any
/// other is unmounted. A corrupt one is left too: what can be read of it is verified, nothing else comes
/// into its place, and the next sidecar finds it corrupt as long as it is there.
fn end(watch: &Watch<'_>, ended: WatchEnd) -> Result<(), SidecarError> {
    match ended {
        WatchEnd::Asked { error, in_place } if in_place && watch.request.leave_mounted => {
            let path = Escaped::path(&watch.mounted.mount_point);
            log::info(format_args!("{path} stays mounted (--leave-mounted)"));
            error.map_or(Ok(()), Err)
        }
        WatchEnd::Asked { error, .. } => finish(error, watch.asked, watch.signals, watch.tell),
        WatchEnd::Alone(error) => Err(error),
    }
}

/// Unmounts at the end, which has an error or none that has been told.
fn finish(
    error: Option<SidecarError>,
    asked: &Asked<'_>,
    signals: &Signals,
    tell: &dyn Fn(&SidecarError),
) -> Result<(), SidecarError> {
    match (error, take_down(asked, signals)) {
        (None, taken_down) => taken_down.inspect_err(tell),
        (Some(error), taken_down) => {
            if let Err(error) = taken_down {
                log::warn(format_args!("{}", ErrorChain(&error)));
            }
            Err(error)
        }
    }
}

/// Unmounts what was mounted, and nothing that has taken its place. A mount that is in use is tried
/// again for a while, and then detached: it is gone for all who come, and goes for those who use it
/// when they are done.
fn take_down(asked: &Asked<'_>, signals: &Signals) -> Result<(), SidecarError> {
    let tries = BUSY.as_millis() / BUSY_POLL.as_millis();
    for _ in 0..tries {
        match asked.ask(Request::Unmount)? {
            Reply::Busy(_) => {}
            reply => return told(reply, false),
        }
        // Whoever asks again wants it now.
        if signals.pause(BUSY_POLL).is_err() {
            break;
        }
    }
    told(asked.ask(Request::Detach)?, true)
}

/// Says what was done; somebody else may have been faster.
fn told(reply: Reply, is_warning: bool) -> Result<(), SidecarError> {
    match reply {
        Reply::Done(said) if is_warning => log::warn(format_args!("{said}")),
        Reply::Done(said) => log::info(format_args!("{said}")),
        Reply::NotMounted => {}
        Reply::Busy(message) => {
            let code = ExitCode::InTheWay;
            return Err(SidecarError::Helper { code, message });
        }
        other => return Err(SidecarError::unexpected(other)),
    }
    Ok(())
}
