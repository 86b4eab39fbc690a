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
type Attack = (&'static str, libc::c_long, [u64; 4]);

/// What neither process may do.
fn attacks() -> Vec<Attack> {
    let here = libc::AT_FDCWD as u64;
    let flags = |flags: libc::c_int| flags as u64;
    let write = |what, how| (what, libc::SYS_openat, [here, 0, flags(how), 0o666]);
    let request = |what, request| (what, libc::SYS_ioctl, [3, request, 0, 0]);
    vec![
        write("write to a file", libc::O_WRONLY),
        write("write to a disk", libc::O_RDWR),
        write("make a file", libc::O_CREAT),
        write("empty a file", libc::O_TRUNC),
        write("make a file without a name", libc::O_TMPFILE),
        ("open in another way", libc::SYS_openat2, [here, 0, 0, 24]),
        ("open in an older way", libc::SYS_open, [0; 4]),
        (
            "make a device node",
            libc::SYS_mknodat,
            [here, 0, 0o60600, 0],
        ),
        ("remove a file", libc::SYS_unlinkat, [here, 0, 0, 0]),
        ("rename a file", libc::SYS_renameat2, [here, 0, here, 0]),
        ("change a mode", libc::SYS_fchmodat, [here, 0, 0o777, 0]),
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
        request("make a mapping", device_mapper(3)),
        request("give a mapping a table", device_mapper(9)),
        request("rename a mapping", device_mapper(5)),
        request("write to a disk by a request", 0x1277),
        ("talk to the network", libc::SYS_socket, [2, 1, 0, 0]),
        ("change namespaces", libc::SYS_setns, [3, 0, 0, 0]),
        ("look into another process", libc::SYS_ptrace, [16, 1, 0, 0]),
        ("load a module", libc::SYS_finit_module, [3, 0, 0, 0]),
        ("load a kernel program", libc::SYS_bpf, [0; 4]),
        ("become another user", libc::SYS_setuid, [0; 4]),
        ("end another process", libc::SYS_kill, [1, 9, 0, 0]),
    ]
}

/// What the helper is for, and the watcher asks it for.
fn attacks_on_the_watcher() -> Vec<Attack> {
    vec![
        ("unmount", libc::SYS_umount2, [0; 4]),
        (
            "remove a mapping",
            libc::SYS_ioctl,
            [3, device_mapper(4), 0, 0],
        ),
        (
            "look at mappings",
            libc::SYS_ioctl,
            [3, device_mapper(2), 0, 0],
        ),
        ("give files away", libc::SYS_sendmsg, [3, 0, 0, 0]),
        ("hold up udev", libc::SYS_semop, [0; 4]),
    ]
}

/// What the watcher is for.
fn attacks_on_the_helper() -> Vec<Attack> {
    vec![
        ("get files", libc::SYS_recvmsg, [3, 0, 0, 0]),
        ("cut a file", libc::SYS_ftruncate, [1, 0, 0, 0]),
        ("read a disk", libc::SYS_pread64, [3, 0, 0, 0]),
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
    for (what, call, arguments) in [attacks(), attacks_on_the_watcher()].concat() {
        let sidecar = Sidecar::ready(&disk);
        let ended = inject(sidecar.pid(), call, arguments);
        assert_eq!(ended, Err(Signal::SIGSYS), "the watcher can {what}");
    }
    for (what, call, arguments) in [attacks(), attacks_on_the_helper()].concat() {
        let sidecar = Sidecar::ready(&disk);
        let helper = sidecar.helper();
        let ended = inject(helper, call, arguments);
        assert_eq!(ended, Err(Signal::SIGSYS), "the helper can {what}");
        sidecar.end().is(1, &["helper process has ended"]);
    }
    // The way in works: what a process needs is done.
    for process in [Sidecar::pid, Sidecar::helper] {
        let sidecar = Sidecar::ready(&disk);
        let process = process(&sidecar);
        let result = inject(process, libc::SYS_getpid, [0; 4]);
        assert_eq!(result, Ok(process.as_raw() as u64));
        ptrace::kill(process).unwrap();
        waitpid(process, None).unwrap();
    }
    mounter(&disk.line("unmount")).is(0, &[]);
}
