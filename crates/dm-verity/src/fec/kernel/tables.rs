//! Multiplication by a constant, as instructions take it.

use super::super::field;

/// For each factor, its multiplication as a matrix over GF(2), as `GF2P8AFFINEQB` takes it: a byte
/// for each bit of the product, the highest bit in the lowest byte. Which bits of the other factor
/// count for that bit of the product, its bits say.
#[cfg(target_arch = "x86_64")]
pub(super) const MATRICES: [u64; 256] = {
    let mut matrices = [0; 256];
    let mut factor = 0;
    while factor < 256 {
        let mut bit = 0;
        while bit < 8 {
            // What this bit of the other factor adds to the product.
            let term = field::multiply(factor as u8, 1 << bit);
            let mut to = 0;
            while to < 8 {
                let set = (term >> to & 1) as u64;
                matrices[factor] |= set << (8 * (7 - to) + bit);
                to += 1;
            }
            bit += 1;
        }
        factor += 1;
    }
    matrices
};

/// For each factor, its products with the low four bits of a byte and with the high four: what a
/// shuffle of bytes looks up. The product is the sum of the two.
pub(super) const NIBBLES: [[[u8; 16]; 2]; 256] = {
    let mut nibbles = [[[0; 16]; 2]; 256];
    let mut factor = 0;
    while factor < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            nibbles[factor][0][nibble] = field::multiply(factor as u8, nibble as u8);
            nibbles[factor][1][nibble] = field::multiply(factor as u8, (nibble << 4) as u8);
            nibble += 1;
        }
        factor += 1;
    }
    nibbles
};
