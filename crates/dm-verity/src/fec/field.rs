//! The field GF(2^8) of the codewords: polynomials over GF(2) modulo x^8 + x^4 + x^3 + x^2 + 1, of
//! which x, here `ALPHA`, is a primitive element.

/// The polynomial without x^8.
pub(super) const POLYNOMIAL: u8 = 0x1d;

/// The elements that are not zero.
const ORDER: usize = 255;

/// Powers of `ALPHA`, over and over: the sum of two logarithms is an index.
const POWERS: [u8; 2 * ORDER] = {
    let mut powers = [0; 2 * ORDER];
    let (mut n, mut power) = (0, 1);
    while n < powers.len() {
        powers[n] = power;
        power = times_alpha(power);
        n += 1;
    }
    powers
};

/// For each element but zero, the exponent of `ALPHA`.
const LOGARITHMS: [u8; 256] = {
    let mut logarithms = [0; 256];
    let mut n = 0;
    while n < ORDER {
        logarithms[POWERS[n] as usize] = n as u8;
        n += 1;
    }
    logarithms
};

/// The product with x.
pub(super) const fn times_alpha(a: u8) -> u8 {
    (a << 1) ^ (POLYNOMIAL * (a >> 7))
}

/// A power of x.
pub(super) const fn power(exponent: usize) -> u8 {
    POWERS[exponent % ORDER]
}

pub(super) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    POWERS[LOGARITHMS[a as usize] as usize + LOGARITHMS[b as usize] as usize]
}

/// The quotient; zero, which nothing here divides by, gives zero.
pub(super) const fn divide(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    POWERS[LOGARITHMS[a as usize] as usize + ORDER - LOGARITHMS[b as usize] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product as on paper: shifted and added, then reduced.
    fn product(a: u8, b: u8) -> u8 {
        let mut product = (0..8)
            .filter(|bit| b >> bit & 1 == 1)
            .fold(0u16, |sum, bit| sum ^ (u16::from(a) << bit));
        for bit in (8..16).rev() {
            if product >> bit & 1 == 1 {
                product ^= 0x11d << (bit - 8);
            }
        }
        product as u8
    }

    #[test]
    fn all_products_and_quotients() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), product(a, b));
                if b != 0 {
                    assert_eq!(divide(multiply(a, b), b), a);
                }
            }
        }
    }

    #[test]
    fn powers() {
        assert_eq!((power(0), power(1), power(255)), (1, 2, 1));
        for n in 0..255 {
            assert_eq!(power(n + 1), product(power(n), 2));
        }
    }
}
