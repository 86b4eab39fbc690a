//! A hole in the waiting sidecar: system calls of an attacker's choice, made by the sidecar's own
//! thread, as code that was injected would make them. None of them is carried out.

use nix::{
    sys::{
        ptrace,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::Sidecar;
use crate::{disk::TestDisk, run::mounter};

/// `_IOWR(0xfd, number, struct dm_ioctl)`.
fn device_mapper(number: u64) -> u64 {
    3 << 30 | 312 << 16 | 0xfd << 8 | number
}

/// System calls with their first four arguments. Filters look at numbers and flags, so the addresses
/// may lead nowhere.
fn attacks() -> Vec<(&'static str, libc::c_long, [u64; 4])> {
    let here = libc::AT_FDCWD as u64;
    let flags = |flags: libc::c_int| flags as u64;
    vec![
        (
            "write to a file",
            libc::SYS_openat,
            [here, 0, flags(libc::O_WRONLY), 0],
        ),
        (
            "write to a disk",
            libc::SYS_openat,
            [here, 0, flags(libc::O_RDWR), 0],
        ),
        (
            "make a file",
            libc::SYS_openat,
            [here, 0, flags(libc::O_CREAT), 0o666],
        ),
        (
            "empty a file",
            libc::SYS_openat,
            [here, 0, flags(libc::O_TRUNC), 0],
        ),
        (
            "make a file without a name",
            libc::SYS_openat,
            [here, 0, flags(libc::O_TMPFILE), 0],
        ),
        ("open in another way", libc::SYS_openat2, [here, 0, 0, 24]),
        ("open in an older way", libc::SYS_open, [0; 4]),
        (
            "make a device node",
            libc::SYS_mknodat,
            [here, 0, 0o60600, 0],
        ),
        ("remove a file", libc::SYS_unlinkat, [here, 0, 0, 0]),
        ("rename a file", libc::SYS_renameat2, [here, 0, here, 0]),
        (
            "change a file's mode",
            libc::SYS_fchmodat,
            [here, 0, 0o777, 0],
        ),
        (
            "run code from memory",
            libc::SYS_mprotect,
            [0, 4096, flags(libc::PROT_EXEC), 0],
        ),
        (
            "map code",
            libc::SYS_mmap,
            [0, 4096, flags(libc::PROT_READ | libc::PROT_EXEC), 0x22],
        ),
        ("run a program", libc::SYS_execve, [0; 4]),
        (
            "start a process",
            libc::SYS_clone,
            [flags(libc::SIGCHLD), 0, 0, 0],
        ),
        ("mount", libc::SYS_mount, [0; 4]),
        ("mount in the new way", libc::SYS_move_mount, [0; 4]),
        (
            "make a mapping",
            libc::SYS_ioctl,
            [3, device_mapper(3), 0, 0],
        ),
        (
            "give a mapping a table",
            libc::SYS_ioctl,
            [3, device_mapper(9), 0, 0],
        ),
        (
            "rename a mapping",
            libc::SYS_ioctl,
            [3, device_mapper(5), 0, 0],
        ),
        (
            "write to a disk by a request",
            libc::SYS_ioctl,
            [3, 0x1277, 0, 0],
        ),
        ("talk to the network", libc::SYS_socket, [2, 1, 0, 0]),
        ("change namespaces", libc::SYS_setns, [3, 0, 0, 0]),
        ("look into another process", libc::SYS_ptrace, [16, 1, 0, 0]),
        ("load a module", libc::SYS_finit_module, [3, 0, 0, 0]),
        ("load a kernel program", libc::SYS_bpf, [0; 4]),
        ("become another user", libc::SYS_setuid, [0; 4]),
        ("end another process", libc::SYS_kill, [1, 9, 0, 0]),
    ]
}

/// Has a thread make another system call than its next one. Its result, or what ended the process.
fn inject(thread: Pid, call: libc::c_long, arguments: [u64; 4]) -> Result<u64, Signal> {
    let next_stop = || {
        ptrace::syscall(thread, None).unwrap();
        waitpid(thread, None).unwrap()
    };
    ptrace::attach(thread).unwrap();
    waitpid(thread, None).unwrap();
    // Before a call, which this value tells, and where filters have not looked at it yet.
    let before = loop {
        next_stop();
        let registers = ptrace::getregs(thread).unwrap();
        if registers.rax == (-i64::from(libc::ENOSYS)) as u64 {
            break registers;
        }
    };
    let [rdi, rsi, rdx, r10] = arguments;
    let changed = libc::user_regs_struct {
        orig_rax: call as u64,
        rdi,
        rsi,
        rdx,
        r10,
        r8: u64::MAX,
        r9: 0,
        ..before
    };
    ptrace::setregs(thread, changed).unwrap();
    // After it. What the filter refuses ends the process when it goes on.
    let mut result = None;
    loop {
        match next_stop() {
            WaitStatus::Signaled(_, signal, _) => return Err(signal),
            WaitStatus::Stopped(..) => match result {
                Some(result) => return Ok(result),
                None => result = Some(ptrace::getregs(thread).unwrap().rax),
            },
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn nothing_that_is_injected_succeeds() {
    let disk = TestDisk::new();
    for (what, call, arguments) in attacks() {
        let sidecar = Sidecar::ready(&disk);
        let ended = inject(sidecar.pid(), call, arguments);
        assert_eq!(ended, Err(Signal::SIGSYS), "{what}");
        mounter(&disk.line("unmount")).is(0, &[]);
    }
    // The way in works: what a sidecar needs is done.
    let sidecar = Sidecar::ready(&disk);
    let result = inject(sidecar.pid(), libc::SYS_getpid, [0; 4]);
    assert_eq!(result, Ok(sidecar.pid().as_raw() as u64));
    ptrace::kill(sidecar.pid()).unwrap();
    waitpid(sidecar.pid(), None).unwrap();
    mounter(&disk.line("unmount")).is(0, &[]);
}
