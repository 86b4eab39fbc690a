//! The sweep over data and planes, for vectors.
//!
//! A macro and no generic function: what has a `target_feature` cannot be a method of a trait, and
//! what has none is not inlined with the instructions.

/// Defines `multiply_add` on vectors of type `$vector`, which have `$bytes` bytes, with what the
/// caller's module has of its instruction set: `multiplier`, which prepares a coefficient,
/// `product` and `xor`.
macro_rules! sweep {
    ($features:literal, $vector:ty, $bytes:literal) => {
        /// Adds `data`, multiplied by each coefficient, to the plane of that coefficient.
        #[target_feature(enable = $features)]
        pub(super) fn multiply_add<const PLANES: usize>(
            coefficients: [u8; PLANES],
            data: &[u8],
            mut planes: [&mut [u8]; PLANES],
        ) {
            let multipliers = coefficients.map(|coefficient| multiplier(coefficient));
            let (chunks, tail) = data.as_chunks::<{ $bytes * VECTORS }>();
            let sums = planes
                .each_mut()
                .map(|plane| &mut plane.as_chunks_mut::<{ $bytes * VECTORS }>().0[..chunks.len()]);
            for n in 0..chunks.len() {
                let vectors: [$vector; VECTORS] = transmute!(chunks[n]);
                for p in 0..PLANES {
                    let mut sum: [$vector; VECTORS] = transmute!(sums[p][n]);
                    for v in 0..VECTORS {
                        sum[v] = xor(sum[v], product(multipliers[p], vectors[v]));
                    }
                    sums[p][n] = transmute!(sum);
                }
            }
            if tail.is_empty() {
                return;
            }
            let done = data.len() - tail.len();
            let planes = planes.map(|plane| &mut plane[done..]);
            portable::multiply_add(coefficients, tail, planes);
        }
    };
}

/// How many vectors are taken at a time: one loop for both, and more would not fit into registers.
pub(super) const VECTORS: usize = 2;

pub(super) use sweep;
