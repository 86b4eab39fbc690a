//! Addresses of what is not on this machine. No I/O.

use std::fmt;

use model_disk::Escaped;
use ureq::http::{Uri, uri::InvalidUri};

/// An address by HTTP or HTTPS. What a message shows of it has no query: those of a content delivery
/// network hold what lets anybody read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Uri);

/// Why a text is no such address.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It cannot be read.
    #[error("it is no address")]
    Syntax(#[from] InvalidUri),
    /// It begins with something else.
    #[error("it does not begin with https:// or http:// and a host")]
    Scheme,
    /// It has a name or a password, which would be shown.
    #[error("it has a user or a password in it")]
    User,
}

impl Url {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        match uri.authority() {
            Some(authority) if known && !authority.host().is_empty() => {
                if authority.as_str().contains('@') {
                    return Err(UrlError::User);
                }
                Ok(Self(uri))
            }
            _ => Err(UrlError::Scheme),
        }
    }

    /// What a server means that names another place in an answer from here.
    pub(super) fn join(&self, place: &str) -> Result<Self, UrlError> {
        let (scheme, origin) = (self.scheme(), self.origin_text());
        if place.starts_with("//") {
            return Self::parse(&format!("{scheme}:{place}"));
        }
        if place.starts_with('/') {
            return Self::parse(&format!("{origin}{place}"));
        }
        let is_whole = place
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if is_whole {
            return Self::parse(place);
        }
        let path = self.0.path();
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        Self::parse(&format!("{origin}{directory}/{place}"))
    }

    /// The address of what is below this one, as it stands in a path: `/` between two names.
    pub(super) fn below(&self, path: &str) -> Result<Self, UrlError> {
        let base = self.0.path().trim_end_matches('/');
        Self::parse(&format!("{}{base}/{path}", self.origin_text()))
    }

    /// Whether both are of one server: scheme, host and port are the same.
    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        let host = |url: &Self| url.host().to_ascii_lowercase();
        self.scheme() == other.scheme() && host(self) == host(other) && self.port() == other.port()
    }

    /// Whether nobody on the way can read it.
    pub(super) fn is_https(&self) -> bool {
        self.scheme() == "https"
    }

    /// The name of the server.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The same for the client.
    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        self.0.port_u16().unwrap_or(default)
    }

    fn origin_text(&self) -> String {
        let authority = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.scheme())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}{}", self.origin_text(), self.0.path());
        // Nothing is at the top of a server: what is named so is the server.
        Escaped::bytes(text.trim_end_matches('/').as_bytes()).fmt(f)
    }
}

/// A path or a name in an address: all but letters, digits, `-`, `.`, `_`, `~` and what is `kept` is
/// written as `%` and two digits.
pub(super) fn percent_encoded(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            "model",
            "/model",
            "ftp://host/x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://a b/",
        ] {
            Url::parse(text).unwrap_err();
        }
        let error = Url::parse("https://me:secret@host/").unwrap_err();
        assert!(matches!(error, UrlError::User));
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let shown = url("https://cdn.example:8443/a/b?Signature=secret#part").to_string();
        assert_eq!(shown, "https://cdn.example:8443/a/b");
        assert_eq!(url("http://localhost:9/").to_string(), "http://localhost:9");
    }

    #[test]
    fn places_that_a_server_names() {
        let here = url("https://hub.example/a/b?x=1");
        for (place, there) in [
            ("https://cdn.example/c?d=e", "https://cdn.example/c?d=e"),
            ("//cdn.example/c", "https://cdn.example/c"),
            ("/c?url=http://x", "https://hub.example/c?url=http://x"),
            ("c", "https://hub.example/a/c"),
        ] {
            assert_eq!(here.join(place).unwrap(), url(there), "{place}");
        }
        for place in ["ftp://x/y", "https://"] {
            here.join(place).unwrap_err();
        }
        assert_eq!(
            url("http://mirror.example/hub/").below("api/x").unwrap(),
            url("http://mirror.example/hub/api/x")
        );
    }

    #[test]
    fn one_server() {
        let hub = url("https://hub.example/x");
        for same in ["https://hub.example", "https://HUB.example:443/y?z"] {
            assert!(hub.is_same_origin(&url(same)), "{same}");
        }
        for other in [
            "http://hub.example/x",
            "https://hub.example:444/x",
            "https://cdn.hub.example/x",
            "https://hub.example.org/x",
        ] {
            assert!(!hub.is_same_origin(&url(other)), "{other}");
        }
    }

    #[test]
    fn names_in_an_address() {
        let encoded = percent_encoded("a b/ä%?#~.bin".as_bytes(), b"/");
        assert_eq!(encoded, "a%20b/%C3%A4%25%3F%23~.bin");
        assert_eq!(percent_encoded(b"refs/pr/1", b""), "refs%2Fpr%2F1");
    }
}
