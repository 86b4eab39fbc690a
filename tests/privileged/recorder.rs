//! A device that keeps the order in which it was written to, and gives back what a disk holds
//! when the power goes at any moment: dm-log-writes.
//!
//! It counts a write as done only with the flush that comes after it, and all writes as lost that
//! none came after: no disk is worse. The log's format is in the kernel's
//! `drivers/md/dm-log-writes.c`: blocks of 512 bytes, first one that counts the entries, then each
//! entry (its place, its length, its flags), with the bytes that were written after it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    disk::Loop,
    run::{check, run},
};

const SECTOR: u64 = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
const NAME: &str = "recorder";

/// The device while it is written to. Dropped, it is removed.
pub(crate) struct Recorder {
    start: Vec<u8>,
    log: PathBuf,
    _device: Loop,
    _log: Loop,
}

/// What was written to a device.
pub(crate) struct Recording {
    start: Vec<u8>,
    entries: Vec<LogEntry>,
}

enum LogEntry {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Mark(String),
    /// A flush, or a discard, which a disk need not obey.
    Nothing,
}

impl Recorder {
    /// Records what is written to a device with what is in this file. The log goes beside it.
    pub(crate) fn over(image: &Path) -> Self {
        let start = fs::read(image).unwrap();
        let log = image.with_extension("log");
        File::create(&log).unwrap().set_len(256 << 20).unwrap();
        let devices = [Loop::new(image), Loop::new(&log)];
        let [device, log_device] = devices.each_ref().map(|device| device.path().display());
        let sectors = start.len() as u64 / SECTOR;
        let table = format!("0 {sectors} log-writes {device} {log_device}");
        check("dmsetup", ["create", NAME, "--table", &table]);
        check("dmsetup", ["mknodes", NAME]);
        let [device, log_device] = devices;
        Self {
            start,
            log,
            _device: device,
            _log: log_device,
        }
    }

    /// The device.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev/mapper").join(NAME)
    }

    /// Keeps when this was.
    pub(crate) fn mark(&self, text: &str) {
        check("dmsetup", ["message", NAME, "0", "mark", text]);
    }

    /// Ends it. Nobody may have the device open.
    pub(crate) fn end(self) -> Recording {
        check("dmsetup", ["remove", "--retry", NAME]);
        Recording {
            entries: entries(&self.log),
            start: self.start.clone(),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        run("dmsetup", ["remove", "--retry", NAME]);
        let _ = fs::remove_file(self.path());
    }
}

fn entries(log: &Path) -> Vec<LogEntry> {
    let log = File::open(log).unwrap();
    let read = |offset: u64, length: u64| {
        let mut bytes = vec![0; length as usize];
        log.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    };
    let number = |block: &[u8], index: usize| {
        u64::from_le_bytes(block[8 * index..][..8].try_into().unwrap())
    };
    let head = read(0, SECTOR);
    assert_eq!((number(&head, 0), number(&head, 1)), (MAGIC, 1));
    let mut at = SECTOR;
    (0..number(&head, 2))
        .map(|_| {
            let head = read(at, SECTOR);
            let [sector, sectors, flags, text] = [0, 1, 2, 3].map(|index| number(&head, index));
            at += SECTOR;
            if flags & MARK != 0 {
                let text = head[32..][..text as usize].to_vec();
                return LogEntry::Mark(String::from_utf8(text).unwrap());
            }
            if flags & DISCARD != 0 || sectors == 0 {
                return LogEntry::Nothing;
            }
            let bytes = read(at, sectors * SECTOR);
            at += sectors * SECTOR;
            let offset = (sector * SECTOR) as usize;
            LogEntry::Write { offset, bytes }
        })
        .collect()
}

impl Recording {
    /// How many moments there are between two things that happened, and before and after them.
    pub(crate) fn moments(&self) -> usize {
        self.entries.len() + 1
    }

    /// After how many moments this was marked.
    #[track_caller]
    pub(crate) fn mark(&self, text: &str) -> usize {
        let is_it = |entry: &LogEntry| matches!(entry, LogEntry::Mark(found) if found == text);
        self.entries.iter().position(is_it).unwrap() + 1
    }

    /// Some moments, in order: the first and the last, and others evenly between them.
    pub(crate) fn some(&self, first: usize, count: usize) -> Vec<usize> {
        let last = self.moments() - 1;
        let mut moments: Vec<usize> = (0..count)
            .map(|i| first + (last - first) * i / (count - 1))
            .collect();
        moments.dedup();
        moments
    }

    /// What is on the disk when the power goes at each of these moments, which are in order.
    pub(crate) fn disks(&self, moments: &[usize], mut look: impl FnMut(usize, &[u8])) {
        let mut disk = self.start.clone();
        let mut done = 0;
        for &moment in moments {
            for entry in &self.entries[done..moment] {
                if let LogEntry::Write { offset, bytes } = entry {
                    disk[*offset..][..bytes.len()].copy_from_slice(bytes);
                }
            }
            done = moment;
            look(moment, &disk);
        }
    }
}
