//! Plain code that a compiler turns into the vectors that every CPU of the architecture has.

use super::super::field;

/// As many bytes are multiplied side by side.
const LANES: usize = 32;

/// Adds `data`, multiplied by each coefficient, to the plane of that coefficient.
pub(super) fn multiply_add<const PLANES: usize>(
    coefficients: [u8; PLANES],
    data: &[u8],
    mut planes: [&mut [u8]; PLANES],
) {
    let (chunks, tail) = data.as_chunks::<LANES>();
    for (n, chunk) in chunks.iter().enumerate() {
        let mut multiple = *chunk;
        let mut sums = [[0; LANES]; PLANES];
        for bit in 0..8 {
            for (sum, coefficient) in sums.iter_mut().zip(coefficients) {
                let mask = 0u8.wrapping_sub(coefficient >> bit & 1);
                for lane in 0..LANES {
                    sum[lane] ^= multiple[lane] & mask;
                }
            }
            multiple = multiple.map(field::times_alpha);
        }
        for (plane, sum) in planes.iter_mut().zip(&sums) {
            for (byte, sum) in plane[n * LANES..][..LANES].iter_mut().zip(sum) {
                *byte ^= sum;
            }
        }
    }
    let done = data.len() - tail.len();
    for (plane, coefficient) in planes.iter_mut().zip(coefficients) {
        for (byte, other) in plane[done..].iter_mut().zip(tail) {
            *byte ^= field::multiply(coefficient, *other);
        }
    }
}
