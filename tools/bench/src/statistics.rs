//! Medians and spreads.

/// The value in the middle; the mean of the two where there are two. None
/// of no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        Some((values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0)
    } else {
        values.get(middle).copied()
    }
}

/// The least and the greatest. None of no values.
pub(crate) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().fold(None, |range, value| {
        Some(range.map_or((value, value), |(least, most): (f64, f64)| {
            (least.min(value), most.max(value))
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([3.0, 1.0]), Some(2.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn ranges() {
        assert_eq!(range([]), None);
        assert_eq!(range([2.0]), Some((2.0, 2.0)));
        assert_eq!(range([2.0, 5.0, 1.0]), Some((1.0, 5.0)));
    }
}
