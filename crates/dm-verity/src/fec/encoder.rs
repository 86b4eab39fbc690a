//! Parity from blocks.

use alloc::vec::Vec;

use super::{FecRoots, ParityPlanes, field, kernel::FecBackend};

/// What each column adds to the parity.
#[derive(Clone, Debug)]
pub struct FecEncoder {
    /// For each column, what its bytes are multiplied by in each plane.
    coefficients: Vec<u8>,
    roots: FecRoots,
    backend: FecBackend,
}

impl FecEncoder {
    /// For codewords with as many parity bytes.
    pub fn new(roots: FecRoots) -> Self {
        let generator = generator(roots.get());
        // The parity of a codeword is what its other bytes, as a polynomial, leave over when the
        // generator divides them; so is what a byte that is 1 adds. The last column is x^roots,
        // and each before it is x times the one after it.
        let mut remainder = generator.clone();
        let mut columns = Vec::new();
        for _ in 0..roots.columns() {
            columns.push(remainder.clone());
            let highest = remainder[0];
            remainder.rotate_left(1);
            if let Some(lowest) = remainder.last_mut() {
                *lowest = 0;
            }
            for (byte, coefficient) in remainder.iter_mut().zip(&generator) {
                *byte ^= field::multiply(highest, *coefficient);
            }
        }
        Self {
            coefficients: columns.into_iter().rev().flatten().collect(),
            roots,
            backend: FecBackend::chosen(),
        }
    }

    /// The same with another backend.
    #[must_use]
    pub fn with_backend(self, backend: FecBackend) -> Self {
        Self { backend, ..self }
    }

    /// How many parity bytes a codeword has.
    pub fn roots(&self) -> FecRoots {
        self.roots
    }

    /// Adds bytes of a column to the parity of the codewords from `at` on.
    ///
    /// # Panics
    ///
    /// When there are not as many codewords or no such column, or the roots differ.
    pub fn add(&self, column: usize, data: &[u8], planes: &mut ParityPlanes, at: usize) {
        let roots = self.roots.get();
        let coefficients = &self.coefficients[column * roots..][..roots];
        planes.multiply_add(self.backend, coefficients, data, at);
    }
}

/// The polynomial whose roots are the first powers of alpha, its highest coefficient, 1, left out
/// and the next one first.
fn generator(roots: usize) -> Vec<u8> {
    let mut generator: Vec<u8> = Vec::new();
    for root in (0..roots).map(field::power) {
        // Times (x + root).
        generator.push(0);
        let mut higher = 1;
        for coefficient in &mut generator {
            let this = *coefficient;
            *coefficient ^= field::multiply(higher, root);
            higher = this;
        }
    }
    generator
}
