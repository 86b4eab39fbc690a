//! Lists for messages, which stay short however long the list is.

use std::fmt::{self, Display};

/// The first few items, each on a line of its own, and how many more there are.
pub(super) struct FirstFew<'a, T> {
    items: &'a [T],
    most: usize,
}

impl<'a, T> FirstFew<'a, T> {
    /// So many of these at `most`.
    pub(super) fn new(items: &'a [T], most: usize) -> Self {
        Self { items, most }
    }
}

impl<T: Display> Display for FirstFew<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in self.items.iter().take(self.most) {
            write!(f, "\n    {item}")?;
        }
        match self.items.len().saturating_sub(self.most) {
            0 => Ok(()),
            more => write!(f, "\n    and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_few() {
        let list = |count: u32| {
            let items = Vec::from_iter(0..count);
            FirstFew::new(&items, 2).to_string()
        };
        assert_eq!(list(1), "\n    0");
        assert_eq!(list(2), "\n    0\n    1");
        assert_eq!(list(1000), "\n    0\n    1\n    and 998 more");
    }
}
