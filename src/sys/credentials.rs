//! Capabilities, as capabilities(7) describes them.

use std::io;

/// A capability, by its number in `<linux/capability.h>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Capability {
    /// Reading all files, and searching all directories.
    DacReadSearch = 2,
    /// Mounting, and device-mapper.
    SysAdmin = 21,
    /// Device nodes.
    Mknod = 27,
}

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits, in two halves.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up all capabilities of this thread but these, as far as it has them, for ever: no program
/// that it could start gets them back.
pub(crate) fn keep_only(kept: &[Capability]) -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    for number in 0..64u8 {
        if kept.iter().any(|capability| *capability as u8 == number) {
            continue;
        }
        // SAFETY: PR_CAPBSET_DROP takes a number and touches no memory of this process.
        let result =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        // EINVAL: the kernel has no capability of this number. EPERM: this thread could not give
        // them back either.
        let error = io::Error::last_os_error();
        if result == -1 && !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) {
            return Err(error);
        }
    }
    let mut wanted = [0; 2];
    for capability in kept {
        let number = *capability as u8;
        wanted[usize::from(number / 32)] |= 1 << (number % 32);
    }
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut sets = [Sets::default(); 2];
    // SAFETY: capget reads the header and writes two halves of the sets, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &header, sets.as_mut_ptr()) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    for (set, wanted) in sets.iter_mut().zip(wanted) {
        // More than there is would be EPERM.
        set.permitted &= wanted;
        set.effective = set.permitted;
        set.inheritable = 0;
    }
    // SAFETY: capset reads the header and two halves of the sets, which outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &header, sets.as_ptr()) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
