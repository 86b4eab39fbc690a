//! Threads that read parts of a range, which come out in their order.

use std::{
    num::NonZero,
    ops::Range,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// How many bytes a thread reads at a time. It has one buffer of this size; were it smaller, threads would
/// wait more often for their turns.
pub const PART_BYTES: usize = 2 << 20;

/// Reads a range of bytes by so many threads, the caller's among them, and hands it on part by part, in
/// order. `read` fills a buffer from an offset; `take` is called by the thread that has read the part
/// whose turn it is, and by no two at a time. Ends at the first error of either.
///
/// ```
/// use std::num::NonZero;
///
/// let squares = |buffer: &mut [u8], offset: u64| {
///     let numbers = buffer.iter_mut().zip(offset..);
///     numbers.for_each(|(byte, at)| *byte = (at * at) as u8);
///     Ok::<_, std::io::Error>(())
/// };
/// let mut all = Vec::new();
/// verified_disk::in_order(1..5_000_000, NonZero::new(3).unwrap(), squares, |part| {
///     all.extend_from_slice(part);
///     Ok(())
/// })?;
/// assert_eq!((all.len(), &all[..4]), (4_999_999, &[1, 4, 9, 16][..]));
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn in_order<E: Send>(
    range: Range<u64>,
    threads: NonZero<usize>,
    read: impl Fn(&mut [u8], u64) -> Result<(), E> + Sync,
    take: impl FnMut(&[u8]) -> Result<(), E> + Send,
) -> Result<(), E> {
    let parts = Parts(range);
    let turns = Turns {
        next_read: AtomicU64::new(0),
        taking: Mutex::new(Taking {
            next: 0,
            take,
            ended: None,
        }),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        let others = (threads.get() as u64).min(parts.count());
        for _ in 1..others {
            let work = || turns.work(&parts, &read);
            // Those that there are do it all, in more time.
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        turns.work(&parts, &read);
    });
    let taking = turns.taking.into_inner();
    let taking = taking.unwrap_or_else(PoisonError::into_inner);
    taking.ended.unwrap_or(Ok(()))
}

/// A range in parts of one size, but for the last.
struct Parts(Range<u64>);

impl Parts {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "an empty range has no parts"
    )]
    fn count(&self) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        (self.0.end - self.0.start).div_ceil(PART_BYTES as u64)
    }

    /// A part below the number of parts.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "its start is before the end of the range"
    )]
    fn get(&self, number: u64) -> Range<u64> {
        let start = self.0.start + number * PART_BYTES as u64;
        start..start.saturating_add(PART_BYTES as u64).min(self.0.end)
    }
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "a part does not end before its start"
)]
fn length(part: &Range<u64>) -> usize {
    (part.end - part.start) as usize
}

/// Whose turn it is.
struct Turns<T, E> {
    /// The first part that nobody reads yet.
    next_read: AtomicU64,
    taking: Mutex<Taking<T, E>>,
    /// Told whenever another part is the next, or there are no more.
    changed: Condvar,
}

/// Where parts are handed on.
struct Taking<T, E> {
    /// The part whose turn it is.
    next: u64,
    take: T,
    /// Set when no more is taken.
    ended: Option<Result<(), E>>,
}

impl<E, T: FnMut(&[u8]) -> Result<(), E>> Turns<T, E> {
    /// Reads parts for as long as there are any, and hands each on when its turn has come.
    fn work(&self, parts: &Parts, read: &impl Fn(&mut [u8], u64) -> Result<(), E>) {
        let _panic = EndAtPanic(self);
        let mut buffer = Vec::new();
        loop {
            let number = self.next_read.fetch_add(1, Ordering::Relaxed);
            if number >= parts.count() {
                return;
            }
            let part = parts.get(number);
            buffer.resize(length(&part), 0);
            let result = read(&mut buffer, part.start);
            let taking = self.changed.wait_while(self.lock(), |taking| {
                taking.next != number && taking.ended.is_none()
            });
            let mut taking = taking.unwrap_or_else(PoisonError::into_inner);
            if taking.ended.is_some() {
                return;
            }
            let result = result.and_then(|()| (taking.take)(&buffer));
            let failed = result.is_err();
            if failed {
                taking.ended = Some(result);
            }
            taking.next = taking.next.saturating_add(1);
            drop(taking);
            self.changed.notify_all();
            if failed {
                return;
            }
        }
    }
}

impl<T, E> Turns<T, E> {
    fn lock(&self) -> MutexGuard<'_, Taking<T, E>> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for a turn that does not come.
struct EndAtPanic<'a, T, E>(&'a Turns<T, E>);

impl<T, E> Drop for EndAtPanic<'_, T, E> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().ended.get_or_insert(Ok(()));
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Failed(u64);

    fn fill(buffer: &mut [u8], offset: u64) -> Result<(), Failed> {
        let places = buffer.iter_mut().zip(offset..);
        places.for_each(|(byte, at)| *byte = (at % 251) as u8);
        Ok(())
    }

    #[test]
    fn all_parts_in_order() {
        const PART: u64 = PART_BYTES as u64;
        for range in [
            0..0,
            5..5,
            7..8,
            0..PART,
            1..PART + 1,
            3..7 * PART,
            0..9 * PART + 5,
        ] {
            for threads in [1, 2, 5, 16] {
                let mut all = Vec::new();
                in_order(
                    range.clone(),
                    NonZero::new(threads).unwrap(),
                    fill,
                    |part| {
                        all.extend_from_slice(part);
                        Ok(())
                    },
                )
                .unwrap();
                let mut expected = vec![0; (range.end - range.start) as usize];
                fill(&mut expected, range.start).unwrap();
                assert!(all == expected, "{range:?} {threads}");
            }
        }
    }

    /// The error of a part comes when its turn comes, whichever thread was first.
    #[test]
    fn the_first_error_in_order_counts() {
        for threads in [1, 4] {
            let mut taken = 0;
            let failing = |buffer: &mut [u8], offset: u64| match offset / PART_BYTES as u64 {
                5.. => Err(Failed(offset)),
                _ => fill(buffer, offset),
            };
            let result = in_order(
                0..64 << 20,
                NonZero::new(threads).unwrap(),
                failing,
                |part| {
                    taken += part.len();
                    Ok(())
                },
            );
            assert_eq!(result, Err(Failed(5 * PART_BYTES as u64)));
            assert_eq!(taken, 5 * PART_BYTES);
        }
    }

    /// Whoever takes no more is not read ahead for without end.
    #[test]
    fn what_is_read_ahead_is_bounded() {
        let read = AtomicUsize::new(0);
        let counted = |buffer: &mut [u8], offset: u64| {
            read.fetch_add(1, Ordering::Relaxed);
            fill(buffer, offset)
        };
        let result = in_order(0..1 << 40, NonZero::new(4).unwrap(), counted, |_| {
            Err(Failed(1))
        });
        assert_eq!(result, Err(Failed(1)));
        assert!(read.into_inner() <= 4);
    }

    /// No other thread waits for one that is gone.
    #[test]
    fn a_panic_ends_it() {
        let ended = std::panic::catch_unwind(|| {
            let panicking = |buffer: &mut [u8], offset: u64| {
                assert!(offset < 3 << 20, "as it should");
                fill(buffer, offset)
            };
            in_order(0..1 << 40, NonZero::new(4).unwrap(), panicking, |_| Ok(()))
        });
        assert!(ended.is_err());
    }
}
