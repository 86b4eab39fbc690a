//! Reading a model into the page cache before it is asked for: through dm-verity, in parallel,
//! in path order, and no more than there is memory for.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};

use crate::{log, memory};
use model_disk::{Escaped, FileError};

/// What a thread takes at a time, in bytes.
const CHUNK: u64 = 8 << 20;

/// How much it reads at a time, in bytes: it stays in the processor's cache.
const BUFFER: usize = 256 << 10;

/// How many threads read: more than processors, since they wait for the disk too.
const THREADS_PER_CPU: usize = 2;

/// How often the progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

/// How long a thread may take to stop. One that reads from a device that does not answer is left:
/// it goes with the program.
const STOP: Duration = Duration::from_secs(1);

/// A prefetch that goes on in the background. Dropped, it is stopped.
pub(crate) struct Prefetch {
    shared: Arc<Shared>,
    /// Disconnected when all threads have ended.
    ended: mpsc::Receiver<()>,
}

/// What is known of the threads.
#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    /// How many bytes they have read.
    read: AtomicU64,
    /// How many files and folders they may not read.
    denied: AtomicU64,
}

/// What the threads do.
struct Work<'a> {
    folder: &'a OwnedFd,
    shared: &'a Shared,
    chunks: Vec<Chunk>,
    /// How many bytes of the chunks there is memory for.
    bytes: u64,
    next: AtomicUsize,
    /// How many bytes of chunks have come whole.
    done: AtomicU64,
    started: Instant,
    /// When progress was told last, in milliseconds after the start.
    told: AtomicU64,
}

/// A part of a file.
struct Chunk {
    path: Arc<Path>,
    offset: u64,
    length: u64,
}

impl Prefetch {
    /// Starts to read the files below a folder, which is open for that.
    pub(crate) fn start(folder: OwnedFd) -> Self {
        let shared = Arc::<Shared>::default();
        let (sender, ended) = mpsc::channel();
        let threads = Arc::clone(&shared);
        let thread = thread::Builder::new().spawn(move || {
            read_all(&folder, &threads);
            // Whoever waits for the end wants to unmount.
            drop(folder);
            drop(sender);
        });
        if let Err(error) = thread {
            log::warn(format_args!("prefetch: cannot start a thread: {error}"));
        }
        Self { shared, ended }
    }

    /// Waits until everything is read, or nothing has been for a while.
    pub(crate) fn finish(self, patience: Duration) {
        let mut before = 0;
        while !self.has_ended(patience) {
            let read = self.shared.read.load(Ordering::Relaxed);
            if read == before {
                log::warn(format_args!(
                    "prefetch: given up: the device does not answer"
                ));
                return;
            }
            before = read;
        }
    }

    fn has_ended(&self, wait: Duration) -> bool {
        self.ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.has_ended(STOP);
    }
}

/// Reads the files below a folder, in threads.
fn read_all(folder: &OwnedFd, shared: &Shared) {
    let files = list(folder, shared).unwrap_or_else(|error| {
        log::warn(format_args!("prefetch: {error}"));
        Vec::new()
    });
    let total: u64 = files.iter().map(|(_, length)| length).sum();
    let available = memory::available_for_cache();
    let chunks = cut(files, available.unwrap_or(u64::MAX));
    let bytes = chunks.iter().map(|chunk| chunk.length).sum();
    match available {
        Some(available) if bytes < total => log::warn(format_args!(
            "prefetch: {bytes} of {total} bytes, as {available} bytes of memory are available"
        )),
        Some(_) => log::info(format_args!("prefetch: {total} bytes")),
        None => log::info(format_args!(
            "prefetch: {total} bytes; free memory is unknown"
        )),
    }
    let work = Work {
        folder,
        shared,
        chunks,
        bytes,
        next: AtomicUsize::new(0),
        done: AtomicU64::new(0),
        started: Instant::now(),
        told: AtomicU64::new(0),
    };
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..cpus * THREADS_PER_CPU {
            let thread = thread::Builder::new().spawn_scoped(scope, || work.run());
            if thread.is_err() {
                // Those that there are read it all, in more time.
                break;
            }
        }
        work.run();
    });
    let denied = shared.denied.load(Ordering::Relaxed);
    if denied > 0 {
        log::warn(format_args!(
            "prefetch: left out {denied} files and folders that are not for everybody to read: the \
             sidecar has no rights of its own"
        ));
    }
}

impl Work<'_> {
    fn run(&self) {
        let mut buffer = vec![0; BUFFER];
        while !self.shared.stopped.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = self.chunks.get(index) else {
                return;
            };
            match self.read(chunk, &mut buffer) {
                Ok(()) if self.shared.stopped.load(Ordering::Relaxed) => return,
                Ok(()) => {
                    self.tell(self.done.fetch_add(chunk.length, Ordering::Relaxed) + chunk.length);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.shared
                        .denied
                        .fetch_add(u64::from(chunk.offset == 0), Ordering::Relaxed);
                    self.tell(self.done.fetch_add(chunk.length, Ordering::Relaxed) + chunk.length);
                }
                Err(error) => {
                    // The rest may be well, but a reader should not wait for it.
                    if !self.shared.stopped.swap(true, Ordering::Relaxed) {
                        log::warn(format_args!(
                            "prefetch: {}: {error}",
                            Escaped::path(&chunk.path)
                        ));
                    }
                    return;
                }
            }
        }
    }

    /// Reads a chunk, or a part of it if it is told to stop.
    #[expect(
        clippy::indexing_slicing,
        reason = "no more is wanted than the buffer holds"
    )]
    fn read(&self, chunk: &Chunk, buffer: &mut [u8]) -> io::Result<()> {
        let file = File::from(openat(self.folder, &*chunk.path, FILE, Mode::empty())?);
        let mut offset = chunk.offset;
        let end = chunk.offset + chunk.length;
        while offset < end && !self.shared.stopped.load(Ordering::Relaxed) {
            let wanted = (end - offset).min(buffer.len() as u64) as usize;
            match file.read_at(&mut buffer[..wanted], offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => {
                    offset += length as u64;
                    self.shared.read.fetch_add(length as u64, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Tells the progress now and then, and the end.
    fn tell(&self, done: u64) {
        let time = self.started.elapsed();
        if done == self.bytes {
            log::info(format_args!(
                "prefetch: done, {} bytes in {:.1} s",
                self.shared.read.load(Ordering::Relaxed),
                time.as_secs_f64()
            ));
            return;
        }
        let now = time.as_millis() as u64;
        let told = self.told.load(Ordering::Relaxed);
        let due = now - told.min(now) >= PROGRESS.as_millis() as u64;
        let order = Ordering::Relaxed;
        if due && self.told.compare_exchange(told, now, order, order).is_ok() {
            log::info(format_args!("prefetch: {done} of {} bytes", self.bytes));
        }
    }
}

const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The files below a folder with their lengths, in path order.
fn list(folder: &OwnedFd, shared: &Shared) -> Result<Vec<(PathBuf, u64)>, FileError> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(".")];
    while let Some(path) = folders.pop() {
        match list_one(folder, &path, &mut folders, &mut files) {
            Err(Errno::ACCESS) => {
                shared.denied.fetch_add(1, Ordering::Relaxed);
            }
            result => result.map_err(FileError::new("list", &path))?,
        }
    }
    files.sort();
    Ok(files)
}

fn list_one(
    top: &OwnedFd,
    path: &Path,
    folders: &mut Vec<PathBuf>,
    files: &mut Vec<(PathBuf, u64)>,
) -> Result<(), Errno> {
    let folder = openat(top, path, FILE.union(OFlags::DIRECTORY), Mode::empty())?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let found = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => folders.push(path),
            FileType::RegularFile => files.push((path, found.st_size as u64)),
            _ => {}
        }
    }
    Ok(())
}

/// Cuts files into chunks, until no more memory is available.
fn cut(files: Vec<(PathBuf, u64)>, mut available: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (path, size) in files {
        let path: Arc<Path> = path.into();
        let mut offset = 0;
        while offset < size {
            let length = (size - offset).min(CHUNK);
            if length > available {
                return chunks;
            }
            available -= length;
            chunks.push(Chunk {
                path: Arc::clone(&path),
                offset,
                length,
            });
            offset += length;
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(folder: &Path) -> OwnedFd {
        File::open(folder).unwrap().into()
    }

    #[test]
    fn files_in_path_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for (name, size) in [("c", 1), ("b/2", 2), ("a", 3), ("b/1", 4)] {
            fs::write(folder.path().join(name), vec![0; size]).unwrap();
        }
        let files = list(&open(folder.path()), &Shared::default()).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|(path, size)| (path.to_str().unwrap(), *size))
            .collect();
        assert_eq!(names, [("./a", 3), ("./b/1", 4), ("./b/2", 2), ("./c", 1)]);
    }

    #[test]
    fn chunks_cover_files_as_far_as_memory_is_available() {
        let files = || vec![("a".into(), CHUNK + 1), ("b".into(), 0), ("c".into(), 5)];
        let lengths = |available| -> Vec<_> {
            cut(files(), available)
                .iter()
                .map(|chunk| (chunk.offset, chunk.length))
                .collect()
        };
        assert_eq!(lengths(u64::MAX), [(0, CHUNK), (CHUNK, 1), (0, 5)]);
        assert_eq!(lengths(CHUNK + 5), [(0, CHUNK), (CHUNK, 1)]);
        assert_eq!(lengths(CHUNK - 1), []);
    }

    #[test]
    fn everything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), vec![1; 3 << 20]).unwrap();
        fs::write(folder.path().join("b"), b"").unwrap();
        let prefetch = Prefetch::start(open(folder.path()));
        let shared = Arc::clone(&prefetch.shared);
        prefetch.finish(Duration::from_secs(600));
        assert_eq!(shared.read.load(Ordering::Relaxed), 3 << 20);
    }
}
