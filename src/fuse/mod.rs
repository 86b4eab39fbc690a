//! A disk mounted by FUSE: what dm-verity does in the kernel for other mounts is done here, in the
//! process that serves the disk.
//!
//! The steps are those of any mount, find → check → mount, and nothing ever goes from one kind of mount
//! to the other by itself. What is served is what [`ReadRequest`] opens: a disk of EROFS, each block of
//! which is verified when it is read, before the kernel gets it. The kernel keeps what it got.
//!
//! | module | holds |
//! |---|---|
//! | `daemon` | the process that serves a disk after `mount` has ended |
//! | `serve` | serves, watches, and unmounts at the end |
//! | `existing`, `found` | mounts that are there already, and what is done with them |
//! | `attach`, `fusermount` | how a disk comes to its mount point |
//! | `filesystem`, `inodes` | what the kernel asks, and the answers |
//! | `health`, `answer` | what was found corrupt, and who is told of it |

mod answer;
mod attach;
mod daemon;
mod error;
mod existing;
mod filesystem;
mod found;
mod fusermount;
mod health;
mod inodes;
mod serve;

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fuser::{Config, Session, SessionACL};
use model_disk::{ErrorChain, Escaped};

pub(crate) use answer::NoAnswer;
pub use daemon::mount_fuse;
pub use error::FuseError;
pub(crate) use found::FuseMount;

use crate::{
    MountError, ReadRequest, device, log,
    mount::patience_of,
    mount_point::MountPoint,
    pause::Deadline,
    reading::VerifiedFiles,
    sidecar::confine_server,
    signals::Signals,
    watchdog::{Steps, watched},
};
use attach::{attach, may_mount, owner};
use existing::ExistingFuse;
use filesystem::{DiskFilesystem, ServedDisk};
use health::Health;
use serve::{ServedPlace, Server};

/// The options that every mount has.
const MOUNT_OPTIONS: [&str; 4] = ["ro", "nodev", "nosuid", "noexec"];

/// What a mount by FUSE is asked for. All of it is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuseRequest {
    /// The disk.
    pub read: ReadRequest,
    /// The directory; it is made if it is missing.
    pub mount_point: PathBuf,
    /// How long the devices may take to appear, and then, but at least ten seconds, for each answer.
    pub wait: Duration,
    /// The mount point may be on a filesystem that another machine, or another process, answers for.
    pub allow_remote_mount_point: bool,
    /// How many threads read and verify.
    pub threads: NonZero<usize>,
    /// A server that cannot give up what it does not need goes on all the same.
    pub allow_unconfined: bool,
}

/// Mounts a disk by FUSE, serves it, and stays until SIGTERM or SIGINT, which unmount it. A disk that
/// turns corrupt is told at once, and stays mounted until then; the result is that error.
///
/// `tell` gets to know what went wrong as soon as that is known.
pub fn sidecar_fuse(request: &FuseRequest, tell: &dyn Fn(&FuseError)) -> Result<(), FuseError> {
    let signals = Signals::open().map_err(FuseError::process("wait for signals"));
    let signals = signals.inspect_err(tell)?;
    match begin(request, &signals) {
        Ok(Begun::Serving(server, place)) => {
            let path = Escaped::path(&place.mount_point);
            log::info(format_args!("ready: {path} is served and watched"));
            server.watch(&place, &signals, tell)
        }
        Ok(Begun::Existing(path)) => {
            let error = FuseError::from(MountError::InTheWay {
                mount_point: path,
                what: "the disk, served by another process,".to_owned(),
            });
            tell(&error);
            Err(error)
        }
        Err(error) if error.is_interrupted() => {
            log::info(format_args!("asked to end before anything was mounted"));
            Ok(())
        }
        Err(error) => {
            tell(&error);
            Err(error)
        }
    }
}

/// What has come of the steps.
enum Begun {
    /// The disk is mounted, and served by this process.
    Serving(Server, ServedPlace),
    /// It is mounted here already, and another process serves it.
    Existing(PathBuf),
}

/// Takes all steps, up to a disk that is served.
fn begin(request: &FuseRequest, signals: &Signals) -> Result<Begun, FuseError> {
    let asked_to_end = Cell::new(false);
    let found = find(request, &|| {
        // Without a way to read signals there is none to be asked: ending is the safe side.
        asked_to_end.set(signals.end_requested().unwrap_or(true));
        asked_to_end.get()
    })?;
    let (files, mount_point) = match found {
        FoundDisk::Existing(path) => return Ok(Begun::Existing(path)),
        FoundDisk::New(files, mount_point) => (*files, mount_point),
    };
    let (health, events) = Health::new().map_err(FuseError::process("make a pipe"))?;
    let disk = Arc::new(ServedDisk {
        files,
        health,
        server: format!("{:016x}", RandomState::new().hash_one(std::process::id())),
        owner: owner(),
    });
    let (device, attached) = attach(&mount_point)?;
    let mut config = Config::default();
    config.n_threads = Some(request.threads.get());
    let filesystem = DiskFilesystem(Arc::clone(&disk));
    // Who may read is for the kernel to say.
    let session = Session::from_fd(filesystem, device, SessionACL::All, config);
    let session = session.map_err(FuseError::Session)?;
    attached.widen_read_ahead();
    // What holds it removes files when it goes.
    let mount_point = mount_point.keep();
    // Before there is another thread. Without the capability, what unmounts at the end is a program of
    // root's, which this process has to be able to start.
    if may_mount()
        && let Err(error) = confine_server()
    {
        if !request.allow_unconfined {
            return Err(error.into());
        }
        log::warn(format_args!("{}", ErrorChain(&error)));
    }
    let server = Server::start(session, Arc::clone(&disk), events)?;
    let mount_id = confirm(&disk, attached.place())?;
    attached.keep();
    log::info(format_args!(
        "{} is mounted at {}: root hash {}, by FUSE",
        disk.files.shown_device(),
        Escaped::path(&mount_point),
        disk.files.root_hash(),
    ));
    let place = ServedPlace {
        mount_point,
        mount_id,
    };
    Ok(Begun::Serving(server, place))
}

/// Checks that whoever opens the path from now on gets this mount, and as it should be; its number.
fn confirm(disk: &ServedDisk, path: &Path) -> Result<u64, FuseError> {
    let not_shown = || MountError::NotShown(path.to_owned());
    let shown = FuseMount::at(path)?.ok_or_else(not_shown)?;
    match shown.ask() {
        Ok(answer) if answer.server == disk.server => {}
        _ => return Err(not_shown().into()),
    }
    let missing = shown.mount.missing_options(&MOUNT_OPTIONS);
    if !missing.is_empty() {
        return Err(MountError::Unexpected(format!("{missing} not set")).into());
    }
    Ok(shown.mount.id)
}

/// What was found before anything is mounted.
enum FoundDisk {
    New(Box<VerifiedFiles>, MountPoint),
    Existing(PathBuf),
}

/// Finds the disk and the directory, in a bounded time for each answer of a device.
fn find(request: &FuseRequest, asked_to_end: &dyn Fn() -> bool) -> Result<FoundDisk, FuseError> {
    let (patience, own) = (patience_of(request.wait), request.clone());
    let found = watched(patience, asked_to_end, move |steps| take_steps(&own, steps));
    found.unwrap_or_else(|stuck| {
        Err(MountError::of_stuck(stuck, &request.read.device, patience).into())
    })
}

fn take_steps(request: &FuseRequest, steps: &Steps) -> Result<FoundDisk, FuseError> {
    let pause = &|time| steps.pause(time);
    let deadline = Deadline::after(request.wait);
    steps.begin("reading its superblocks and the root block of its tree")?;
    let read = &request.read;
    let files = read.open_by(|path| Ok::<_, FuseError>(device::find(path, &deadline, pause)?))?;
    steps.begin("preparing the mount point")?;
    loop {
        let (path, remote) = (&request.mount_point, request.allow_remote_mount_point);
        let mount_point = MountPoint::prepare(path, remote, &deadline, pause)?;
        match existing::look(&files, &mount_point)? {
            ExistingFuse::None => return Ok(FoundDisk::New(Box::new(files), mount_point)),
            ExistingFuse::Same => return Ok(FoundDisk::Existing(mount_point.path().to_owned())),
            // What is below it is another directory, to be checked in its turn.
            ExistingFuse::Gone => {}
        }
    }
}
