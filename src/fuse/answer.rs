//! What a server says of itself when it is asked through its own mount, as an extended attribute of
//! the root directory. So it is asked from wherever the mount is seen, and nothing of it lies in a file.

use std::{io, path::Path, time::Duration};

use rustix::{fs::lgetxattr, io::Errno};
use serde::{Deserialize, Serialize};

use crate::watchdog::run_with_timeout;

/// The name of the attribute.
pub(super) const ATTRIBUTE: &str = "user.disk-mounter.status";

/// How long a server may take to answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// No answer is longer: what the kernel lets through.
const LONGEST: usize = 65536;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// A number that no other server has.
    pub(crate) server: String,
    /// The disk, as it was named when it was mounted.
    pub(crate) device: String,
    /// The root hash that all that it serves is verified by, in hex.
    pub(crate) root_hash: String,
    /// What is not what the root hash says, where something was found so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) corrupt: Option<String>,
    /// How many blocks were corrected; None where none are.
    #[serde(default)]
    pub(crate) fec_corrected: Option<u64>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Whoever served it has ended.
    Dead,
    /// It takes too long.
    Silent,
    /// What answers is another program.
    Other,
    /// The question cannot be asked.
    Failed(io::Error),
}

/// Asks the server of what is mounted at a path.
pub(crate) fn ask(path: &Path) -> Result<Answer, NoAnswer> {
    let path = path.to_owned();
    let asked = run_with_timeout(ANSWER, move || {
        let mut bytes = vec![0; LONGEST];
        let length = lgetxattr(&path, ATTRIBUTE, &mut *bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    });
    match asked {
        None => Err(NoAnswer::Silent),
        Some(Ok(bytes)) => serde_json::from_slice(&bytes).map_err(|_| NoAnswer::Other),
        Some(Err(error)) => Err(of_errno(error)),
    }
}

fn of_errno(error: Errno) -> NoAnswer {
    match error {
        Errno::NOTCONN | Errno::CONNABORTED => NoAnswer::Dead,
        Errno::NODATA | Errno::OPNOTSUPP => NoAnswer::Other,
        error => NoAnswer::Failed(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_through() {
        for (corrupt, fec_corrected) in [
            (None, None),
            (None, Some(0)),
            (Some("data block 3".to_owned()), Some(7)),
        ] {
            let answer = Answer {
                server: "00ff".to_owned(),
                device: "/dev/vda".to_owned(),
                root_hash: "ab".repeat(32),
                corrupt,
                fec_corrected,
            };
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        }
    }

    #[test]
    fn what_is_no_server_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let asked = ask(folder.path());
        assert!(matches!(asked, Err(NoAnswer::Other)), "{asked:?}");
    }
}
