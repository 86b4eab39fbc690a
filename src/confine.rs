//! What the waiting sidecar gives up: all that it does not need to read a disk ahead, to watch it
//! and to unmount it.
//!
//! It has taken in bytes of a hostile disk by then. All of them were verified or refused, but
//! should that have had a hole, little can be done with it.

use std::{collections::BTreeMap, error::Error, io};

use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// The system calls of the waiting sidecar: those of its own code, and those that the standard
/// library and the C library make for it.
const CALLS: &[libc::c_long] = &[
    // Waiting for signals and events, and taking them.
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_wait4,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    // Asking device-mapper; with udev, by its semaphores.
    libc::SYS_ioctl,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    // Looking at mounts, nodes and the disk, and reading its files ahead.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_mknodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    // Unmounting.
    libc::SYS_umount2,
    // Saying what happened.
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ftruncate,
    // Threads that do what may not end.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prctl,
    libc::SYS_sched_getaffinity,
    // Memory, threads that end, and the end.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// The older forms of some of them, which only some architectures have.
#[cfg(target_arch = "x86_64")]
const OLDER_CALLS: &[libc::c_long] = &[
    libc::SYS_poll,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CALLS: &[libc::c_long] = &[];

/// Why the sidecar keeps more than it needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// The capabilities stay.
    #[error("cannot give up capabilities")]
    Capabilities(#[source] io::Error),
    /// The system calls stay.
    #[error("cannot set a seccomp filter")]
    Seccomp(#[source] Box<dyn Error>),
}

/// What stays of the capabilities: to unmount, to look at a device, and to get to the mount point
/// and the files whoever they belong to.
const CAPABILITIES: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// Gives up, for this thread and all that it starts, every capability but those above, new
/// privileges, and all system calls but those above; these fail with EPERM. Threads that are
/// there already keep what they have.
pub(crate) fn confine() -> Result<(), ConfineError> {
    keep_only(CAPABILITIES).map_err(ConfineError::Capabilities)?;
    filter_calls().map_err(ConfineError::Seccomp)
}

fn filter_calls() -> Result<(), Box<dyn Error>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let calls: BTreeMap<_, _> = CALLS
        .iter()
        .chain(OLDER_CALLS)
        .map(|call| (*call, vec![]))
        .collect();
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(calls, refused, SeccompAction::Allow, arch)?;
    Ok(apply_filter(&BpfProgram::try_from(filter)?)?)
}

/// Gives up all capabilities of this thread but these, as far as it has them, for ever: no program
/// that it could start gets them back. See capabilities(7).
fn keep_only(kept: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    for number in 0..u64::BITS {
        // Those too that the kernel knows, and the library does not yet.
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            // EINVAL: the kernel has no capability of this number. EPERM: this thread could not
            // give them back either.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let has = capabilities(None)?;
    // More than there is would be EPERM.
    let permitted = has.permitted & kept;
    Ok(set_capabilities(
        None,
        CapabilitySets {
            effective: permitted,
            permitted,
            inheritable: CapabilitySet::empty(),
        },
    )?)
}
