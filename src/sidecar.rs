//! `sidecar`: mounts a disk, watches it, and unmounts it in the end.

use std::{
    cell::Cell,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{
    confine::{ConfineError, confine},
    device_mapper::{DeviceMapper, MappingError, VerityStatus},
    log,
    mount::{MountError, MountRequest, Mounted, mount_watched},
    mount_point::ResolvedPath,
    mountinfo,
    prefetch::Prefetch,
    signals::{Signals, wait_for},
    uevent::{CorruptBlock, Uevents},
    unmount::{UnmountError, detach_own, unmount_own},
    watchdog::run_with_timeout,
};
use model_disk::{ErrorChain, Escaped, ExitCode, HasExitCode, erofs};

/// How long a corruption stays unknown at most, where the kernel's event is lost.
const POLL: Duration = Duration::from_secs(1);

/// How long the kernel's event may come after the status that it tells of.
const LATE_EVENT: Duration = Duration::from_millis(200);

/// How long the files in a corrupt block are looked for, on a disk that may not answer any more.
const FILES: Duration = Duration::from_secs(5);

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
        "{}: another mount covers the disk, or another directory has taken its place",
        Escaped::path(.0)
    )]
    Covered(PathBuf),
    /// It would keep rights that it does not need.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// Device-mapper does not tell the disk's state.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The disk cannot be unmounted.
    #[error(transparent)]
    Unmount(#[from] UnmountError),
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
            Self::Unmount(error) => error.exit_code(),
            Self::Io { source, .. } => source.exit_code(),
        }
    }
}

impl SidecarError {
    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// Mounts a disk and stays until SIGTERM or SIGINT, or until the disk is corrupt or unmounted by
/// somebody else. Whatever ends it, the disk is unmounted, and nothing else that is mounted there.
/// `tell` gets to know what went wrong before that is done, as it can take a while.
pub fn sidecar(request: &MountRequest, tell: &dyn Fn(&SidecarError)) -> Result<(), SidecarError> {
    let result = run(request, tell);
    if let Err((error, Told::No)) = &result {
        tell(error);
    }
    result.map_err(|(error, _)| error)
}

/// Whether an error has been told.
enum Told {
    Yes,
    No,
}

fn run(request: &MountRequest, tell: &dyn Fn(&SidecarError)) -> Result<(), (SidecarError, Told)> {
    let untold = |error| (error, Told::No);
    let signals = Signals::open()
        .map_err(SidecarError::io("wait for signals"))
        .map_err(untold)?;
    // Before the mount, so that no event is missed.
    let uevents = Uevents::open()
        .inspect_err(|error| {
            log::warn(format_args!(
                "no events from the kernel, only its status: {error}"
            ));
        })
        .ok();
    let asked_to_end = Cell::new(false);
    let mounted = match mount_watched(request, &|| {
        // Without a way to read signals there is none to be asked: ending is the safe side.
        asked_to_end.set(signals.end_requested().unwrap_or(true));
        asked_to_end.get()
    }) {
        Err(error) if error.is_interrupted() => {
            log::info(format_args!("asked to end before anything was mounted"));
            return Ok(());
        }
        // A sidecar that was killed may have left it: nobody else would unmount it.
        Err(MountError::FoundCorrupt(mounted)) => {
            let error = corrupt(request, None, &mounted, None);
            tell(&error);
            let device_mapper = DeviceMapper::open().map_err(|error| untold(error.into()))?;
            return finish(Err(error), &mounted, &signals, &device_mapper);
        }
        mounted => mounted.map_err(|error| untold(error.into()))?,
    };
    // What is needed later is opened now: afterwards nothing can be opened but to be read.
    let device_mapper = DeviceMapper::open().map_err(|error| untold(error.into()))?;
    let device = MappingNode::open(&mounted);
    // Before any other thread is started, which would keep its rights.
    if let Err(error) = confine() {
        if !request.allow_unconfined {
            let error = error.into();
            tell(&error);
            return finish(Err(error), &mounted, &signals, &device_mapper);
        }
        log::warn(format_args!("{}", ErrorChain(&error)));
    }
    let prefetch =
        (request.prefetch && !asked_to_end.get()).then(|| Prefetch::start(&mounted.mount_point));
    log::info(format_args!(
        "ready: {} is served and watched",
        Escaped::path(&mounted.mount_point)
    ));

    let end = if asked_to_end.get() {
        Ok(())
    } else {
        let uevents = uevents.as_ref();
        watch(
            request,
            &mounted,
            &signals,
            uevents,
            &device_mapper,
            device.as_ref(),
        )
    };
    if let Err(error) = &end {
        tell(error);
    }
    // Its open files would keep the mount busy.
    drop(prefetch);
    finish(end, &mounted, &signals, &device_mapper)
}

/// Unmounts at the end, of which an error has been told.
fn finish(
    end: Result<(), SidecarError>,
    mounted: &Mounted,
    signals: &Signals,
    device_mapper: &DeviceMapper,
) -> Result<(), (SidecarError, Told)> {
    match (end, take_down(mounted, signals, device_mapper)) {
        (Ok(()), taken_down) => taken_down.map_err(|error| (error, Told::No)),
        (Err(error), taken_down) => {
            if let Err(error) = taken_down {
                log::warn(format_args!("{}", ErrorChain(&error)));
            }
            Err((error, Told::Yes))
        }
    }
}

/// Returns when the sidecar is asked to end, or has to.
#[expect(
    clippy::indexing_slicing,
    reason = "the signals are always the first source"
)]
fn watch(
    request: &MountRequest,
    mounted: &Mounted,
    signals: &Signals,
    uevents: Option<&Uevents>,
    device_mapper: &DeviceMapper,
    device: Option<&MappingNode>,
) -> Result<(), SidecarError> {
    let event = || match uevents {
        Some(uevents) => uevents
            .corrupt_block(mounted.number)
            .map_err(SidecarError::io("read the kernel's events")),
        None => Ok(None),
    };
    let mut sources = vec![signals.as_fd()];
    sources.extend(uevents.map(AsFd::as_fd));
    loop {
        wait_for(&sources, POLL).map_err(SidecarError::io("wait for events"))?;
        if signals
            .end_requested()
            .map_err(SidecarError::io("read signals"))?
        {
            return Ok(());
        }
        if let Some(block) = event()? {
            return Err(corrupt(request, Some(block), mounted, device));
        }
        let status = device_mapper
            .describe(&mounted.name)?
            .filter(|found| mounted.is_of(found))
            .map(|found| found.status);
        if status == Some(VerityStatus::Corrupt) {
            // The event follows the status at once.
            wait_for(&sources[1..], LATE_EVENT).map_err(SidecarError::io("wait for events"))?;
            return Err(corrupt(request, event()?, mounted, device));
        }
        let path = &mounted.mount_point;
        if status.is_none() || !is_there(mounted)? {
            return Err(SidecarError::Gone(path.clone()));
        }
        let shown = ResolvedPath::look(path).map(|shown| shown.identity().mount_id);
        if shown.as_ref().ok() != Some(&mounted.mount_id) {
            return Err(SidecarError::Covered(path.clone()));
        }
    }
}

/// Whether the mount is there, wherever its directory may have gone.
fn is_there(mounted: &Mounted) -> Result<bool, SidecarError> {
    let mount = mountinfo::mount(mounted.mount_id);
    let mount = mount.map_err(SidecarError::io("read /proc/self/mountinfo"))?;
    Ok(mount.is_some_and(|mount| mount.device == mounted.number))
}

/// The node of a mapping, from when nodes could still be made. It does not keep the device open, which
/// nobody could remove then.
struct MappingNode(Arc<File>);

impl MappingNode {
    /// None where there is none to be had: then only the files in a corrupt block are not told.
    fn open(mounted: &Mounted) -> Option<Self> {
        let (node, _) = mounted.open_mapping().ok()??;
        let mut options = File::options();
        let opened = options
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(node.path());
        Some(Self(Arc::new(opened.ok()?)))
    }

    /// Its device.
    fn device(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

/// `device` is that of the mapping, to look for the files in the block.
fn corrupt(
    request: &MountRequest,
    block: Option<CorruptBlock>,
    mounted: &Mounted,
    device: Option<&MappingNode>,
) -> SidecarError {
    SidecarError::Corrupt {
        device: request.device.clone(),
        what: describe(block, mounted, device),
    }
}

/// The corrupt block in words, with the files that it lies in where the filesystem tells.
fn describe(
    block: Option<CorruptBlock>,
    mounted: &Mounted,
    device: Option<&MappingNode>,
) -> String {
    let name = &mounted.name;
    match block {
        None => format!("dm-verity says so of {name}, without naming a block"),
        Some(CorruptBlock::Hash(block)) => {
            format!("hash block {block} of {name} is not what the root hash says")
        }
        Some(CorruptBlock::Data(block)) => {
            let node = device.map(|node| MappingNode(Arc::clone(&node.0)));
            let size = mounted.data_block_size.bytes();
            // To open the device may take for ever, too.
            let files =
                run_with_timeout(FILES, move || files_of(block, size, &node?.device().ok()?));
            let files = match files.flatten() {
                Some(files) if !files.is_empty() => format!("; it lies in {}", files.join(", ")),
                Some(_) => "; it lies in no file".to_owned(),
                None => String::new(),
            };
            format!("data block {block} of {name} is not what the root hash says{files}")
        }
    }
}

/// The files in a data block; None where the filesystem does not tell, or is corrupt itself.
fn files_of(block: u64, size: u64, device: &File) -> Option<Vec<String>> {
    let start = block.checked_mul(size)?;
    let read = |buffer: &mut [u8], offset| File::read_exact_at(device, buffer, offset);
    let paths = erofs::paths_in(read, start..start.checked_add(size)?).ok()?;
    let shown = |path: Vec<u8>| Escaped::bytes(&path).to_string();
    Some(paths.into_iter().map(shown).collect())
}

/// Unmounts what was mounted, and nothing that has taken its place. A mount that is in use is tried
/// again for a while, and then detached: it is gone for all who come, and goes for those who use it
/// when they are done.
fn take_down(
    mounted: &Mounted,
    signals: &Signals,
    device_mapper: &DeviceMapper,
) -> Result<(), SidecarError> {
    // Somebody else may be faster.
    let gone = |result| match result {
        Err(UnmountError::Status(error)) if error.exit_code() == ExitCode::NotFound => Ok(()),
        result => result,
    };
    let tries = BUSY.as_millis() / BUSY_POLL.as_millis();
    for _ in 0..tries {
        match gone(unmount_own(device_mapper, mounted)) {
            Err(UnmountError::Busy(_)) => {}
            result => return Ok(result?),
        }
        // Whoever asks again wants it now.
        if signals.pause(BUSY_POLL).is_err() {
            break;
        }
    }
    Ok(gone(detach_own(device_mapper, mounted))?)
}
