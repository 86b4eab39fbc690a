//! Polynomials over the field, the lowest coefficient first.

use alloc::{vec, vec::Vec};

use super::field;

/// The value at `x`.
pub(super) fn evaluate(polynomial: &[u8], x: u8) -> u8 {
    let highest_first = polynomial.iter().rev();
    highest_first.fold(0, |value, coefficient| {
        field::multiply(value, x) ^ coefficient
    })
}

/// The degree; none of zero.
pub(super) fn degree(polynomial: &[u8]) -> Option<usize> {
    polynomial.iter().rposition(|coefficient| *coefficient != 0)
}

pub(super) fn product(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut product = vec![0; (a.len() + b.len()).saturating_sub(1)];
    for (n, coefficient) in a.iter().enumerate() {
        for (sum, other) in product[n..].iter_mut().zip(b) {
            *sum ^= field::multiply(*coefficient, *other);
        }
    }
    product
}

/// The sum, which is the difference as well.
pub(super) fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let coefficient = |polynomial: &[u8], n: usize| polynomial.get(n).copied().unwrap_or(0);
    (0..a.len().max(b.len()))
        .map(|n| coefficient(a, n) ^ coefficient(b, n))
        .collect()
}

/// Quotient and remainder of a division by `divisor`, which has the degree `degree`.
pub(super) fn division(dividend: &[u8], divisor: &[u8], degree: usize) -> (Vec<u8>, Vec<u8>) {
    let mut remainder = dividend.to_vec();
    let mut quotient = vec![0; dividend.len().saturating_sub(degree)];
    for n in (0..quotient.len()).rev() {
        quotient[n] = field::divide(remainder[n + degree], divisor[degree]);
        for (difference, coefficient) in remainder[n..].iter_mut().zip(&divisor[..=degree]) {
            *difference ^= field::multiply(quotient[n], *coefficient);
        }
    }
    remainder.truncate(degree);
    (quotient, remainder)
}

/// The derivative: where something is added to itself, nothing is left.
pub(super) fn derivative(polynomial: &[u8]) -> Vec<u8> {
    let higher = polynomial.iter().enumerate().skip(1);
    higher
        .map(|(n, coefficient)| if n % 2 == 1 { *coefficient } else { 0 })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        // 3 + 5x + 7x².
        for x in 0..=255 {
            let squares = field::multiply(7, field::multiply(x, x));
            let expected = 3 ^ field::multiply(5, x) ^ squares;
            assert_eq!(evaluate(&[3, 5, 7], x), expected);
        }
        assert_eq!(evaluate(&[], 9), 0);
    }

    #[test]
    fn a_division_is_undone() {
        let polynomial = [1, 200, 0, 7, 90, 3];
        for divisor in [&[5][..], &[1, 2], &[0, 0, 9], &[7, 0, 1, 0], &[1; 9]] {
            let degree = degree(divisor).unwrap();
            let (quotient, remainder) = division(&polynomial, divisor, degree);
            assert!(remainder.len() <= degree);
            let mut again = sum(&product(&quotient, divisor), &remainder);
            again.resize(polynomial.len().max(again.len()), 0);
            assert_eq!(again[..6], polynomial);
            assert!(again[6..].iter().all(|coefficient| *coefficient == 0));
        }
    }

    #[test]
    fn degrees_and_derivatives() {
        assert_eq!(degree(&[0, 4, 0]), Some(1));
        assert_eq!(degree(&[0, 0]), None);
        assert_eq!(derivative(&[9, 8, 7, 6]), [8, 0, 6]);
        assert_eq!(derivative(&[9]), []);
    }
}
