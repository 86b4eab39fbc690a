//! A server of HTTP/1.1 whose answers a test chooses, with all that can go wrong with them.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    mem,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How much of a body is written at once.
const PIECE: usize = 64 << 10;

/// How much time a limited server makes up for, at most, in which it sent less than it may.
const BURST: Duration = Duration::from_millis(10);

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// As `GET`.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl HttpRequest {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The first and the last byte of `Range`.
    pub fn range(&self) -> Option<(u64, u64)> {
        let (first, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// Fills bytes from an offset on.
pub type Fill = Arc<dyn Fn(u64, &mut [u8]) + Send + Sync>;

/// What is answered.
#[derive(Clone)]
pub struct HttpReply {
    /// The number.
    pub status: u16,
    /// Names and values, but for the length.
    pub headers: Vec<(String, String)>,
    /// From where to where the body is taken, and from what.
    pub start: u64,
    /// How many bytes that are.
    pub length: u64,
    /// The bytes of the whole.
    pub fill: Fill,
    /// The connection ends after so many bytes of the body.
    pub cut_after: Option<u64>,
    /// The length that is told: the true one, another, or none.
    pub told_length: Option<u64>,
    /// After so many bytes of the body nothing comes any more, and the connection stays.
    pub stalls_after: Option<u64>,
}

impl HttpReply {
    /// These bytes.
    pub fn bytes(status: u16, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        let fill = move |offset: u64, to: &mut [u8]| {
            to.copy_from_slice(&bytes[offset as usize..offset as usize + to.len()]);
        };
        Self::filled(status, length, Arc::new(fill))
    }

    /// So many bytes that are made up.
    pub fn filled(status: u16, length: u64, fill: Fill) -> Self {
        Self {
            status,
            headers: Vec::new(),
            start: 0,
            length,
            fill,
            cut_after: None,
            told_length: Some(length),
            stalls_after: None,
        }
    }

    /// The same with one more header.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// What is asked for of it, as a server does that knows ranges.
    pub fn in_range(mut self, request: &HttpRequest) -> Self {
        let Some((first, last)) = request.range() else {
            return self;
        };
        let (total, end) = (self.length, self.length.min(last + 1));
        if first >= total {
            let range = format!("bytes */{total}");
            return Self::bytes(416, "").with("Content-Range", range);
        }
        self.status = 206;
        (self.start, self.length) = (first, end - first);
        self.told_length = Some(self.length);
        self.with(
            "Content-Range",
            format!("bytes {first}-{}/{total}", end - 1),
        )
    }

    /// Sends on to another place.
    pub fn redirect(place: impl ToString) -> Self {
        Self::bytes(302, "elsewhere").with("Location", place)
    }
}

type Handler = dyn Fn(&HttpRequest) -> HttpReply + Send + Sync;

/// A server on a port of this machine. It ends when it is dropped.
pub struct HttpServer {
    port: u16,
    state: Arc<ServerState>,
}

struct ServerState {
    handler: Box<Handler>,
    limit: Option<RateLimit>,
    requests: Mutex<Vec<HttpRequest>>,
    asked: Condvar,
    /// How many connections there were.
    accepted: AtomicUsize,
    /// Those that there are, by their numbers.
    open: Mutex<BTreeMap<usize, TcpStream>>,
    ended: AtomicBool,
}

impl HttpServer {
    /// Answers with what `handler` gives.
    pub fn start(handler: impl Fn(&HttpRequest) -> HttpReply + Send + Sync + 'static) -> Self {
        Self::limited(None, handler)
    }

    /// The same, as fast as a network of so many bytes a second, for all connections together.
    pub fn limited(
        rate: Option<u64>,
        handler: impl Fn(&HttpRequest) -> HttpReply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(ServerState {
            handler: Box::new(handler),
            limit: rate.map(RateLimit::new),
            requests: Mutex::default(),
            asked: Condvar::new(),
            accepted: AtomicUsize::new(0),
            open: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&of_thread);
                let number = state.accepted.fetch_add(1, Ordering::Relaxed);
                let open = stream.try_clone().unwrap();
                state.open.lock().unwrap().insert(number, open);
                thread::spawn(move || {
                    state.serve(&stream);
                    state.open.lock().unwrap().remove(&number);
                });
            }
        });
        Self { port, state }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without a `/` at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// Waits until something is asked for that is meant.
    pub fn wait_for(&self, meant: impl Fn(&HttpRequest) -> bool) {
        let requests = self.state.requests.lock().unwrap();
        let none = |requests: &mut Vec<HttpRequest>| !requests.iter().any(&meant);
        drop(self.state.asked.wait_while(requests, none).unwrap());
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes up who waits for a connection, and who is in the middle of one.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        for stream in mem::take(&mut *self.state.open.lock().unwrap()).into_values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl ServerState {
    /// One connection, request by request.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read_request(&mut reader) {
            self.requests.lock().unwrap().push(request.clone());
            self.asked.notify_all();
            let reply = (self.handler)(&request);
            let has_body = request.method != "HEAD";
            match write_reply(stream, &reply, has_body, self.limit.as_ref()) {
                Ok(true) => {}
                _ => break,
            }
        }
        drop(stream.shutdown(Shutdown::Both));
    }
}

/// How fast a server sends.
struct RateLimit {
    /// In bytes a second.
    rate: f64,
    /// When all has been sent that was promised.
    free: Mutex<Instant>,
}

impl RateLimit {
    fn new(rate: u64) -> Self {
        Self {
            rate: rate as f64,
            free: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes more may have been sent.
    fn wait_for(&self, bytes: u64) {
        let mut free = self.free.lock().unwrap();
        let now = Instant::now();
        let start = (*free).max(now.checked_sub(BURST).unwrap_or(now));
        *free = start + Duration::from_secs_f64(bytes as f64 / self.rate);
        let left = free.saturating_duration_since(now);
        drop(free);
        thread::sleep(left);
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<HttpRequest>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    Ok(Some(HttpRequest {
        method,
        target,
        headers,
    }))
}

/// Whether the connection is to stay.
fn write_reply(
    stream: &TcpStream,
    reply: &HttpReply,
    has_body: bool,
    limit: Option<&RateLimit>,
) -> io::Result<bool> {
    let mut out = BufWriter::with_capacity(PIECE, stream);
    write!(out, "HTTP/1.1 {} Said\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    match reply.told_length {
        Some(length) => write!(out, "Content-Length: {length}\r\n\r\n")?,
        None => write!(out, "Connection: close\r\n\r\n")?,
    }
    if !has_body {
        out.flush()?;
        return Ok(reply.told_length.is_some());
    }
    let all = reply.length;
    let sent = all
        .min(reply.cut_after.unwrap_or(all))
        .min(reply.stalls_after.unwrap_or(all));
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    while done < sent {
        let length = (sent - done).min(PIECE as u64) as usize;
        (reply.fill)(reply.start + done, &mut piece[..length]);
        if let Some(limit) = limit {
            limit.wait_for(length as u64);
        }
        out.write_all(&piece[..length])?;
        done += length as u64;
    }
    out.flush()?;
    if reply.stalls_after.is_some() {
        // Until the other side, or the server, ends it.
        (&*stream).read_exact(&mut [0])?;
    }
    let is_whole = sent == all && reply.told_length == Some(all);
    Ok(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nor faster by two connections.
    #[test]
    fn a_limited_server_is_not_faster() {
        let limit = RateLimit::new(10 << 20);
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..16).for_each(|_| limit.wait_for(64 << 10)));
            }
        });
        assert!(started.elapsed() >= Duration::from_millis(200) - BURST);
    }
}
