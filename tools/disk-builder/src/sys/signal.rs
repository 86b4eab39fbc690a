//! What is done about signals.

use std::{io, ptr};

/// Whether this process ignores a signal, as nohup(1) makes it ignore SIGHUP. An error where there
/// is no such signal.
pub(crate) fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: for a `struct sigaction`, zeros are valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action nothing changes; the struct for the old one outlives the call.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &mut action) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_standard_library_ignores_and_what_nobody_can() {
        assert!(is_ignored(libc::SIGPIPE).unwrap());
        assert!(!is_ignored(libc::SIGKILL).unwrap_or(false));
        assert!(!is_ignored(libc::SIGTERM).unwrap());
        assert!(is_ignored(1000).is_err());
    }
}
