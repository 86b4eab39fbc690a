//! Which parts of an image are there before it is written. No I/O.

use std::ops::Range;

/// Ranges of an image's bytes that are there already: as blocks of the model's files, or because an
/// earlier run has written them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SharedParts(Vec<Range<u64>>);

impl SharedParts {
    /// Adds one, after those that are there.
    pub(super) fn push(&mut self, part: Range<u64>) {
        self.0.push(part);
    }

    /// How many bytes they are.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|part| part.end - part.start).sum()
    }

    /// A range cut where a part starts or ends: the pieces in order, each with whether it is
    /// shared.
    pub(super) fn cut(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, bool)> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let start = at;
            let next = self.0.partition_point(|part| part.end <= start);
            let (end, shared) = match self.0.get(next) {
                Some(part) if part.start <= start => (part.end, true),
                Some(part) => (part.start, false),
                None => (range.end, false),
            };
            at = end.min(range.end);
            Some((start..at, shared))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_range() {
        let mut parts = SharedParts::default();
        let of = |parts: &SharedParts, range| parts.cut(range).collect::<Vec<_>>();
        assert_eq!(of(&parts, 3..9), [(3..9, false)]);
        parts.push(10..20);
        parts.push(20..30);
        parts.push(50..60);
        assert_eq!(parts.bytes(), 30);
        assert_eq!(
            of(&parts, 0..70),
            [
                (0..10, false),
                (10..20, true),
                (20..30, true),
                (30..50, false),
                (50..60, true),
                (60..70, false),
            ]
        );
        assert_eq!(of(&parts, 12..15), [(12..15, true)]);
        assert_eq!(
            of(&parts, 29..51),
            [(29..30, true), (30..50, false), (50..51, true)]
        );
        assert_eq!(of(&parts, 5..5), []);
    }
}
