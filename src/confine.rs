//! What the waiting sidecar gives up: all that it does not need to read a disk ahead, to watch it
//! and to unmount it.
//!
//! It has taken in bytes of a hostile disk by then. All of them were verified or refused, but
//! should that have had a hole, little can be done with it.

use std::{collections::BTreeMap, error::Error, io};

use model_disk::{ExitCode, HasExitCode};
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// The system calls of the waiting sidecar: those of its own code, and those that the standard
/// library and the C library make for it. Any other ends the process at once.
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
    // Waiting for udev, by its semaphores, where that is visible.
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    // Looking at mounts and the disk, and reading its files ahead.
    libc::SYS_close,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_newfstatat,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    // Unmounting.
    libc::SYS_umount2,
    // Saying what happened.
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ftruncate,
    // Threads that do what may not end.
    libc::SYS_clone3, // which is said not to be there: see `OLD_CLONE`
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prctl,
    libc::SYS_sched_getaffinity,
    // Memory, threads that end, and the end.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
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
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CALLS: &[libc::c_long] = &[];

/// What device-mapper is asked: which mappings there are, what they are, and to remove one. None of
/// these makes a mapping or gives one another table.
const IOCTLS: &[u8] = &[
    0x00, // DM_VERSION
    0x02, // DM_LIST_DEVICES
    0x04, // DM_DEV_REMOVE
    0x07, // DM_DEV_STATUS
    0x0c, // DM_TABLE_STATUS
];

/// The number of a request to device-mapper: `_IOWR(0xfd, number, struct dm_ioctl)`.
const fn device_mapper_request(number: u8) -> u64 {
    /// `sizeof(struct dm_ioctl)`.
    const SIZE: u64 = 312;
    3 << 30 | SIZE << 16 | 0xfd << 8 | number as u64
}

/// Flags of open(2) with which a file could be changed or made.
const WRITING: u64 =
    (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;

/// Why the sidecar would keep more than it needs.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// The capabilities stay.
    #[error(
        "the sidecar cannot give up capabilities (--allow-unconfined lets it go on with more than it \
         needs)"
    )]
    Capabilities(#[source] io::Error),
    /// The system calls stay.
    #[error(
        "the sidecar cannot set a seccomp filter (--allow-unconfined lets it go on with more than it \
         needs)"
    )]
    Seccomp(#[source] Box<dyn Error + Send + Sync>),
}

impl HasExitCode for ConfineError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Unsupported
    }
}

/// What stays of the capabilities: to unmount, and to read files ahead whoever they belong to.
const CAPABILITIES: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::DAC_READ_SEARCH);

/// Gives up, for this thread and all that it starts, every capability but those above, new
/// privileges, and all system calls but those above. Files are opened to be read alone, nothing
/// becomes executable, no process is started, and device-mapper makes nothing; whatever tries ends
/// the process. Threads that are there already keep what they have.
pub(crate) fn confine() -> Result<(), ConfineError> {
    keep_only(CAPABILITIES).map_err(ConfineError::Capabilities)?;
    filter_calls().map_err(ConfineError::Seccomp)
}

fn filter_calls() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let calls = CALLS.iter().chain(OLDER_CALLS);
    let mut rules: BTreeMap<_, _> = calls.map(|call| (*call, vec![])).collect();
    let none_of = |argument, bits| masked(argument, bits, 0);
    let exec = libc::PROT_EXEC as u64;
    rules.insert(libc::SYS_openat, vec![none_of(2, WRITING)?]);
    rules.insert(libc::SYS_mmap, vec![none_of(2, exec)?]);
    rules.insert(libc::SYS_mprotect, vec![none_of(2, exec)?]);
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![masked(0, thread, thread)?]);
    let requests = IOCTLS.iter().map(|number| {
        let request = device_mapper_request(*number);
        rule(1, SeccompCmpOp::Eq, request)
    });
    rules.insert(libc::SYS_ioctl, requests.collect::<Result<_, _>>()?);
    // The flags of this one are in memory, where no filter sees them. Where it is missing, the older
    // one is called.
    let missing = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    for (rules, other, listed) in [
        (
            missing,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
        ),
        (rules, SeccompAction::KillProcess, SeccompAction::Allow),
    ] {
        let filter = SeccompFilter::new(rules, other, listed, arch)?;
        apply_filter(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// A call whose argument has this value in these bits.
fn masked(argument: u8, bits: u64, value: u64) -> Result<SeccompRule, BackendError> {
    rule(argument, SeccompCmpOp::MaskedEq(bits), value)
}

/// System calls take these arguments as 32 bits, so the others do not count.
fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    SeccompRule::new(vec![condition])
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
