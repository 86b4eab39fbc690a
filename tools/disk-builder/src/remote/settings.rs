//! What the environment says of the hub and of the way to it, in the variables that the hub's own
//! client has.

use std::{env, ffi::OsString, fmt, fs, os::unix::ffi::OsStringExt, path::PathBuf};

use model_disk::{ExitCode, FileError, HasExitCode};
use ureq::tls::{PemItem, RootCerts, parse_pem};

use super::{
    proxies::{Proxies, ProxyError},
    url::{Url, UrlError},
};

/// The hub, where nothing else is said.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where the hub is, and how it is reached.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// The hub.
    pub(super) endpoint: Url,
    /// Who asks.
    pub(super) token: Option<Token>,
    /// Nothing may be fetched.
    pub(super) offline: bool,
    /// Who vouches for servers.
    pub(super) roots: RootCerts,
    pub(super) proxies: Proxies,
}

/// A secret that only the hub may see.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// What a request says.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why what the environment says cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No hub is there.
    #[error("HF_ENDPOINT is no address of a hub")]
    Endpoint(#[source] UrlError),
    /// No proxy is there.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A file that is named cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It would not fit into a request.
    #[error("{0} holds no token: one has letters, digits and punctuation, on one line")]
    Token(&'static str),
    /// Nobody would vouch for any server.
    #[error("SSL_CERT_FILE has no certificates in PEM")]
    Certificates,
}

impl HasExitCode for SettingsError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            _ => ExitCode::Usage,
        }
    }
}

/// Looks up variables. What is empty is not set.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    fn get(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        Some(String::from_utf8_lossy(&value.into_vec()).into_owned())
    }

    /// As the hub's client understands one.
    fn is_on(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| {
            matches!(&*value.to_ascii_uppercase(), "1" | "ON" | "YES" | "TRUE")
        })
    }

    /// The file in which `hf auth login` keeps the token.
    fn token_file(&self) -> Option<PathBuf> {
        let path = |name| self.get(name).map(PathBuf::from);
        if let Some(file) = path("HF_TOKEN_PATH") {
            return Some(file);
        }
        let cache =
            || path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")));
        let home = path("HF_HOME").or_else(|| Some(cache()?.join("huggingface")))?;
        Some(home.join("token"))
    }

    fn token(&self) -> Result<Option<Token>, SettingsError> {
        if self.is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        // The second is how the first was called.
        let text = self.text("HF_TOKEN");
        if let Some(text) = text.or_else(|| self.text("HUGGING_FACE_HUB_TOKEN")) {
            return token(&text).map_or(Err(SettingsError::Token("HF_TOKEN")), |token| {
                Ok(Some(token))
            });
        }
        let Some(file) = self.token_file() else {
            return Ok(None);
        };
        match fs::read_to_string(&file) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => token(&text).map_or(Err(SettingsError::Token("the token file")), |token| {
                Ok(Some(token))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::new("read", &file)(error).into()),
        }
    }

    fn roots(&self) -> Result<RootCerts, SettingsError> {
        let Some(file) = self.get("SSL_CERT_FILE").map(PathBuf::from) else {
            return Ok(RootCerts::WebPki);
        };
        let pem = fs::read(&file).map_err(FileError::new("read", &file))?;
        let certificates: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(SettingsError::Certificates);
        }
        Ok(certificates.into())
    }
}

/// None where it is no token.
fn token(text: &str) -> Option<Token> {
    let text = text.trim();
    let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Token(text.to_owned()))
}

impl HubSettings {
    /// Those of this process.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(|name| env::var_os(name))
    }

    /// The same, with variables from elsewhere.
    pub(super) fn from_variables(
        look: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let variables = Variables(look);
        let endpoint = variables.text("HF_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
        Ok(Self {
            endpoint: Url::parse(endpoint).map_err(SettingsError::Endpoint)?,
            token: variables.token()?,
            offline: variables.is_on("HF_HUB_OFFLINE"),
            roots: variables.roots()?,
            proxies: Proxies::from_variables(|name| variables.text(name))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<HubSettings, SettingsError> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        HubSettings::from_variables(|name| variables.get(name).map(OsString::from))
    }

    #[test]
    fn where_nothing_is_said() {
        let settings = settings(&[("HF_TOKEN", ""), ("SSL_CERT_FILE", "")]).unwrap();
        assert_eq!(settings.endpoint.to_string(), DEFAULT_ENDPOINT);
        assert_eq!((settings.token, settings.offline), (None, false));
        assert!(matches!(settings.roots, RootCerts::WebPki));
    }

    #[test]
    fn where_the_token_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("huggingface");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("token"), "hf_file\n").unwrap();
        fs::write(folder.path().join("other"), "hf_other").unwrap();
        fs::write(folder.path().join("empty"), "\n").unwrap();
        let at = |path: &str| folder.path().join(path).to_str().unwrap().to_owned();
        let (cache, home, other) = (at(""), at("huggingface"), at("other"));
        let (missing, empty) = (at("missing"), at("empty"));
        for (variables, expected) in [
            (
                vec![("HF_TOKEN", " hf_x\n"), ("HF_HOME", &home)],
                Some("hf_x"),
            ),
            (
                vec![("HF_TOKEN_PATH", &*other), ("HF_HOME", &home)],
                Some("hf_other"),
            ),
            (vec![("HF_HOME", &*home)], Some("hf_file")),
            (vec![("XDG_CACHE_HOME", &*cache)], Some("hf_file")),
            (vec![("HF_TOKEN_PATH", &*missing)], None),
            (vec![("HF_TOKEN_PATH", &*empty)], None),
            (
                vec![("HF_TOKEN", "hf_x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")],
                None,
            ),
        ] {
            let token = settings(&variables).unwrap().token;
            let expected = expected.map(|text| Token(text.to_owned()));
            assert_eq!(token, expected, "{variables:?}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let settings = settings(&[("HF_TOKEN", "hf_secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn on_and_off() {
        for (value, expected) in [
            ("1", true),
            ("yes", true),
            ("True", true),
            ("0", false),
            ("off", false),
        ] {
            assert_eq!(
                settings(&[("HF_HUB_OFFLINE", value)]).unwrap().offline,
                expected
            );
        }
    }

    #[test]
    fn what_cannot_be_meant() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        let empty = empty.to_str().unwrap();
        for (variable, value, code) in [
            ("HF_ENDPOINT", "huggingface.co", ExitCode::Usage),
            ("HF_TOKEN", "two lines\nof it", ExitCode::Usage),
            ("SSL_CERT_FILE", "/missing/certificates", ExitCode::NotFound),
            ("SSL_CERT_FILE", empty, ExitCode::Usage),
            ("HTTPS_PROXY", "ftp://localhost:1", ExitCode::Usage),
        ] {
            let error = settings(&[(variable, value)]).unwrap_err();
            assert_eq!(error.exit_code(), code, "{variable}: {error}");
        }
    }
}
