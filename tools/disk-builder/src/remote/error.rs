//! Why something could not be fetched.

use std::io;

use model_disk::{Escaped, ExitCode, HasExitCode, Interrupted, RelativePath};

use super::{
    digest::ContentDigest,
    url::{Url, UrlError},
};

/// How often a server may send on to another place.
pub(super) const MAX_REDIRECTS: usize = 10;

/// No answer is longer that is kept in memory: a page of a listing has a thousand files.
pub(super) const MAX_ANSWER: u64 = 64 << 20;

/// Why something could not be fetched, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody is there, or too often not.
    #[error("cannot fetch {url}")]
    Transport {
        /// From where.
        url: Url,
        /// Why not, the last time.
        source: io::Error,
    },
    /// The server cannot, or does not want to.
    #[error("{url} is answered with status {status}{}", Said(said))]
    Status {
        /// What was asked for.
        url: Url,
        /// The number of HTTP.
        status: u16,
        /// In its own words, if it has any.
        said: String,
    },
    /// Who asks must say who they are.
    #[error(
        "{url} is for those who say who they are{}: set HF_TOKEN, or log in with `hf auth login`",
        Said(said)
    )]
    NoToken {
        /// What was asked for.
        url: Url,
        /// The server's own words.
        said: String,
    },
    /// Who asks may not have it.
    #[error(
        "{url} is not for the owner of this token{}: accept the conditions on the model's page, or \
         take another token",
        Said(said)
    )]
    Forbidden {
        /// What was asked for.
        url: Url,
        /// The server's own words.
        said: String,
    },
    /// It is not there.
    #[error("{url} is not there{}", Said(said))]
    NotThere {
        /// What was asked for.
        url: Url,
        /// The server's own words.
        said: String,
    },
    /// One place leads to the next, and that to another.
    #[error("{0} leads to more than {MAX_REDIRECTS} places after each other")]
    TooManyRedirects(Url),
    /// It leads to where nobody can go.
    #[error("{url} leads to what cannot be followed")]
    Redirect {
        /// Where it stands.
        url: Url,
        /// What is wrong with it.
        source: UrlError,
    },
    /// It leads to where others could read and change it.
    #[error("{url} leads to {to}, which is not encrypted")]
    Downgrade {
        /// Where it stands.
        url: Url,
        /// Where it leads.
        to: Url,
    },
    /// Other bytes came than were asked for.
    #[error("{0} answers with other bytes than it was asked for")]
    OtherRange(Url),
    /// An answer is longer than any that makes sense.
    #[error("{0} has more than {MAX_ANSWER} bytes, too much to read")]
    TooLong(Url),
    /// An answer cannot be understood.
    #[error("{url} is answered with what is no {what}")]
    Answer {
        /// What was asked for.
        url: Url,
        /// What it should be.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
    /// There is more or less of a file than there should be.
    #[error("{path} has {found} bytes where it is fetched from, and should have {expected}")]
    Length {
        /// The file.
        path: RelativePath,
        /// How long it should be.
        expected: u64,
        /// How long it is.
        found: u64,
    },
    /// A file is another one.
    #[error("{path} is not what it should be: expected {expected}, its bytes have {found}")]
    Content {
        /// The file.
        path: RelativePath,
        /// What its digest should be.
        expected: ContentDigest,
        /// What it is.
        found: ContentDigest,
    },
    /// A file is another one, and only its end has just been fetched.
    #[error(
        "{path} is not what it should be, with the start of it that an earlier run left: run the \
         same again, and all of it is fetched"
    )]
    Kept {
        /// The file.
        path: RelativePath,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// There are no threads to be had.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
}

impl FetchError {
    /// Whether all came, and is not what it should be.
    pub(crate) fn is_of_content(&self) -> bool {
        matches!(self, Self::Content { .. } | Self::Kept { .. })
    }
}

impl HasExitCode for FetchError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Length { .. } | Self::Content { .. } => ExitCode::Integrity,
            Self::NotThere { .. } => ExitCode::NotFound,
            Self::NoToken { .. } | Self::Forbidden { .. } => ExitCode::Unsupported,
            _ => ExitCode::Failure,
        }
    }
}

/// The words of a server, behind what is said of them.
struct Said<'a>(&'a str);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", Escaped::bytes(self.0.as_bytes()))
    }
}
