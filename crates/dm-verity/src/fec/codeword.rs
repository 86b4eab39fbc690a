//! What is wrong in one codeword, from its syndromes.
//!
//! Column `c` of a codeword is the coefficient of x^(254 - c). Where column `c` is off by `e`,
//! syndrome `i` is off by `e` times the `i`-th power of the column's locator.

use alloc::{vec, vec::Vec};

use super::{field, polynomial, roots::CODEWORD};

/// A column of a codeword, and what is to be added to its byte.
pub(super) type Change = (usize, u8);

/// The value of the column in the equations of the syndromes.
pub(super) const fn locator(column: usize) -> u8 {
    field::power(CODEWORD - 1 - column)
}

/// What makes all syndromes zero, if it is `bad` columns and few enough others: each of these
/// takes two syndromes, and each of the bad ones takes one. Nothing where there is no such change.
pub(super) fn solve(syndromes: &[u8], bad: &[usize]) -> Option<Vec<Change>> {
    let roots = syndromes.len();
    // The method of Sugiyama and others: Euclid's algorithm, stopped where the remainder is small
    // enough, finds the polynomial whose roots tell the columns that were not known.
    let known = bad.iter().fold(vec![1], |product, column| {
        polynomial::product(&product, &[1, locator(*column)])
    });
    let mut remainder = polynomial::product(syndromes, &known);
    remainder.truncate(roots);
    let mut before = vec![0; roots];
    before.push(1);
    let (mut unknown, mut unknown_before) = (vec![1], vec![0]);
    while let Some(degree) = polynomial::degree(&remainder)
        && 2 * degree >= roots + bad.len()
    {
        let (quotient, rest) = polynomial::division(&before, &remainder, degree);
        before = core::mem::replace(&mut remainder, rest);
        let next = polynomial::sum(&unknown_before, &polynomial::product(&quotient, &unknown));
        unknown_before = core::mem::replace(&mut unknown, next);
    }

    let all = polynomial::product(&known, &unknown);
    let slope = polynomial::derivative(&all);
    let mut changes = Vec::new();
    for column in 0..CODEWORD {
        let locator = locator(column);
        let inverse = field::divide(1, locator);
        if polynomial::evaluate(&all, inverse) == 0 {
            // Forney's formula.
            let numerator = polynomial::evaluate(&remainder, inverse);
            let quotient = field::divide(numerator, polynomial::evaluate(&slope, inverse));
            let change = field::multiply(locator, quotient);
            if change != 0 || bad.contains(&column) {
                changes.push((column, change));
            }
        }
    }
    // Where too much is wrong, the polynomials are not what they are taken for.
    explains(&changes, syndromes).then_some(changes)
}

/// Whether changes make all syndromes zero.
fn explains(changes: &[Change], syndromes: &[u8]) -> bool {
    let mut terms: Vec<_> = changes
        .iter()
        .map(|(column, change)| (locator(*column), *change))
        .collect();
    syndromes.iter().all(|syndrome| {
        let sum = terms.iter().fold(0, |sum, (_, term)| sum ^ term);
        for (locator, term) in &mut terms {
            *term = field::multiply(*term, *locator);
        }
        sum == *syndrome
    })
}

/// For bad columns alone, and as many syndromes: what each syndrome is multiplied by in the change
/// of each column. The factors of the first syndrome come first, in the order of the columns.
pub(super) fn erasure_factors(bad: &[usize]) -> Vec<u8> {
    // The polynomial that is 1 at the locator of one column and 0 at those of the others takes the
    // powers of the locators, which are in the syndromes, apart.
    let rows: Vec<_> = bad
        .iter()
        .map(|column| {
            let others = bad.iter().filter(|other| *other != column);
            let (product, scale) = others.fold((vec![1], 1), |(product, scale), other| {
                (
                    polynomial::product(&product, &[locator(*other), 1]),
                    field::multiply(scale, locator(*column) ^ locator(*other)),
                )
            });
            (product, scale)
        })
        .collect();
    (0..bad.len())
        .flat_map(|syndrome| {
            rows.iter()
                .map(move |(row, scale)| field::divide(row[syndrome], *scale))
        })
        .collect()
}
