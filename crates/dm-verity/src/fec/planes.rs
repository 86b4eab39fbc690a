//! Parity while it is made.

use alloc::{vec, vec::Vec};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{FecRoots, kernel::FecBackend};

/// A line of the CPU's cache, which is as long as the longest vector: one that lies across two
/// lines takes twice as long to load and to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
struct CacheLine([u8; 64]);

/// Parity of some codewords, which stand beside each other: one plane for each root, with a byte of
/// each codeword. On a disk the bytes of a codeword stand together instead.
///
/// It is a sum: parts of it can be made apart, in any order, and added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParityPlanes {
    /// The planes, one after the other.
    lines: Vec<CacheLine>,
    /// Bytes of a plane.
    stride: usize,
    roots: usize,
}

impl ParityPlanes {
    /// That of `codewords` codewords to which nothing was added: zeros.
    pub fn new(roots: FecRoots, codewords: usize) -> Self {
        Self::zeros(roots.get(), codewords)
    }

    pub(super) fn zeros(planes: usize, codewords: usize) -> Self {
        Self {
            lines: vec![CacheLine([0; 64]); (planes * codewords).div_ceil(64)],
            stride: codewords,
            roots: planes,
        }
    }

    /// How many codewords it is of.
    pub fn codewords(&self) -> usize {
        self.stride
    }

    /// All planes, one after the other: to be kept, and gone on with.
    pub fn as_bytes(&self) -> &[u8] {
        &self.lines.as_bytes()[..self.roots * self.stride]
    }

    /// The same, to be filled with what was kept of as many codewords.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.lines.as_mut_bytes()[..self.roots * self.stride]
    }

    /// Makes it zeros again.
    pub fn clear(&mut self) {
        self.as_mut_bytes().fill(0);
    }

    /// Whether nothing but zeros was added.
    pub fn is_zero(&self) -> bool {
        self.as_bytes().iter().all(|byte| *byte == 0)
    }

    /// Adds the codewords `from` of another, as many as `count`, to those from `at` on.
    ///
    /// # Panics
    ///
    /// When there are not as many in both, or the roots differ.
    pub fn merge(&mut self, at: usize, other: &Self, from: usize, count: usize) {
        assert!(self.roots == other.roots, "the same roots");
        for plane in 0..self.roots {
            let theirs = &other.plane(plane)[from..][..count];
            xor(&mut self.plane_mut(plane)[at..][..count], theirs);
        }
    }

    /// The parity of all codewords, as it stands on a disk.
    ///
    /// # Panics
    ///
    /// When `parity` has not just the room for it.
    pub fn interleave(&self, parity: &mut [u8]) {
        assert!(
            parity.len() == self.roots * self.stride,
            "room for all parity"
        );
        // A compiler makes vectors of the usual number.
        if self.roots == 2 {
            let planes = self.plane(0).iter().zip(self.plane(1));
            for (codeword, (a, b)) in parity.as_chunks_mut().0.iter_mut().zip(planes) {
                *codeword = [*a, *b];
            }
            return;
        }
        for (at, codeword) in parity.chunks_exact_mut(self.roots).enumerate() {
            for (place, byte) in codeword.iter_mut().zip(self.codeword(at)) {
                *place = byte;
            }
        }
    }

    /// Adds parity as it stands on a disk to the codewords from `at` on.
    ///
    /// # Panics
    ///
    /// When it is not that of whole codewords, or of more than there are.
    pub fn add_interleaved(&mut self, at: usize, parity: &[u8]) {
        let roots = self.roots;
        assert!(parity.len().is_multiple_of(roots), "whole codewords");
        let count = parity.len() / roots;
        for plane in 0..roots {
            let sums = self.plane_mut(plane)[at..][..count].iter_mut();
            if roots == 2 {
                let pairs = sums.zip(parity.as_chunks::<2>().0);
                pairs.for_each(|(sum, codeword)| *sum ^= codeword[plane]);
            } else {
                let bytes = sums.zip(parity[plane..].iter().step_by(roots));
                bytes.for_each(|(sum, byte)| *sum ^= byte);
            }
        }
    }

    /// Adds multiples of `data` to the codewords from `at` on: to each plane that of its
    /// coefficient.
    pub(super) fn multiply_add(
        &mut self,
        backend: FecBackend,
        coefficients: &[u8],
        data: &[u8],
        at: usize,
    ) {
        assert!(coefficients.len() == self.roots, "one for each plane");
        let stride = self.stride;
        backend.multiply_add(coefficients, data, self.as_mut_bytes(), stride, at);
    }

    /// The parity of one codeword.
    pub(super) fn codeword(&self, at: usize) -> impl Iterator<Item = u8> {
        self.as_bytes()[at..].iter().step_by(self.stride).copied()
    }

    /// Which codewords have any parity that is not zero.
    pub(super) fn codewords_that_are_not_zero(&self) -> impl Iterator<Item = usize> {
        let nothing = self.is_zero();
        let all = if nothing { 0..0 } else { 0..self.stride };
        all.filter(|at| self.codeword(*at).any(|byte| byte != 0))
    }

    pub(super) fn plane(&self, plane: usize) -> &[u8] {
        &self.as_bytes()[plane * self.stride..][..self.stride]
    }

    fn plane_mut(&mut self, plane: usize) -> &mut [u8] {
        let stride = self.stride;
        &mut self.as_mut_bytes()[plane * stride..][..stride]
    }
}

fn xor(sums: &mut [u8], bytes: &[u8]) {
    for (sum, byte) in sums.iter_mut().zip(bytes) {
        *sum ^= byte;
    }
}
