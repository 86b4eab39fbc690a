//! A second process of the same program.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::{
    libc,
    unistd::{ForkResult, Pid, fork},
};

// A library that keeps a file open would read from another one in the new process.
#[cfg(all(
    target_env = "gnu",
    target_feature = "crt-static",
    not(getrandom_backend = "linux_getrandom")
))]
compile_error!(
    "a static program needs RUSTFLAGS with --cfg getrandom_backend=\"linux_getrandom\", as `make` has it"
);

/// Where the one file that the second process keeps is there: after the standard streams.
const KEPT: RawFd = 3;

/// How it ends after a panic.
const PANICKED: i32 = 70;

/// Starts a process that does `work` and ends with what that returns. It has the memory of this one,
/// and of its open files the standard streams and `kept` alone.
///
/// To be called while this process has one thread: what another has locked, the new process would find
/// locked for ever.
pub(crate) fn spawn(kept: OwnedFd, work: impl FnOnce(OwnedFd) -> i32) -> io::Result<Pid> {
    // SAFETY: there is one thread, so that the new process finds no lock taken and memory as it is
    // here. It never returns to the code that called this: what this process owns is not dropped twice.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = match keep_only(&kept) {
                Ok(kept) => catch_unwind(AssertUnwindSafe(|| work(kept))).unwrap_or(PANICKED),
                Err(error) => error.raw_os_error().unwrap_or(PANICKED),
            };
            // SAFETY: it ends here, and takes nothing with it that the first process needs: no
            // destructor runs, no buffer is written.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Closes all but the standard streams and this file.
fn keep_only(kept: &OwnedFd) -> io::Result<OwnedFd> {
    if kept.as_raw_fd() != KEPT {
        // SAFETY: whatever had this number belongs to values that the new process never uses again.
        if unsafe { libc::dup3(kept.as_raw_fd(), KEPT, libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let above = KEPT as libc::c_uint + 1;
    // SAFETY: as above, for all numbers that come after it.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, above, libc::c_uint::MAX, 0) };
    if closed < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else in the new process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(KEPT) })
}
