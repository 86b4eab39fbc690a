//! Asks servers, one request after the other.
//!
//! Redirects are followed here and not by the HTTP client: the token goes to the hub and to nobody
//! else, what was encrypted stays so, and where a file is in the end need not be asked for again.

use std::{
    io::{self, Read},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use model_disk::Interrupted;
use ureq::{
    Agent, Body, Proxy,
    http::{HeaderMap, Response, header},
    tls::{RootCerts, TlsConfig},
};

use super::{
    error::{FetchError, MAX_ANSWER, MAX_REDIRECTS},
    proxies::{Proxies, Way},
    retries::Retries,
    settings::{HubSettings, Token},
    url::Url,
};

/// How long a server may take to be there, and to send anything.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);

/// How often somebody who waits looks whether to go on.
const POLL: Duration = Duration::from_millis(50);

/// How many connections wait for their next request.
const MAX_IDLE: usize = 16;

/// How much of what a server says besides is shown, and read.
const MAX_SAID: usize = 300;
const MAX_PASSED_OVER: u64 = 64 << 10;

/// Asks servers, for many threads.
pub(super) struct Client {
    direct: Agent,
    http: Agent,
    https: Agent,
    proxies: Proxies,
    endpoint: Url,
    token: Option<Token>,
    /// A server has answered.
    reached: AtomicBool,
    interrupted: Arc<AtomicBool>,
    closed: AtomicBool,
}

/// What a server says.
pub(super) struct HttpAnswer {
    /// 200, 206 or 416.
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// Who said it in the end.
    pub(super) url: Url,
    body: Body,
}

/// A request to which there is no answer that is of use.
pub(super) enum FailedTry {
    /// The next one would have no other.
    Final(FetchError),
    /// The next one may, when a server has been given the time that it asked for.
    Again {
        error: FetchError,
        asked: Option<Duration>,
    },
}

impl Client {
    /// Stops soon after `interrupted` becomes true.
    pub(super) fn new(settings: HubSettings, interrupted: Arc<AtomicBool>) -> Self {
        #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
        crate::sys::name_service::ask_without_libraries();
        let agent = |proxy| agent(proxy, settings.roots.clone());
        Self {
            direct: agent(None),
            http: agent(settings.proxies.http.clone()),
            https: agent(settings.proxies.https.clone()),
            proxies: settings.proxies,
            endpoint: settings.endpoint,
            token: settings.token,
            reached: AtomicBool::new(false),
            interrupted,
            closed: AtomicBool::new(false),
        }
    }

    /// The hub.
    pub(super) fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Ends all requests, and has those end that wait for their next.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for agent in [&self.direct, &self.http, &self.https] {
            agent.clone().shutdown();
        }
    }

    /// An error once it is closed, or somebody has asked to stop.
    pub(super) fn check_stopped(&self) -> Result<(), Interrupted> {
        if self.closed.load(Ordering::Relaxed) || self.interrupted.load(Ordering::Relaxed) {
            return Err(Interrupted);
        }
        Ok(())
    }

    /// Asks for all of something, or for a range of its bytes, once.
    pub(super) fn ask(
        &self,
        url: &Url,
        range: Option<&Range<u64>>,
    ) -> Result<HttpAnswer, FailedTry> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut response = self.send(&at, range)?;
            self.reached.store(true, Ordering::Relaxed);
            let status = response.status().as_u16();
            match status {
                200 | 206 | 416 => {
                    let (parts, body) = response.into_parts();
                    return Ok(HttpAnswer {
                        status,
                        headers: parts.headers,
                        url: at,
                        body,
                    });
                }
                301 | 302 | 303 | 307 | 308 => {
                    let next = next_place(&at, response.headers()).map_err(FailedTry::Final)?;
                    // Read to its end, the connection can be used again.
                    let rest = &mut response.body_mut().as_reader().take(MAX_PASSED_OVER);
                    let _ = io::copy(rest, &mut io::sink());
                    at = next;
                }
                _ => return Err(self.refused(at, status, response.headers())),
            }
        }
        Err(FailedTry::Final(FetchError::TooManyRedirects(url.clone())))
    }

    /// Tries until it succeeds, or there is no use in it.
    pub(super) fn patiently<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, FailedTry>,
    ) -> Result<T, FetchError> {
        let mut retries = Retries::default();
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(failed) => self.pause(failed, &mut retries)?,
            }
        }
    }

    /// Waits as long as is right after a try that failed. Gives its error where there is to be no
    /// other.
    pub(super) fn pause(&self, failed: FailedTry, retries: &mut Retries) -> Result<(), FetchError> {
        // What fails after it was closed fails for that.
        self.check_stopped()?;
        let (error, asked) = match failed {
            FailedTry::Final(error) => return Err(error),
            FailedTry::Again { error, asked } => (error, asked),
        };
        let reached = self.reached.load(Ordering::Relaxed);
        let Some(mut left) = retries.pause(reached, asked) else {
            return Err(error);
        };
        while !left.is_zero() {
            self.check_stopped()?;
            let nap = left.min(POLL);
            thread::sleep(nap);
            left = left.saturating_sub(nap);
        }
        Ok(())
    }

    /// All of what is there, and what the server says of it. Nobody waits for a server who has been
    /// asked to stop.
    pub(super) fn read_all(
        self: &Arc<Self>,
        url: &Url,
    ) -> Result<(Vec<u8>, HeaderMap), FetchError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let (client, url) = (Arc::clone(self), url.clone());
        // It ends with the answer, or with the process.
        thread::Builder::new()
            .spawn(move || answer.send(client.wait_for_all(&url)))
            .map_err(FetchError::Threads)?;
        loop {
            match answered.recv_timeout(POLL) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => self.check_stopped()?,
                Err(RecvTimeoutError::Disconnected) => return Err(Interrupted.into()),
            }
        }
    }

    fn wait_for_all(&self, url: &Url) -> Result<(Vec<u8>, HeaderMap), FetchError> {
        self.patiently(|| {
            let mut answer = self.ask(url, None)?;
            let mut bytes = Vec::new();
            let read = answer
                .body
                .as_reader()
                .take(MAX_ANSWER + 1)
                .read_to_end(&mut bytes);
            read.map_err(|error| failed(url.clone(), error.into()))?;
            if bytes.len() as u64 > MAX_ANSWER {
                return Err(FailedTry::Final(FetchError::TooLong(url.clone())));
            }
            Ok((bytes, answer.headers))
        })
    }

    fn send(&self, url: &Url, range: Option<&Range<u64>>) -> Result<Response<Body>, FailedTry> {
        self.check_stopped()
            .map_err(|error| FailedTry::Final(error.into()))?;
        let agent = match self.proxies.way_to(url) {
            Way::Direct => &self.direct,
            Way::HttpProxy => &self.http,
            Way::HttpsProxy => &self.https,
        };
        let mut request = agent.get(url.uri().clone());
        if let Some(range) = range {
            let last = range.end.saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={}-{last}", range.start));
        }
        if let Some(token) = self
            .token
            .as_ref()
            .filter(|_| url.is_same_origin(&self.endpoint))
        {
            request = request.header(header::AUTHORIZATION, token.authorization());
        }
        request.call().map_err(|error| failed(url.clone(), error))
    }

    /// What another status means.
    fn refused(&self, url: Url, status: u16, headers: &HeaderMap) -> FailedTry {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let said = text("x-error-message").unwrap_or_default();
        let said: String = said.chars().take(MAX_SAID).collect();
        let is_hub = url.is_same_origin(&self.endpoint);
        let error = match status {
            // The hub says so of what is not there as well, to those whom it does not know.
            401 | 403 if is_hub && self.token.is_none() => FetchError::NoToken { url, said },
            401 | 403 if is_hub => FetchError::Forbidden { url, said },
            404 | 410 => FetchError::NotThere { url, said },
            _ => FetchError::Status { url, status, said },
        };
        if !matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504) {
            return FailedTry::Final(error);
        }
        let asked = text("retry-after").and_then(|seconds| seconds.trim().parse().ok());
        let asked = asked.map(Duration::from_secs);
        FailedTry::Again { error, asked }
    }
}

impl HttpAnswer {
    /// What it says, byte by byte.
    pub(super) fn into_reader(self) -> impl Read + use<> {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// How long it says that it is.
    pub(super) fn length(&self) -> Option<u64> {
        let length = self.headers.get(header::CONTENT_LENGTH)?;
        length.to_str().ok()?.trim().parse().ok()
    }
}

fn agent(proxy: Option<Proxy>, roots: RootCerts) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .user_agent(concat!("disk-builder/", env!("CARGO_PKG_VERSION")))
        // What is asked for are the bytes themselves.
        .accept_encoding("identity")
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE))
        .max_idle_connections(MAX_IDLE)
        .max_idle_connections_per_host(MAX_IDLE)
        .build()
        .into()
}

/// A request that was sent, or an answer that was read, in vain.
pub(super) fn failed(url: Url, error: ureq::Error) -> FailedTry {
    use ureq::Error;
    let again = match &error {
        // A certificate that nobody vouches for.
        Error::Io(error) => error.kind() != io::ErrorKind::InvalidData,
        Error::Timeout(_)
        | Error::HostNotFound
        | Error::ConnectionFailed
        | Error::ConnectProxyFailed(_)
        | Error::Protocol(_)
        | Error::BodyStalled => true,
        _ => false,
    };
    let source = error.into_io();
    let error = FetchError::Transport { url, source };
    if again {
        let asked = None;
        FailedTry::Again { error, asked }
    } else {
        FailedTry::Final(error)
    }
}

/// Where an answer sends on to.
fn next_place(at: &Url, headers: &HeaderMap) -> Result<Url, FetchError> {
    let place = headers.get(header::LOCATION);
    let place = place
        .and_then(|place| place.to_str().ok())
        .unwrap_or_default();
    follow(at, place)
}

/// Another place that an answer names. What was encrypted stays so.
pub(super) fn follow(at: &Url, place: &str) -> Result<Url, FetchError> {
    let next = at.join(place).map_err(|source| FetchError::Redirect {
        url: at.clone(),
        source,
    })?;
    if at.is_https() && !next.is_https() {
        return Err(FetchError::Downgrade {
            url: at.clone(),
            to: next,
        });
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a redirect leads, and where the next page of a list is.
    #[test]
    fn what_was_encrypted_stays_so() {
        let https = Url::parse("https://hub.example/a").unwrap();
        let http = Url::parse("http://hub.example/a").unwrap();
        for (at, place) in [
            (&https, "/b"),
            (&https, "https://cdn.example/b"),
            (&http, "http://cdn.example/b"),
            (&http, "https://cdn.example/b"),
        ] {
            follow(at, place).unwrap();
        }
        let error = follow(&https, "http://hub.example/b").unwrap_err();
        assert!(matches!(error, FetchError::Downgrade { .. }), "{error}");
    }
}
