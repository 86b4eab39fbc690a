//! Which proxy is asked for which server. No I/O.

use ureq::Proxy;

use super::url::Url;

/// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, or the same in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    pub(super) http: Option<Proxy>,
    pub(super) https: Option<Proxy>,
    /// Servers that are asked directly: names, of which those below are meant too.
    direct: Vec<String>,
}

/// Of which kind the way to a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    HttpProxy,
    HttpsProxy,
}

/// A proxy that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no address of a proxy, as http://HOST:PORT")]
pub struct ProxyError(&'static str);

impl Proxies {
    pub(super) fn from_variables(
        look: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProxyError> {
        let get = |name: &'static str| look(name).or_else(|| look(&name.to_ascii_lowercase()));
        let all = proxy("ALL_PROXY", get("ALL_PROXY"))?;
        let direct = get("NO_PROXY").unwrap_or_default();
        let direct = direct
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        Ok(Self {
            http: proxy("HTTP_PROXY", get("HTTP_PROXY"))?.or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY", get("HTTPS_PROXY"))?.or(all),
            direct: direct
                .map(|name| {
                    name.trim_start_matches("*.")
                        .trim_start_matches('.')
                        .to_ascii_lowercase()
                })
                .collect(),
        })
    }

    /// The way to a server.
    pub(super) fn way_to(&self, url: &Url) -> Way {
        let host = url.host().to_ascii_lowercase();
        let is_below = |name: &String| {
            host.strip_suffix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if self.direct.iter().any(|name| name == "*" || is_below(name)) {
            Way::Direct
        } else if url.is_https() && self.https.is_some() {
            Way::HttpsProxy
        } else if !url.is_https() && self.http.is_some() {
            Way::HttpProxy
        } else {
            Way::Direct
        }
    }
}

fn proxy(name: &'static str, value: Option<String>) -> Result<Option<Proxy>, ProxyError> {
    let Some(value) = value else {
        return Ok(None);
    };
    Proxy::new(&value).map(Some).map_err(|_| ProxyError(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Proxies::from_variables(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    fn way(proxies: &Proxies, url: &str) -> Way {
        proxies.way_to(&Url::parse(url).unwrap())
    }

    #[test]
    fn each_scheme_has_its_own() {
        let proxies = proxies(&[("https_proxy", "http://proxy:3128")]).unwrap();
        assert_eq!(way(&proxies, "https://hub.example"), Way::HttpsProxy);
        assert_eq!(way(&proxies, "http://hub.example"), Way::Direct);
        let host = |proxy: &Option<Proxy>| proxy.as_ref().map(|proxy| proxy.host().to_owned());
        assert_eq!(host(&proxies.https).as_deref(), Some("proxy"));
    }

    #[test]
    fn one_for_all_the_others() {
        let variables = [("ALL_PROXY", "http://all"), ("HTTP_PROXY", "http://plain")];
        let proxies = proxies(&variables).unwrap();
        let hosts = [&proxies.http, &proxies.https].map(|proxy| proxy.as_ref().unwrap().host());
        assert_eq!(hosts, ["plain", "all"]);
    }

    #[test]
    fn servers_that_are_asked_directly() {
        let all = ("ALL_PROXY", "http://all");
        let some = proxies(&[all, ("NO_PROXY", "localhost, .example.com,*.example.org")]).unwrap();
        for (url, expected) in [
            ("http://localhost:8080", Way::Direct),
            ("https://example.com", Way::Direct),
            ("https://Hub.Example.com", Way::Direct),
            ("https://hub.example.org", Way::Direct),
            ("https://myexample.com", Way::HttpsProxy),
            ("http://localhost.net", Way::HttpProxy),
        ] {
            assert_eq!(way(&some, url), expected, "{url}");
        }
        let none = proxies(&[all, ("no_proxy", "*")]).unwrap();
        assert_eq!(way(&none, "https://x"), Way::Direct);
    }

    #[test]
    fn what_is_none() {
        for value in ["ftp://localhost", "http://", "a b"] {
            let error = proxies(&[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(error, ProxyError("HTTPS_PROXY"), "{value}");
        }
    }
}
