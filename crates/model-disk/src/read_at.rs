//! Something that can be read from.

use std::{
    error::Error,
    io::{self, Read},
};

/// Bytes of a known number that can be read from any place: a file, a block device, memory.
pub trait ReadAt {
    /// Why it cannot be read.
    type Error: Error + 'static;

    /// How many bytes there are.
    fn bytes(&self) -> u64;

    /// Fills `buffer` with what stands from byte `offset` on. Nothing is asked for that ends
    /// after [`ReadAt::bytes`].
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Self::Error>;
}

/// A disk in memory.
impl ReadAt for [u8] {
    type Error = io::Error;

    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), io::Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut rest = self.get(start..).unwrap_or_default();
        rest.read_exact(buffer)
    }
}

/// What another owns.
impl<D: ReadAt + ?Sized> ReadAt for &D {
    type Error = D::Error;

    fn bytes(&self) -> u64 {
        D::bytes(self)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), D::Error> {
        D::read_exact_at(self, buffer, offset)
    }
}
