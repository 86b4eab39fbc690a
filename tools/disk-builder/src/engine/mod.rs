//! Makes and checks hash trees: streaming, in parallel, in bounded memory.
//!
//! Data comes from a [`Source`], finished hash blocks go to a [`Sink`]. Workers take *runs* of
//! data in ascending order. A run is a whole number of *units*, a unit the data under one hash
//! block of the highest level that is made on the spot. Of each unit but one digest is kept; the
//! levels above are made from these at the end. With the usual 4096-byte blocks that is one
//! digest for each 512 KiB of data (SHA-512: for 16 MiB), so that memory stays below 64 MiB +
//! size / 16,384; odd pairs of block sizes take up to eight times that.
//!
//! With parity ([`ParityArea`]) workers take *strips* instead: some rows of parity, with what of each
//! column of the data is in them. Parity itself is 0.8 % of the data and more, and does not stay in memory.

mod blocks;
mod extents;
mod fec;
mod findings;
mod gather;
mod hash;
mod kept;
mod pace;
mod repair;
mod runs;
mod sink;
mod source;
mod sys;
mod verify;
mod workers;

pub use extents::KnownExtents;
pub use fec::{CoveredPart, ParityArea};
pub use findings::{Findings, HashBlock};
pub use hash::{HashTreeError, hash_tree};
pub use repair::{
    CorrectError, CoveredDisk, CoveredPlace, ParityFindings, RepairOutcome, RepairSink, contains,
    correct, find_wrong_parity, write_parity,
};
pub use sink::{FileSink, ImageSink, NullSink, Sink, SinkError};
pub use source::{Extent, FileSource, Source, SourceError};
pub use sys::window::Window;
pub use verify::{RootHashMismatch, TreeParts, VerifyTreeError, verify_tree};
pub use workers::Workers;
