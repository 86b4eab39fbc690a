//! Threads that read parts of a range, which come out in their order.

use std::{
    num::NonZero,
    ops::Range,
    sync::mpsc::{self, Receiver, Sender, SyncSender},
    thread,
};

/// How many bytes a thread reads at a time. It has at most two buffers of this size.
pub const PART_BYTES: usize = 1 << 20;

/// Reads a range of bytes by so many threads, and hands it on part by part, in order. `read` fills a
/// buffer from an offset; `take` is called by the caller's thread. Ends at the first error of either.
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
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let parts = Parts {
        range,
        threads: threads.get(),
    };
    let threads = threads.get().min(parts.count() as usize);
    if threads > 1 {
        let parts = Parts {
            threads,
            ..parts.clone()
        };
        let taken = thread::scope(|scope| {
            let mut readers = Vec::new();
            for number in 0..threads {
                let (reader, thread) = reader();
                let (parts, read) = (&parts, &read);
                let work = move || thread.run(parts, number, read);
                // Where a thread is missing, the parts of none come in order.
                thread::Builder::new().spawn_scoped(scope, work).ok()?;
                readers.push(reader);
            }
            Some(take_in_order(&parts, &readers, &mut take))
        });
        if let Some(taken) = taken {
            return taken;
        }
    }
    let mut buffer = Vec::new();
    for number in 0..parts.count() {
        let part = parts.get(number);
        buffer.resize(length(&part), 0);
        read(&mut buffer, part.start)?;
        take(&buffer)?;
    }
    Ok(())
}

/// A range in parts of one size, but for the last.
#[derive(Clone)]
struct Parts {
    range: Range<u64>,
    threads: usize,
}

impl Parts {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "an empty range has no parts"
    )]
    fn count(&self) -> u64 {
        if self.range.is_empty() {
            return 0;
        }
        (self.range.end - self.range.start).div_ceil(PART_BYTES as u64)
    }

    /// A part below the number of parts.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "its start is before the end of the range"
    )]
    fn get(&self, number: u64) -> Range<u64> {
        let start = self.range.start + number * PART_BYTES as u64;
        start..start.saturating_add(PART_BYTES as u64).min(self.range.end)
    }
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "a part does not end before its start"
)]
fn length(part: &Range<u64>) -> usize {
    (part.end - part.start) as usize
}

/// Where the parts of a thread come from, and its buffers go back to.
struct Reader<E> {
    parts: Receiver<Result<Vec<u8>, E>>,
    buffers: Sender<Vec<u8>>,
}

/// The other end.
struct ReaderThread<E> {
    parts: SyncSender<Result<Vec<u8>, E>>,
    buffers: Receiver<Vec<u8>>,
}

/// One part can be ready while the next is read.
fn reader<E>() -> (Reader<E>, ReaderThread<E>) {
    let (sender, parts) = mpsc::sync_channel(1);
    let (buffers, receiver) = mpsc::channel();
    let thread = ReaderThread {
        parts: sender,
        buffers: receiver,
    };
    (Reader { parts, buffers }, thread)
}

impl<E> ReaderThread<E> {
    /// Reads every part whose turn it is, for as long as somebody takes them.
    fn run(self, parts: &Parts, number: usize, read: impl Fn(&mut [u8], u64) -> Result<(), E>) {
        for number in (number as u64..parts.count()).step_by(parts.threads) {
            let part = parts.get(number);
            let mut buffer = self.buffers.try_recv().unwrap_or_default();
            buffer.resize(length(&part), 0);
            let result = read(&mut buffer, part.start).map(|()| buffer);
            let failed = result.is_err();
            if self.parts.send(result).is_err() || failed {
                return;
            }
        }
    }
}

fn take_in_order<E>(
    parts: &Parts,
    readers: &[Reader<E>],
    take: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for (_, reader) in (0..parts.count()).zip(readers.iter().cycle()) {
        // It sends all of its parts, or an error.
        let Ok(part) = reader.parts.recv() else {
            break;
        };
        let buffer = part?;
        take(&buffer)?;
        // A thread that has no more to read is no longer there to take it.
        let _ = reader.buffers.send(buffer);
    }
    Ok(())
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
            let failing = |buffer: &mut [u8], offset: u64| match offset >> 20 {
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
            assert_eq!(result, Err(Failed(5 << 20)));
            assert_eq!(taken, 5 << 20);
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
        assert!(read.into_inner() <= 4 * 3);
    }
}
