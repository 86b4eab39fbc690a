//! Pieces that lie beside each other, put together until it is worth a write. No I/O.

use std::collections::BTreeMap;

/// What is written at once, about: on some filesystems, and on those of a network, each write is a
/// message to somebody else.
const WORTH: usize = 256 << 10;

/// The most that waits for what lies beside it. With parity the data comes from 255 places at a time, and
/// so does its tree; while a piece of that is written through the page cache, the kernel lets nobody
/// write past it.
const MAX_WAITING: usize = 4 << 20;

/// Pieces of a file, each given once, in any order.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// By where they start; no two touch.
    waiting: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Gather {
    /// Adds a piece that starts at `offset`. Gives one to be written now, and where, if there is one.
    pub(super) fn add(&mut self, offset: u64, piece: &[u8]) -> Option<(u64, Vec<u8>)> {
        let before = self.waiting.range(..offset).next_back();
        let before = before.filter(|(start, bytes)| **start + bytes.len() as u64 == offset);
        let start = before.map_or(offset, |(start, _)| *start);
        let whole = self.waiting.entry(start).or_default();
        whole.extend_from_slice(piece);
        self.bytes += piece.len();
        if let Some(after) = self.waiting.remove(&(offset + piece.len() as u64))
            && let Some(whole) = self.waiting.get_mut(&start)
        {
            whole.extend(after);
        }
        let is_worth = self.waiting.get(&start)?.len() >= WORTH;
        if is_worth {
            self.take(start)
        } else if self.bytes > MAX_WAITING {
            let longest = self.waiting.iter().max_by_key(|(_, bytes)| bytes.len());
            let (start, _) = longest?;
            self.take(*start)
        } else {
            None
        }
    }

    /// What is left, and where.
    pub(super) fn take_next(&mut self) -> Option<(u64, Vec<u8>)> {
        let (first, _) = self.waiting.first_key_value()?;
        self.take(*first)
    }

    fn take(&mut self, start: u64) -> Option<(u64, Vec<u8>)> {
        let whole = self.waiting.remove(&start)?;
        self.bytes -= whole.len();
        Some((start, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 32 << 10;

    /// What is written of so many pieces that come in this order, by how many bytes at once.
    fn written(order: impl Iterator<Item = u64>) -> (Vec<u8>, Vec<usize>) {
        let (mut gather, mut file, mut writes) = (Gather::default(), vec![], vec![]);
        let mut write = |written: Option<(u64, Vec<u8>)>| {
            let Some((offset, bytes)) = written else {
                return false;
            };
            let (start, end) = (offset as usize, offset as usize + bytes.len());
            file.resize(file.len().max(end), 0);
            assert!(
                file[start..end].iter().all(|byte| *byte == 0),
                "written twice"
            );
            file[start..end].copy_from_slice(&bytes);
            writes.push(bytes.len());
            true
        };
        for number in order {
            write(gather.add(number * PIECE as u64, &[1 + (number % 250) as u8; PIECE]));
            assert!(gather.bytes <= MAX_WAITING);
        }
        while write(gather.take_next()) {}
        assert_eq!(gather.bytes, 0);
        (file, writes)
    }

    #[test]
    fn everything_is_written_once_and_in_few_pieces() {
        let in_order: Vec<u64> = (0..200).collect();
        let mut in_turns = in_order.clone();
        in_turns.chunks_exact_mut(4).for_each(<[u64]>::reverse);
        let backwards: Vec<u64> = (0..200).rev().collect();
        let expected = written(in_order.iter().copied()).0;
        for (piece, byte) in expected.chunks(PIECE).zip(1..) {
            assert!(piece.iter().all(|found| *found == byte));
        }
        for order in [in_order, in_turns, backwards] {
            let (file, writes) = written(order.into_iter());
            assert!(file == expected);
            assert!(writes.len() <= 30, "{writes:?}");
        }
    }

    /// More columns than there is room for: the longest piece goes, and not over and over one that has
    /// just been begun.
    #[test]
    fn columns_in_turns_are_written_in_long_pieces() {
        const COLUMNS: u64 = 60;
        const ROWS: u64 = 50;
        let turn = |row| (0..COLUMNS).map(move |column| column * ROWS + row);
        let (_, writes) = written((0..ROWS).flat_map(turn));
        let short = writes.iter().filter(|bytes| **bytes <= 2 * PIECE);
        assert!(short.count() < writes.len() / 10, "{writes:?}");
    }

    /// No two pieces touch until late.
    #[test]
    fn no_more_waits_than_that() {
        let (in_order, _) = written(0..300);
        let (file, writes) = written((0..300).step_by(2).chain((1..300).step_by(2)));
        assert!(file == in_order);
        assert!(writes.len() > 150 / 8, "{writes:?}");
    }
}
