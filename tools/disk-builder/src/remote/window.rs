//! What of a model is on its way: pieces of its files that follow each other, in bounded memory.
//! Fetchers claim parts in the order of the model, and put the pieces of them there; each piece goes
//! when it has been read and checked, which makes room for the next part.
//!
//! Nobody waits for ever. Who reads does so in about the order of the model: the first piece of all
//! is one that somebody asks for now, and its part has been claimed.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::error::FetchError;

/// How many bytes a piece has; only the last one of a file has fewer.
pub(crate) const PIECE: u64 = 1 << 20;

/// How many bytes are asked for at once, at most.
const PART: u64 = 8 << 20;

/// How many bytes are on their way, at most: with those of 32 workers, and of a tree over 1 TiB,
/// all memory stays below 256 MiB.
const MAX_BYTES: u64 = 96 << 20;

/// How many pieces, which are small where files are.
const MAX_PIECES: usize = 4096;

/// How often who waits looks whether to go on.
const POLL: Duration = Duration::from_millis(100);

/// The pieces that are on their way.
pub(super) struct FetchWindow {
    /// What is to come of each file, from the start of a piece to its end.
    files: Vec<Range<u64>>,
    state: Mutex<WindowState>,
    arrived: Condvar,
    room: Condvar,
}

/// A stretch of a file that one fetcher brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePart {
    pub(super) file: usize,
    pub(super) bytes: Range<u64>,
}

#[derive(Default)]
struct WindowState {
    /// The first byte that nobody has claimed: of which file, and where.
    next: (usize, u64),
    /// Whether the server gives ranges of the file at `next`: none, as long as that is not known.
    ranges: Option<bool>,
    pieces: BTreeMap<(usize, u64), Piece>,
    /// Of all pieces, there already or not.
    bytes: u64,
    /// Memory of pieces that went.
    free: Vec<Vec<u8>>,
    checked: bool,
    failure: Option<Arc<FetchError>>,
}

struct Piece {
    bytes: Option<Arc<Vec<u8>>>,
    length: u64,
    unread: u64,
    checked: bool,
}

impl FetchWindow {
    /// For what is to come of each file: from the start of a piece to its end.
    pub(super) fn new(files: Vec<Range<u64>>) -> Self {
        let window = Self {
            files,
            state: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
        };
        window.lock().next = window.start_from(0);
        window
    }

    fn lock(&self) -> MutexGuard<'_, WindowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part to be fetched, when there is room for it. None when there is none left.
    pub(super) fn claim(&self) -> Option<FilePart> {
        self.claim_of(None)
    }

    /// The part after one that was claimed, of a file that a server gives only as a whole.
    pub(super) fn claim_after(&self, file: usize) -> Option<FilePart> {
        self.claim_of(Some(file))
    }

    fn claim_of(&self, whole: Option<usize>) -> Option<FilePart> {
        let mut state = self.lock();
        loop {
            let (file, start) = state.next;
            let all = self.files.get(file)?;
            if state.failure.is_some() || whole.is_some_and(|whole| whole != file) {
                return None;
            }
            let end = all.end.min(start + PART);
            let has_room = state.pieces.is_empty()
                || (state.bytes + (end - start) <= MAX_BYTES && state.pieces.len() < MAX_PIECES);
            // The first part of a file tells whether others can be had besides.
            let is_free = start == all.start || whole.is_some() || state.ranges == Some(true);
            if has_room && is_free {
                let bytes = start..end;
                state.claim(file, &bytes);
                if end == all.end {
                    state.next = self.start_from(file + 1);
                    state.ranges = None;
                }
                // Others may go on from there.
                self.room.notify_all();
                return Some(FilePart { file, bytes });
            }
            state = self
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The first byte that is to come, of this file or one after it.
    fn start_from(&self, file: usize) -> (usize, u64) {
        let mut files = self.files.iter().enumerate().skip(file);
        let next = files.find(|(_, bytes)| !bytes.is_empty());
        next.map_or((self.files.len(), 0), |(file, bytes)| (file, bytes.start))
    }

    /// What the first part of a file has shown: whether the server gives ranges of it.
    pub(super) fn know_ranges(&self, file: usize, ranges: bool) {
        let mut state = self.lock();
        if state.next.0 == file && state.ranges.is_none() {
            state.ranges = Some(ranges);
            self.room.notify_all();
        }
    }

    /// Whether a server gives this file only as a whole, as far as is known.
    pub(super) fn is_whole(&self, file: usize) -> bool {
        let state = self.lock();
        state.next.0 == file && state.ranges == Some(false)
    }

    /// Memory for a piece of so many bytes; what is in it is of no meaning. A short piece gets its
    /// own: many of them count as few bytes, and would each hold the memory of a long one.
    pub(super) fn memory(&self, length: u64) -> Vec<u8> {
        let free = (length == PIECE).then(|| self.lock().free.pop());
        free.flatten().unwrap_or_else(|| vec![0; length as usize])
    }

    /// A piece is there, of a part that was claimed.
    pub(super) fn put(&self, file: usize, start: u64, bytes: Vec<u8>) {
        if let Some(piece) = self.lock().pieces.get_mut(&(file, start)) {
            piece.bytes = Some(Arc::new(bytes));
        }
        self.arrived.notify_all();
    }

    /// The piece of a file that starts here, when it is there. It must not have been read and
    /// checked before. Looks now and then whether to `go_on` waiting.
    pub(super) fn piece(
        &self,
        file: usize,
        start: u64,
        go_on: impl Fn() -> Result<(), FetchError>,
    ) -> Result<Arc<Vec<u8>>, Arc<FetchError>> {
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(Arc::clone(failure));
            }
            let piece = state.pieces.get(&(file, start));
            if let Some(bytes) = piece.and_then(|piece| piece.bytes.as_ref()) {
                return Ok(Arc::clone(bytes));
            }
            go_on()?;
            let waited = self.arrived.wait_timeout(state, POLL);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// So many more bytes of a piece have been read.
    pub(super) fn was_read(&self, file: usize, start: u64, bytes: u64) {
        self.used(file, start, |piece| {
            piece.unread = piece.unread.saturating_sub(bytes)
        });
    }

    /// A piece has been checked.
    pub(super) fn was_checked(&self, file: usize, start: u64) {
        self.used(file, start, |piece| piece.checked = true);
    }

    fn used(&self, file: usize, start: u64, change: impl FnOnce(&mut Piece)) {
        let mut state = self.lock();
        let Some(piece) = state.pieces.get_mut(&(file, start)) else {
            return;
        };
        change(piece);
        if piece.unread > 0 || !piece.checked {
            return;
        }
        if let Some(piece) = state.pieces.remove(&(file, start)) {
            state.bytes -= piece.length;
            let memory = piece.bytes.and_then(Arc::into_inner);
            state
                .free
                .extend(memory.filter(|memory| memory.capacity() as u64 == PIECE));
        }
        drop(state);
        self.room.notify_all();
    }

    /// All files are what they should be.
    pub(super) fn all_checked(&self) {
        self.lock().checked = true;
        self.arrived.notify_all();
    }

    /// Waits until all files have been checked.
    pub(super) fn wait_until_checked(
        &self,
        go_on: impl Fn() -> Result<(), FetchError>,
    ) -> Result<(), Arc<FetchError>> {
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(Arc::clone(failure));
            }
            if state.checked {
                return Ok(());
            }
            go_on()?;
            let waited = self.arrived.wait_timeout(state, POLL);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// It ends here for all. The first reason is the one that counts.
    pub(super) fn fail(&self, error: FetchError) {
        self.lock().failure.get_or_insert(Arc::new(error));
        self.arrived.notify_all();
        self.room.notify_all();
    }
}

impl WindowState {
    fn claim(&mut self, file: usize, bytes: &Range<u64>) {
        let mut start = bytes.start;
        while start < bytes.end {
            let length = PIECE.min(bytes.end - start);
            let piece = Piece {
                bytes: None,
                length,
                unread: length,
                checked: false,
            };
            self.pieces.insert((file, start), piece);
            start += length;
        }
        self.bytes += bytes.end - bytes.start;
        self.next = (file, bytes.end);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use model_disk::Interrupted;

    use super::*;

    fn part(file: usize, bytes: Range<u64>) -> Option<FilePart> {
        Some(FilePart { file, bytes })
    }

    fn whole(sizes: &[u64]) -> Vec<Range<u64>> {
        sizes.iter().map(|size| 0..*size).collect()
    }

    fn use_up(window: &FetchWindow, part: &FilePart) {
        for start in part.bytes.clone().step_by(PIECE as usize) {
            let length = PIECE.min(part.bytes.end - start);
            window.put(part.file, start, window.memory(length));
            window.was_read(part.file, start, length);
            window.was_checked(part.file, start);
        }
    }

    #[test]
    fn parts_follow_each_other_and_cover_all() {
        let window = FetchWindow::new(whole(&[0, 5, 0, PART + 7, 0]));
        assert_eq!(window.claim(), part(1, 0..5));
        assert_eq!(window.claim(), part(3, 0..PART));
        window.know_ranges(3, true);
        assert_eq!(window.claim(), part(3, PART..PART + 7));
        assert_eq!(window.claim(), None);
    }

    /// The first part of what is left tells of ranges, wherever it starts.
    #[test]
    fn what_is_there_does_not_come() {
        let rest = 3 * PIECE..3 * PIECE + PART + 1;
        let window = FetchWindow::new(vec![5..5, rest, PIECE..PIECE + 9]);
        assert_eq!(window.claim(), part(1, 3 * PIECE..3 * PIECE + PART));
        window.know_ranges(1, true);
        assert_eq!(
            window.claim(),
            part(1, 3 * PIECE + PART..3 * PIECE + PART + 1)
        );
        assert_eq!(window.claim(), part(2, PIECE..PIECE + 9));
        assert_eq!(window.claim(), None);
    }

    #[test]
    fn a_file_that_comes_as_a_whole_has_one_fetcher() {
        let window = FetchWindow::new(whole(&[3 * PART, 1]));
        assert_eq!(window.claim(), part(0, 0..PART));
        window.know_ranges(0, false);
        assert!(window.is_whole(0));
        thread::scope(|scope| {
            let other = scope.spawn(|| window.claim());
            assert_eq!(window.claim_after(0), part(0, PART..2 * PART));
            assert_eq!(window.claim_after(0), part(0, 2 * PART..3 * PART));
            assert_eq!(other.join().unwrap(), part(1, 0..1));
            assert_eq!(window.claim_after(0), None);
        });
    }

    /// A file of any size, through one that reads and one that fetches.
    #[test]
    fn memory_is_bounded() {
        let size = 40 * PART + 11;
        let window = FetchWindow::new(whole(&[size]));
        let mut claimed = vec![window.claim().unwrap()];
        window.know_ranges(0, true);
        while claimed.len() < (MAX_BYTES / PART) as usize {
            claimed.push(window.claim().unwrap());
        }
        thread::scope(|scope| {
            let waits = scope.spawn(|| window.claim());
            assert_eq!(window.lock().bytes, MAX_BYTES);
            use_up(&window, &claimed[0]);
            assert_eq!(waits.join().unwrap().unwrap().bytes.start, MAX_BYTES);
        });
        // What has gone is used again.
        assert_eq!(window.lock().free.len(), 1);
        assert_eq!(window.memory(PIECE).capacity() as u64, PIECE);
    }

    /// However small and large files follow each other.
    #[test]
    fn short_pieces_hold_no_more_than_they_count() {
        let window = FetchWindow::new(whole(&[PIECE, 1, PIECE]));
        use_up(&window, &window.claim().unwrap());
        let short = window.claim().unwrap();
        assert_eq!(short, part(1, 0..1).unwrap());
        assert_eq!(window.memory(1).capacity(), 1);
        assert_eq!(window.lock().free.len(), 1);
        window.memory(PIECE);
        assert!(window.lock().free.is_empty());
    }

    #[test]
    fn a_piece_goes_when_it_was_read_and_checked() {
        let window = FetchWindow::new(whole(&[10]));
        window.claim();
        window.put(0, 0, vec![7; 10]);
        window.was_read(0, 0, 4);
        window.was_checked(0, 0);
        let piece = window.piece(0, 0, || Ok(())).unwrap();
        assert_eq!(*piece, [7; 10]);
        window.was_read(0, 0, 6);
        let gone = window.piece(0, 0, || Err(Interrupted.into())).unwrap_err();
        assert!(matches!(*gone, FetchError::Interrupted(_)));
        assert_eq!(window.lock().bytes, 0);
    }

    #[test]
    fn the_first_failure_ends_it_for_all() {
        let window = FetchWindow::new(whole(&[PART + 1, 1]));
        window.claim();
        let failure = |status| FetchError::Status {
            url: crate::remote::url::Url::parse("http://x").unwrap(),
            status,
            said: String::new(),
        };
        thread::scope(|scope| {
            let fetcher = scope.spawn(|| window.claim());
            let reader = scope.spawn(|| window.piece(0, 0, || Ok(())).unwrap_err());
            let checker = scope.spawn(|| window.wait_until_checked(|| Ok(())).unwrap_err());
            window.fail(failure(500));
            window.fail(failure(501));
            assert_eq!(fetcher.join().unwrap(), None);
            for error in [reader.join().unwrap(), checker.join().unwrap()] {
                assert!(matches!(*error, FetchError::Status { status: 500, .. }));
            }
        });
    }
}
