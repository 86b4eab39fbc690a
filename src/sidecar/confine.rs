//! What the two processes of a sidecar give up: all that they do not need.
//!
//! The watcher has taken in bytes of a hostile disk by then, and goes on to: the filesystem of a block
//! that turned corrupt, the names and files of a prefetch. All of them were verified or refused, but
//! should that have had a hole, the watcher is nobody: it has no capability and no user's rights, and
//! opens files to read them alone. The helper has one capability, and takes in one byte at a time.

use std::{collections::BTreeMap, error::Error, io};

use model_disk::{ExitCode, HasExitCode};
use rustix::{
    io::Errno,
    process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// The system calls of both: those of their own code, and those that the standard library and the C
/// library make for it. Any that is not in a list ends the process at once.
const CALLS: &[libc::c_long] = &[
    // Looking at files, and reading them.
    libc::SYS_read,
    libc::SYS_close,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    // Saying what happened.
    libc::SYS_write,
    libc::SYS_writev,
    // Threads that do what may not end.
    libc::SYS_clone3, // which is said not to be there: see `filter_calls`
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
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Those of the watcher: waiting for signals, events and replies, and reading ahead.
const WATCHER_CALLS: &[libc::c_long] = &[
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_wait4,
    libc::SYS_pread64,
    libc::SYS_ftruncate,
];

/// Those of the helper: replies, unmounting, and waiting for udev by its semaphores, where that is
/// visible.
const HELPER_CALLS: &[libc::c_long] = &[
    libc::SYS_sendmsg,
    libc::SYS_umount2,
    libc::SYS_semget,
    libc::SYS_semctl,
    libc::SYS_semop,
    libc::SYS_semtimedop,
];

/// Those of a server of FUSE, which is one process: waiting as the watcher does, reading its disk,
/// asking itself whether it is mounted, unmounting, and leaving the terminal.
const SERVER_CALLS: &[libc::c_long] = &[
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_wait4,
    libc::SYS_pread64,
    libc::SYS_lgetxattr,
    libc::SYS_geteuid,
    libc::SYS_capget,
    libc::SYS_umount2,
    libc::SYS_dup3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
    libc::SYS_chdir,
];

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
#[error("the sidecar cannot {action} (--allow-unconfined lets it go on with more than it needs)")]
pub struct ConfineError {
    action: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl ConfineError {
    /// Makes the error of a failed action, for [`Result::map_err`].
    pub(super) fn new<E: Into<Box<dyn Error + Send + Sync>>>(
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self {
            action,
            source: source.into(),
        }
    }
}

impl HasExitCode for ConfineError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Unsupported
    }
}

const GIVE_UP: &str = "give up capabilities";
const BECOME: &str = "become user 65534";
const FILTER: &str = "set a seccomp filter";

/// The user that has no rights.
const NOBODY: u32 = 65534;

/// Gives up, for this thread and all that it starts, every user's rights, all capabilities, and all
/// system calls but those of a watcher. Files are opened to be read alone, nothing becomes executable,
/// and no process is started; whatever tries ends the process. Other threads would keep what they have.
pub(super) fn confine_watcher() -> Result<(), ConfineError> {
    // While there are the rights for it.
    bound(CapabilitySet::empty()).map_err(ConfineError::new(GIVE_UP))?;
    become_nobody().map_err(ConfineError::new(BECOME))?;
    keep_only(CapabilitySet::empty()).map_err(ConfineError::new(GIVE_UP))?;
    filter_calls(WATCHER_CALLS, &[]).map_err(ConfineError::new(FILTER))
}

/// The same for the helper, which can unmount, and asks device-mapper for what makes no mapping.
pub(super) fn confine_helper() -> Result<(), ConfineError> {
    bound(CapabilitySet::SYS_ADMIN).map_err(ConfineError::new(GIVE_UP))?;
    keep_only(CapabilitySet::SYS_ADMIN).map_err(ConfineError::new(GIVE_UP))?;
    filter_calls(HELPER_CALLS, IOCTLS).map_err(ConfineError::new(FILTER))
}

/// The same for the server of a FUSE mount, which can unmount and asks device-mapper for nothing.
pub(crate) fn confine_server() -> Result<(), ConfineError> {
    bound(CapabilitySet::SYS_ADMIN).map_err(ConfineError::new(GIVE_UP))?;
    keep_only(CapabilitySet::SYS_ADMIN).map_err(ConfineError::new(GIVE_UP))?;
    filter_calls(SERVER_CALLS, &[]).map_err(ConfineError::new(FILTER))
}

/// Nor can others of this user look into the process, or stop it.
fn become_nobody() -> io::Result<()> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Lets through these system calls and requests of ioctl(2), and those of both processes.
fn filter_calls(own: &[libc::c_long], requests: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let calls = CALLS.iter().chain(own);
    let mut rules: BTreeMap<_, _> = calls.map(|call| (*call, vec![])).collect();
    let none_of = |argument, bits| masked(argument, bits, 0);
    let exec = libc::PROT_EXEC as u64;
    rules.insert(libc::SYS_openat, vec![none_of(2, WRITING)?]);
    rules.insert(libc::SYS_mmap, vec![none_of(2, exec)?]);
    rules.insert(libc::SYS_mprotect, vec![none_of(2, exec)?]);
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![masked(0, thread, thread)?]);
    if !requests.is_empty() {
        let requests = requests.iter().map(|number| {
            let request = device_mapper_request(*number);
            rule(1, SeccompCmpOp::Eq, request)
        });
        rules.insert(libc::SYS_ioctl, requests.collect::<Result<_, _>>()?);
    }
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

/// No program that this thread could start gets other capabilities than these back. See
/// capabilities(7).
fn bound(kept: CapabilitySet) -> io::Result<()> {
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
    Ok(())
}

/// Gives up all capabilities of this thread but these, as far as it has them.
fn keep_only(kept: CapabilitySet) -> io::Result<()> {
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
