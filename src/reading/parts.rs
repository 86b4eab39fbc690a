//! How files are cut for the threads.

use std::ops::Range;

/// How much of a file a thread takes at a time, in bytes. Each time the kernel is asked for room to write
/// it to, threads that write to the same file wait.
const PART_BYTES: u64 = 16 << 20;

/// How much of it is in memory at a time, in bytes.
pub(super) const BUFFER_BYTES: usize = 1 << 20;

/// The parts of a file of so many bytes.
pub(super) fn parts(bytes: u64) -> impl ExactSizeIterator<Item = Range<u64>> {
    let count = bytes.div_ceil(PART_BYTES) as usize;
    (0..count).map(move |number| {
        let start = number as u64 * PART_BYTES;
        start..bytes.min(start.saturating_add(PART_BYTES))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_file() {
        for bytes in [
            0,
            1,
            PART_BYTES,
            PART_BYTES + 1,
            5 * PART_BYTES - 1,
            1 << 40,
        ] {
            let mut end = 0;
            for part in parts(bytes) {
                assert!(part.start == end && part.end > end);
                end = part.end;
            }
            assert_eq!(end, bytes);
        }
    }
}
