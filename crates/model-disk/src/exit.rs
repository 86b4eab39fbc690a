//! The exit codes of both programs. Scripts and probes rely on them.

use std::io;

/// Why a program ends, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Success = 0,
    /// Any failure that no other code names.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The disk is not to be trusted.
    Integrity = 3,
    /// A device, file or mount is not there, or was not there in time.
    NotFound = 4,
    /// Something is in the way.
    InTheWay = 5,
    /// The kernel or the environment cannot.
    Unsupported = 6,
}

impl ExitCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Integrity,
        Self::NotFound,
        Self::InTheWay,
        Self::Unsupported,
    ];

    /// The meaning in a few words, for a program's help.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Failure => "failed",
            Self::Usage => "wrong command line",
            Self::Integrity => "the disk is not what the root hash says",
            Self::NotFound => "something is not there",
            Self::InTheWay => "something is in the way",
            Self::Unsupported => "the kernel or the environment cannot",
        }
    }

    /// The meaning in a sentence, for a manual page.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "Done.",
            Self::Failure => "Any other failure: an I/O error, a full disk.",
            Self::Usage => "The command line is wrong.",
            Self::Integrity => {
                "Integrity: the disk is not what the root hash says, its geometry is not bound, it \
                 turned corrupt, or a file that was fetched is another."
            }
            Self::NotFound => {
                "Something is not there, or was not there in time: a device, a file, a mount."
            }
            Self::InTheWay => {
                "Something is in the way: it is busy, mounted from elsewhere, or a name is taken."
            }
            Self::Unsupported => {
                "The kernel or the environment cannot: no device-mapper, no permission."
            }
        }
    }

    /// One line for a program's help: each code with its summary.
    pub fn help() -> String {
        let codes = Self::ALL.map(|code| format!("{} {}", code as u8, code.summary()));
        format!("Exit codes: {}.", codes.join(", "))
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        (code as u8).into()
    }
}

/// An error that tells the exit code of the program that it ends.
pub trait HasExitCode {
    /// The code.
    fn exit_code(&self) -> ExitCode;
}

/// For a failed system call of which nothing more is known than its errno: missing things, busy
/// things, missing rights and missing kernel features each have theirs.
impl HasExitCode for io::Error {
    fn exit_code(&self) -> ExitCode {
        use io::ErrorKind;
        match self.kind() {
            ErrorKind::NotFound => ExitCode::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::Unsupported => ExitCode::Unsupported,
            // The last is what is said of a file that somebody else has locked.
            ErrorKind::ResourceBusy | ErrorKind::AlreadyExists | ErrorKind::WouldBlock => {
                ExitCode::InTheWay
            }
            _ => ExitCode::Failure,
        }
    }
}
