//! Windows onto files: bytes of the page cache, without a copy.
//!
//! Who reads a mapped page that the file has lost, or that the disk cannot give, gets SIGBUS. Here
//! a zero page takes its place, and the window tells of it afterwards.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// How many windows there can be at a time.
const SLOTS: usize = 128;

/// A window that the signal handler knows.
struct Slot {
    /// Where it starts: 0 where the slot is free, [`TAKEN`] before it is known.
    start: AtomicUsize,
    /// Where it ends.
    end: AtomicUsize,
    /// A page of it could not be read.
    broken: AtomicBool,
}

const TAKEN: usize = 1;

static WINDOWS: [Slot; SLOTS] = [const {
    Slot {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        broken: AtomicBool::new(false),
    }
}; SLOTS];

/// What was done about SIGBUS before; None where the handler could not be set.
static PREVIOUS: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// Some bytes of a file, as they are in the page cache.
///
/// They are the file's own: who writes to the file changes them. What is made of them counts only
/// if the file is unchanged in the end, and if [`Window::check`] finds nothing.
#[derive(Debug)]
pub struct Window {
    map: NonNull<u8>,
    map_length: usize,
    /// Where the bytes start in the map, whose start is that of a page.
    skip: usize,
    length: usize,
    slot: usize,
}

// SAFETY: a window is memory that nobody else unmaps; it can be read and dropped by any thread.
unsafe impl Send for Window {}

impl Window {
    /// Shows `length` bytes (at least one) of a file from `offset` on, if all of them are in the
    /// page cache. None where they are not, or where they cannot be shown: then they have to be
    /// read.
    #[expect(
        clippy::indexing_slicing,
        reason = "a slot is an index that was found in the array"
    )]
    pub fn onto_cached(file: &File, offset: u64, length: usize) -> Option<Self> {
        let page = page_size()?;
        let skip = (offset % page as u64) as usize;
        let map_length = skip.checked_add(length)?.checked_next_multiple_of(page)?;
        let start = libc::off_t::try_from(offset - skip as u64).ok()?;
        let slot = take_slot()?;
        // SAFETY: a new map at a place of the kernel's choice touches no memory that is in use.
        let map = unsafe {
            libc::mmap(
                ptr::null_mut(),
                map_length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                start,
            )
        };
        let Some(map) = NonNull::new(map.cast::<u8>()).filter(|_| map != libc::MAP_FAILED) else {
            WINDOWS[slot].start.store(0, Ordering::Release);
            return None;
        };
        let window = Self {
            map,
            map_length,
            skip,
            length,
            slot,
        };
        let address = map.as_ptr() as usize;
        WINDOWS[slot].broken.store(false, Ordering::Relaxed);
        WINDOWS[slot]
            .end
            .store(address + map_length, Ordering::Relaxed);
        WINDOWS[slot].start.store(address, Ordering::Release);
        // Touching the pages maps sixteen at a time, which took half as long as MADV_POPULATE_READ.
        let cached = match cached_pages(file, start as u64, map_length as u64) {
            Some(pages) => pages == (map_length / page) as u64,
            None => window.is_resident(page),
        };
        cached.then_some(window)
    }

    /// Whether all pages are in the page cache, by mincore(2). It looks at each page alone, and
    /// says yes to whoever may not know.
    fn is_resident(&self, page: usize) -> bool {
        let mut pages = vec![0u8; self.map_length / page];
        // SAFETY: the range is the window's map, and there is one byte for each of its pages.
        let result = unsafe {
            libc::mincore(
                self.map.as_ptr().cast(),
                self.map_length,
                pages.as_mut_ptr(),
            )
        };
        result == 0 && pages.iter().all(|page| page & 1 == 1)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the map lives as long as `self`, and the handler keeps each page readable. The
        // bytes may change while they are read, as the type says; hashing takes them as they come.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(self.skip), self.length) }
    }

    /// An error where not all bytes that were read so far were the file's.
    #[expect(
        clippy::indexing_slicing,
        reason = "a slot is an index that was found in the array"
    )]
    pub fn check(&self) -> io::Result<()> {
        if WINDOWS[self.slot].broken.load(Ordering::Acquire) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }
}

impl Drop for Window {
    #[expect(
        clippy::indexing_slicing,
        reason = "a slot is an index that was found in the array"
    )]
    fn drop(&mut self) {
        WINDOWS[self.slot].start.store(0, Ordering::Release);
        // SAFETY: the map is this window's alone, and no reference to it outlives the window.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.map_length) };
    }
}

/// How many pages of a range of a file are in the page cache, by cachestat(2). None where the
/// kernel does not know it (before 6.5) or does not tell.
fn cached_pages(file: &File, offset: u64, length: u64) -> Option<u64> {
    // The same number on all architectures.
    const SYS_CACHESTAT: libc::c_long = 451;
    // `struct cachestat_range`, and `struct cachestat`, whose first field is the number.
    let range = [offset, length];
    let mut stat = [0u64; 5];
    // SAFETY: both structs are as large as the kernel has them, and outlive the call.
    let result = unsafe {
        libc::syscall(
            SYS_CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            stat.as_mut_ptr(),
            0,
        )
    };
    let [pages, ..] = stat;
    (result == 0).then_some(pages)
}

/// A free slot; None where all are taken or the handler cannot be set.
fn take_slot() -> Option<usize> {
    PREVIOUS.get_or_init(set_handler).as_ref()?;
    WINDOWS.iter().position(|slot| {
        slot.start
            .compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    })
}

fn page_size() -> Option<usize> {
    // SAFETY: sysconf takes a number and touches no memory of this process.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()
}

fn set_handler() -> Option<libc::sigaction> {
    // SAFETY: for a `struct sigaction`, zeros are valid: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut previous = action;
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both structs outlive the call, and the handler does only what a handler may.
    let result = unsafe { libc::sigaction(libc::SIGBUS, &action, &mut previous) };
    (result == 0).then_some(previous)
}

/// Puts a zero page in the place of one that cannot be read. A fault elsewhere is not ours: it
/// goes to whom it went before.
extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel gives a valid siginfo, and SIGBUS has an address in it.
    let address = unsafe { (*info).si_addr() } as usize;
    let window = WINDOWS.iter().find(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        start > TAKEN && (start..slot.end.load(Ordering::Relaxed)).contains(&address)
    });
    if let (Some(slot), Some(page)) = (window, page_size()) {
        slot.broken.store(true, Ordering::Release);
        // SAFETY: the page is one of a window's map, which stays mapped while it is read.
        let map = unsafe {
            libc::mmap(
                (address - address % page) as *mut libc::c_void,
                page,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if map != libc::MAP_FAILED {
            return;
        }
    }
    let Some(Some(previous)) = PREVIOUS.get() else {
        return;
    };
    if previous.sa_flags & libc::SA_SIGINFO != 0 && previous.sa_sigaction > 1 {
        // SAFETY: with SA_SIGINFO this is a handler of this form, which was set by whoever owns it.
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(previous.sa_sigaction) };
        handler(signal, info, context);
    } else {
        // The default: the read is tried again, and ends the process.
        // SAFETY: the struct is one that sigaction gave.
        unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Mutex, PoisonError},
    };

    use super::*;

    /// One test takes all slots.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn the_bytes_of_a_file() {
        let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let file = file(&bytes);
        for (offset, length) in [
            (0, 100_000),
            (0, 1),
            (4096, 8192),
            (513, 70_001),
            (99_999, 1),
        ] {
            let window = Window::onto_cached(&file, offset as u64, length).unwrap();
            assert_eq!(window.bytes(), &bytes[offset..offset + length]);
            window.check().unwrap();
        }
    }

    #[test]
    fn a_file_that_shrinks_under_the_window() {
        let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file(&[7; 1 << 20]);
        let window = Window::onto_cached(&file, 0, 1 << 20).unwrap();
        file.set_len(5000).unwrap();
        let read: Vec<u8> = window.bytes().to_vec();
        assert_eq!(read[..5000], [7; 5000]);
        assert!(read[8192..].iter().all(|byte| *byte == 0));
        window.check().unwrap_err();
        // The others are well.
        let other = Window::onto_cached(&file, 0, 5000).unwrap();
        assert_eq!(other.bytes(), [7; 5000]);
        other.check().unwrap();
    }

    #[test]
    fn what_is_not_in_the_file_is_not_shown() {
        let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file(&[7; 5000]);
        assert!(Window::onto_cached(&file, 8192, 1).is_none());
        assert!(Window::onto_cached(&file, 0, 9000).is_none());
        assert!(Window::onto_cached(&File::open("/dev/null").unwrap(), 0, 1).is_none());
        assert!(Window::onto_cached(&file, u64::MAX, 1).is_none());
        assert!(Window::onto_cached(&file, 0, usize::MAX).is_none());
    }

    #[test]
    fn there_is_an_end_to_windows() {
        let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let file = file(&[7; 4096]);
        let windows: Vec<_> = std::iter::from_fn(|| Window::onto_cached(&file, 0, 4096)).collect();
        assert!(windows.len() <= SLOTS);
        drop(windows);
        assert!(Window::onto_cached(&file, 0, 4096).is_some());
    }
}
