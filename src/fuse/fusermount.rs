//! fusermount3(1), which belongs to root and mounts and unmounts for those who may not: only what they
//! serve themselves, and only onto directories of theirs.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{FuseError, attach::NAME};

const PROGRAM: &str = "fusermount3";

/// Why it has not unmounted.
#[derive(Debug)]
pub(super) enum UnmountFailure {
    /// Somebody has a file open there.
    Busy,
    /// Anything else.
    Other(FuseError),
}

/// Mounts onto a directory, and gives the kernel's end of the mount.
pub(super) fn mount(directory: &Path) -> Result<OwnedFd, FuseError> {
    let failed = || FuseError::process("talk to fusermount3");
    let (own, its) = UnixStream::pair().map_err(failed())?;
    let options =
        format!("ro,nodev,nosuid,noexec,default_permissions,fsname={NAME},subtype={NAME}");
    let mut command = Command::new(PROGRAM);
    let command = command.args(["-o", &options, "--"]).arg(directory);
    // Where it sends the descriptor to: the socket is its standard input.
    command.env("_FUSE_COMMFD", "0").stdin(OwnedFd::from(its));
    run(command)?;
    received(&own).map_err(failed())
}

/// Unmounts, `lazily` also what is in use.
pub(super) fn unmount(directory: &Path, lazily: bool) -> Result<(), UnmountFailure> {
    let mut command = Command::new(PROGRAM);
    command.arg("-u");
    if lazily {
        command.arg("-z");
    }
    command.arg("--").arg(directory).stdin(Stdio::null());
    match run(&mut command) {
        Err(FuseError::Fusermount(said)) if said.contains("busy") => Err(UnmountFailure::Busy),
        other => other.map_err(UnmountFailure::Other),
    }
}

fn run(command: &mut Command) -> Result<(), FuseError> {
    let output = command.env("LC_ALL", "C").output();
    let output = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FuseError::NoFusermount(error),
        _ => FuseError::process("run fusermount3")(error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = model_disk::Escaped::bytes(said.trim().as_bytes()).to_string();
    Err(FuseError::Fusermount(said))
}

/// The descriptor that was sent.
fn received(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut parts, &mut attached, RecvFlags::CMSG_CLOEXEC)?;
    let files = attached.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    files
        .flatten()
        .next()
        .ok_or(io::ErrorKind::UnexpectedEof.into())
}
