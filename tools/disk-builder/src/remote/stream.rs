//! The bytes of a model's files, read once and in order while they are on their way.
//!
//! Fetchers bring parts of files, side by side; one thread takes all files' digests, in order. What
//! reads is the engine, through [`RemoteStream::read_exact_at`].

use std::{
    collections::BTreeMap,
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use model_disk::Interrupted;
use ureq::http::{HeaderMap, header};

use super::{
    RemoteModel,
    client::{Client, FailedTry, HttpAnswer, failed},
    digest::ContentHasher,
    error::FetchError,
    retries::Retries,
    url::Url,
    window::{FetchWindow, FilePart, PIECE},
};

/// How many requests are made side by side.
const FETCHERS: usize = 8;

/// Of how many files is kept where they really are: as many as are on their way.
const MAX_PLACES: usize = 2 * FETCHERS;

/// Files on their way. When it is dropped, what is still on its way is given up.
pub(crate) struct RemoteStream {
    shared: Arc<StreamState>,
}

/// The start of a file that need not come: all of it, or whole pieces.
#[derive(Clone, Debug)]
pub(crate) struct KeptStart {
    /// How many bytes it has.
    pub(crate) bytes: u64,
    /// Has taken them.
    pub(crate) hasher: ContentHasher,
}

/// Those of files, by their places in the list.
pub(crate) type KeptStarts = BTreeMap<usize, KeptStart>;

struct StreamState {
    model: Arc<RemoteModel>,
    window: FetchWindow,
    kept: KeptStarts,
    /// Where files are to which others lead.
    places: Mutex<BTreeMap<usize, Url>>,
}

impl RemoteStream {
    /// Has the files of a model come, but for what is `kept`.
    pub(crate) fn start(model: &Arc<RemoteModel>, kept: &KeptStarts) -> Self {
        let files = model.files().iter().enumerate();
        let start = |place| kept.get(&place).map_or(0, |kept| kept.bytes);
        let coming = files.map(|(place, file)| start(place)..file.size);
        let shared = Arc::new(StreamState {
            model: Arc::clone(model),
            window: FetchWindow::new(coming.collect()),
            kept: kept.clone(),
            places: Mutex::default(),
        });
        let start = |work: fn(&StreamState)| {
            let of_thread = Arc::clone(&shared);
            // They end when the stream is dropped, or when all is there.
            let started = thread::Builder::new().spawn(move || work(&of_thread));
            if let Err(error) = started {
                shared.window.fail(FetchError::Threads(error));
            }
        };
        start(StreamState::check);
        for _ in 0..FETCHERS {
            start(StreamState::fetch);
        }
        Self { shared }
    }

    /// Fills `buf` with the bytes from `start` on of the file with this place in the list. Each byte
    /// can be read once, and by about the order of the files: see [`FetchWindow`].
    pub(crate) fn read_exact_at(
        &self,
        file: usize,
        start: u64,
        buf: &mut [u8],
    ) -> Result<(), Arc<FetchError>> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = start + done as u64;
            let first = at - at % PIECE;
            let piece = self.shared.piece(file, first)?;
            let mut bytes = piece.get((at - first) as usize..).unwrap_or_default();
            // From memory, it does not fail.
            let count = bytes.read(rest).unwrap_or_default();
            // Its memory can be used again only if nobody holds it.
            drop(piece);
            self.shared.window.was_read(file, first, count as u64);
            done += count;
        }
        Ok(())
    }

    /// Nobody will read to the end: whoever waits gets an error.
    pub(crate) fn give_up(&self) {
        self.shared.window.fail(Interrupted.into());
    }

    /// Waits until all files have been checked.
    pub(crate) fn finish(&self) -> Result<(), Arc<FetchError>> {
        let go_on = || Ok(self.shared.client().check_stopped()?);
        self.shared.window.wait_until_checked(go_on)
    }
}

impl Drop for RemoteStream {
    fn drop(&mut self) {
        self.shared.client().close();
        self.give_up();
    }
}

/// What a fetcher has of a file.
struct Fetching {
    part: FilePart,
    /// The first byte that is not there.
    at: u64,
    /// Where that goes; as long as the whole piece.
    piece: Vec<u8>,
    retries: Retries,
}

impl StreamState {
    fn client(&self) -> &Client {
        self.model.client()
    }

    fn piece(&self, file: usize, start: u64) -> Result<Arc<Vec<u8>>, Arc<FetchError>> {
        let go_on = || Ok(self.client().check_stopped()?);
        self.window.piece(file, start, go_on)
    }

    /// Takes the digest of each file, in order.
    fn check(&self) {
        for (index, file) in self.model.files().iter().enumerate() {
            let expected = self.model.digest(index);
            let kept = self.kept.get(&index).cloned();
            let is_from_earlier = kept.is_some();
            let KeptStart { bytes, mut hasher } = kept.unwrap_or_else(|| KeptStart {
                bytes: 0,
                hasher: expected.hasher(file.size),
            });
            for start in (bytes..file.size).step_by(PIECE as usize) {
                // Whoever reads gets the error.
                let Ok(piece) = self.piece(index, start) else {
                    return;
                };
                hasher.update(&piece);
                drop(piece);
                self.window.was_checked(index, start);
            }
            let found = hasher.finish();
            if found != expected {
                let path = file.path.clone();
                self.window.fail(if is_from_earlier {
                    FetchError::Kept { path }
                } else {
                    FetchError::Content {
                        path,
                        expected,
                        found,
                    }
                });
                return;
            }
        }
        self.window.all_checked();
    }

    /// Brings parts as long as there are any.
    fn fetch(&self) {
        while let Some(part) = self.window.claim() {
            if let Err(error) = self.fetch_part(part) {
                self.window.fail(error);
            }
        }
    }

    fn fetch_part(&self, part: FilePart) -> Result<(), FetchError> {
        let mut fetching = Fetching {
            at: part.bytes.start,
            piece: Vec::new(),
            part,
            retries: Retries::default(),
        };
        while let Err(failed) = self.try_part(&mut fetching) {
            self.client().pause(failed, &mut fetching.retries)?;
        }
        Ok(())
    }

    /// Goes on with a part where it is, and with those after it where the file comes as a whole.
    fn try_part(&self, fetching: &mut Fetching) -> Result<(), FailedTry> {
        let file = fetching.part.file;
        let mut incoming = self.open(fetching)?;
        loop {
            self.read_part(fetching, &mut incoming)?;
            let next = if self.window.is_whole(file) {
                self.window.claim_after(file)
            } else {
                None
            };
            let Some(next) = next else {
                incoming.finish();
                return Ok(());
            };
            fetching.part = next;
        }
    }

    /// Reads to the end of a part.
    fn read_part(&self, fetching: &mut Fetching, incoming: &mut Incoming) -> Result<(), FailedTry> {
        let Fetching {
            part,
            at,
            piece,
            retries,
        } = fetching;
        while *at < part.bytes.end {
            let within = *at % PIECE;
            if within == 0 && piece.is_empty() {
                *piece = self.window.memory(PIECE.min(part.bytes.end - *at));
            }
            let rest = piece.get_mut(within as usize..).unwrap_or_default();
            let length = rest.len();
            let count = incoming.read(rest)?;
            // Where nobody says how long it is, a connection that was cut looks like the end, once.
            if count == 0 && incoming.ends_where_it_ends && retries.has_failed() {
                return Err(self.wrong_length(part.file, *at));
            } else if count == 0 {
                return Err(incoming.ended());
            }
            // Or else it is known how long it is.
            let is_end = *at + count as u64 == self.size(part.file);
            if incoming.ends_where_it_ends && is_end && incoming.read(&mut [0])? > 0 {
                let found = self.size(part.file) + 1;
                return Err(self.wrong_length(part.file, found));
            }
            retries.progress();
            *at += count as u64;
            if count == length {
                let whole = std::mem::take(piece);
                self.window.put(part.file, *at - whole.len() as u64, whole);
            }
        }
        Ok(())
    }

    /// Asks for what is missing of a part.
    fn open(&self, fetching: &Fetching) -> Result<Incoming, FailedTry> {
        let (file, size) = (fetching.part.file, self.size(fetching.part.file));
        let range = fetching.at..fetching.part.bytes.end;
        let answer = self.ask(file, (range != (0..size)).then_some(&range))?;
        if answer.status == 200 {
            if let Some(length) = answer.length().filter(|length| *length != size) {
                return Err(self.wrong_length(file, length));
            }
            if range.end < size {
                self.window.know_ranges(file, false);
            }
            let mut incoming = Incoming::of(answer, true);
            incoming.pass_over(range.start)?;
            return Ok(incoming);
        }
        let sent = SentRange::of(&answer.headers);
        match sent.and_then(|sent| sent.total) {
            Some(total) if total != size => return Err(self.wrong_length(file, total)),
            _ => {}
        }
        if answer.status != 206 || sent.and_then(|sent| sent.start) != Some(range.start) {
            return Err(FailedTry::Final(FetchError::OtherRange(answer.url)));
        }
        self.window.know_ranges(file, true);
        Ok(Incoming::of(answer, false))
    }

    /// Asks where the file was the last time; where it is not there any more, where it should be.
    fn ask(&self, file: usize, range: Option<&Range<u64>>) -> Result<HttpAnswer, FailedTry> {
        let known = self.places().get(&file).cloned();
        if let Some(place) = known {
            match self.client().ask(&place, range) {
                Err(FailedTry::Final(_)) => self.places().remove(&file),
                answer => return answer,
            };
        }
        let url = self.model.url(file).map_err(FailedTry::Final)?;
        let answer = self.client().ask(&url, range)?;
        if answer.url != url {
            let mut places = self.places();
            places.insert(file, answer.url.clone());
            if places.len() > MAX_PLACES {
                places.pop_first();
            }
        }
        Ok(answer)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Url>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self, file: usize) -> u64 {
        self.model.files().get(file).map_or(0, |file| file.size)
    }

    fn wrong_length(&self, file: usize, found: u64) -> FailedTry {
        FailedTry::Final(self.model.wrong_length(file, found))
    }
}

/// Bytes that a server sends.
struct Incoming {
    url: Url,
    reader: Box<dyn Read>,
    /// The server has said how long it is.
    has_length: bool,
    /// Nobody has said how long it is, and it is the whole file.
    ends_where_it_ends: bool,
}

impl Incoming {
    fn of(answer: HttpAnswer, is_whole: bool) -> Self {
        let has_length = answer.length().is_some();
        Self {
            url: answer.url.clone(),
            reader: Box::new(answer.into_reader()),
            has_length,
            ends_where_it_ends: is_whole && !has_length,
        }
    }

    /// Meets the end, after which the connection can be used again. What does not end where it says is
    /// left alone.
    fn finish(mut self) {
        if self.has_length {
            let _ = self.reader.read(&mut [0]);
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, FailedTry> {
        loop {
            match self.reader.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| failed(self.url.clone(), error.into())),
            }
        }
    }

    /// Reads so many bytes that nobody needs.
    fn pass_over(&mut self, bytes: u64) -> Result<(), FailedTry> {
        let passed = io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink());
        match passed.map_err(|error| failed(self.url.clone(), error.into()))? {
            passed if passed == bytes => Ok(()),
            _ => Err(self.ended()),
        }
    }

    /// There should be more.
    fn ended(&self) -> FailedTry {
        let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
        failed(self.url.clone(), ended.into())
    }
}

/// What a server says of the bytes that it sends, in `Content-Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SentRange {
    /// The first of them; none, where it sends none.
    start: Option<u64>,
    /// How many the whole has.
    total: Option<u64>,
}

impl SentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(header::CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        Some(Self {
            start: range
                .split_once('-')
                .and_then(|(start, _)| start.parse().ok()),
            total: total.parse().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_sent() {
        let range = |start, total| Some(SentRange { start, total });
        for (text, expected) in [
            ("bytes 5-9/10", range(Some(5), Some(10))),
            ("bytes 5-9/*", range(Some(5), None)),
            ("bytes */10", range(None, Some(10))),
            ("items 5-9/10", None),
            ("bytes", None),
        ] {
            assert_eq!(SentRange::parse(text), expected, "{text}");
        }
    }
}
