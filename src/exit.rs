//! The exit codes of both programs. Scripts and probes rely on them.

/// Why a program ends, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Success = 0,
    /// Any failure that no other code names: an I/O error, a full disk.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The disk is not what the root hash says, its geometry is not bound, or
    /// it turned corrupt.
    Integrity = 3,
    /// A device, file or mount is not there, or was not there in time.
    NotFound = 4,
    /// Something is in the way: busy, mounted from elsewhere, a taken name.
    InTheWay = 5,
    /// The kernel or the environment cannot: no device-mapper, no permission.
    Unsupported = 6,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        (code as u8).into()
    }
}

impl ExitCode {
    /// The code for a failed system call where nothing more is known than its
    /// errno: missing things, busy things, missing rights and missing kernel
    /// features each have theirs.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::ResourceBusy | ErrorKind::AlreadyExists => Self::InTheWay,
            _ => Self::Failure,
        }
    }
}
