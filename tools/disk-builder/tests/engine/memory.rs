//! Sources and sinks in memory.

use std::{
    io,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use disk_builder::engine::{Extent, Sink, SinkError, Source, SourceError};

/// Bytes, with holes that are known to be zeros.
pub(crate) struct Memory {
    pub(crate) data: Vec<u8>,
    /// Start and end of holes, in order.
    pub(crate) holes: Vec<(u64, u64)>,
    /// How many bytes have been read.
    pub(crate) read: AtomicU64,
}

impl Memory {
    pub(crate) fn new(data: Vec<u8>) -> Self {
        Self {
            data,
            holes: Vec::new(),
            read: AtomicU64::new(0),
        }
    }

    /// Zeros the holes, and tells of them.
    pub(crate) fn with_holes(mut data: Vec<u8>, holes: Vec<(u64, u64)>) -> Self {
        for (start, end) in &holes {
            data[*start as usize..*end as usize].fill(0);
        }
        Self {
            holes,
            ..Self::new(data)
        }
    }
}

impl Source for Memory {
    fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), SourceError> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        match self.data.get(offset as usize..offset as usize + buf.len()) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => {
                return Err(SourceError::Ended {
                    path: PathBuf::from("memory"),
                    end: self.bytes(),
                    expected: offset + buf.len() as u64,
                });
            }
        }
        Ok(())
    }

    fn extent_at(&self, offset: u64) -> Result<Extent, SourceError> {
        for (start, end) in &self.holes {
            if offset < *start {
                return Ok(Extent {
                    zeros: false,
                    end: *start,
                });
            }
            if offset < *end {
                return Ok(Extent {
                    zeros: true,
                    end: *end,
                });
            }
        }
        Ok(Extent {
            zeros: false,
            end: self.bytes(),
        })
    }
}

/// What the engine handed over.
#[derive(Default)]
pub(crate) struct WrittenBytes {
    pub(crate) data: Mutex<Vec<(u64, Vec<u8>)>>,
    pub(crate) hash_blocks: Mutex<Vec<(u64, Vec<u8>)>>,
    /// The hash block at which writing fails.
    pub(crate) full_at: Option<u64>,
}

impl WrittenBytes {
    /// The tree in its order; each place was written once, and none was left out.
    pub(crate) fn tree(self, hash_block_size: usize) -> Vec<u8> {
        in_order(self.hash_blocks.into_inner().unwrap(), hash_block_size)
    }
}

fn in_order(mut pieces: Vec<(u64, Vec<u8>)>, unit: usize) -> Vec<u8> {
    pieces.sort();
    let mut all = Vec::new();
    for (place, bytes) in pieces {
        assert_eq!(place as usize * unit, all.len(), "a gap, or written twice");
        all.extend(bytes);
    }
    all
}

impl Sink for WrittenBytes {
    fn takes_data(&self) -> bool {
        true
    }

    fn data(&self, offset: u64, data: &[u8]) -> Result<(), SinkError> {
        self.data.lock().unwrap().push((offset, data.to_vec()));
        Ok(())
    }

    fn hash_blocks(&self, first: u64, blocks: &[u8]) -> Result<(), SinkError> {
        if self.full_at.is_some_and(|full| first >= full) {
            return Err(SinkError {
                path: PathBuf::from("memory"),
                offset: first,
                source: io::Error::from(io::ErrorKind::StorageFull),
            });
        }
        self.hash_blocks
            .lock()
            .unwrap()
            .push((first, blocks.to_vec()));
        Ok(())
    }

    fn finish(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
