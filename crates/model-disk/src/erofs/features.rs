//! What an EROFS filesystem uses that some kernels cannot read.

use std::fmt;

use super::{BLOCK_SIZE, superblock::RawErofsSuperblock};

/// The bit of `feature_incompat` that says that `compression` lists algorithms.
const COMPRESSION_CONFIG: u32 = 0x02;

/// The bits of which one at least is in a filesystem that `mkfs.erofs` has compressed.
const COMPRESSED: u32 = 0x03;

/// The bits that every kernel knows that this project is for.
const OLD_FEATURES: u32 = 0x1f;

/// Bits of `feature_incompat`, and the Linux that they came into.
const FEATURES: [(u32, &str, &str); 4] = [
    (0x20, "fragments or deduplication", "6.1"),
    (0x40, "prefixes of extended attributes", "6.4"),
    (0x80, "addresses of 48 bits", "6.15"),
    (0x100, "compressed metadata", "6.17"),
];

/// The bits with which what is not compressed is where it always was.
const READ: u32 = OLD_FEATURES | 0x20 | 0x40 | 0x80;

/// Bits of the list of algorithms, with what a kernel may have been built without.
const ALGORITHMS: [(u16, &str, &str); 3] = [
    (2, "LZMA", "Linux 5.16, CONFIG_EROFS_FS_ZIP_LZMA"),
    (4, "DEFLATE", "Linux 6.6, CONFIG_EROFS_FS_ZIP_DEFLATE"),
    (8, "Zstandard", "Linux 6.10, CONFIG_EROFS_FS_ZIP_ZSTD"),
];
const LZ4: u16 = 1;

/// Something that a filesystem uses and that not every kernel since Linux 6.0 can read, with what
/// such a kernel must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErofsFeature {
    name: String,
    opened_since: Option<[u32; 2]>,
}

impl ErofsFeature {
    /// All that the superblock says of.
    pub(super) fn of(superblock: &RawErofsSuperblock) -> Vec<Self> {
        let mut features = Vec::new();
        let mut add = |name| {
            features.push(Self {
                name,
                opened_since: None,
            });
        };
        let block_size = 1_u64.checked_shl(superblock.block_size_bits.into());
        let small = block_size.filter(|size| *size < BLOCK_SIZE);
        if let Some(size) = small {
            add(format!("blocks of {size} bytes (Linux 6.4)"));
        }
        let used = superblock.feature_incompat.get();
        for (bit, name, since) in FEATURES {
            if used & bit != 0 {
                add(format!("{name} (Linux {since})"));
            }
        }
        let known = FEATURES
            .iter()
            .fold(OLD_FEATURES, |all, (bit, ..)| all | bit);
        let mut unknown = u64::from(used & !known);
        if used & COMPRESSION_CONFIG != 0 {
            let algorithms = superblock.compression.get();
            for (bit, name, needs) in ALGORITHMS {
                if algorithms & bit != 0 {
                    add(format!("{name} ({needs})"));
                }
            }
            let known = ALGORITHMS.iter().fold(LZ4, |all, (bit, ..)| all | bit);
            unknown |= u64::from(algorithms & !known) << 32;
        }
        if unknown != 0 {
            add(format!("what came later ({unknown:#x})"));
        }
        if let Some(size) = small.filter(|_| used & COMPRESSED != 0) {
            features.push(Self {
                name: format!("compression in blocks of {size} bytes (Linux 6.8)"),
                opened_since: Some([6, 8]),
            });
        }
        features
    }

    /// What of it cannot be understood without knowing more of the format than this reader does; None
    /// where there is nothing such. Compression is none: it is told of each file.
    pub(super) fn unread(superblock: &RawErofsSuperblock) -> Option<String> {
        match superblock.feature_incompat.get() & !READ {
            0 => None,
            unread => Some(
                FEATURES
                    .iter()
                    .find(|(bit, ..)| unread & bit != 0)
                    .map_or_else(
                        || format!("what came later ({unread:#x})"),
                        |(_, name, _)| (*name).to_owned(),
                    ),
            ),
        }
    }

    /// The version of Linux before which a kernel may mount the filesystem, and then open none of the
    /// files that use this; nothing where such a kernel refuses the filesystem by itself.
    pub fn opened_since(&self) -> Option<[u32; 2]> {
        self.opened_since
    }
}

impl fmt::Display for ErofsFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros as _;

    fn features(block_size_bits: u8, incompat: u32, algorithms: u16) -> Vec<String> {
        let mut raw = RawErofsSuperblock::new_zeroed();
        raw.block_size_bits = block_size_bits;
        raw.feature_incompat = incompat.into();
        raw.compression = algorithms.into();
        let features = ErofsFeature::of(&raw);
        features.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_old_is_not_told() {
        // Without a list of algorithms, the field is a distance of LZ4.
        for (incompat, algorithms) in [(0, 0), (0x1d, 0xffff), (0x03, 1)] {
            assert!(features(12, incompat, algorithms).is_empty());
        }
    }

    #[test]
    fn each_with_what_it_needs() {
        assert_eq!(features(9, 0, 0), ["blocks of 512 bytes (Linux 6.4)"]);
        for compressed in [1, 2] {
            let told = features(10, compressed, 1);
            assert_eq!(
                told,
                [
                    "blocks of 1024 bytes (Linux 6.4)",
                    "compression in blocks of 1024 bytes (Linux 6.8)"
                ]
            );
        }
        assert_eq!(
            features(12, 0x1ff, 0xf),
            [
                "fragments or deduplication (Linux 6.1)",
                "prefixes of extended attributes (Linux 6.4)",
                "addresses of 48 bits (Linux 6.15)",
                "compressed metadata (Linux 6.17)",
                "LZMA (Linux 5.16, CONFIG_EROFS_FS_ZIP_LZMA)",
                "DEFLATE (Linux 6.6, CONFIG_EROFS_FS_ZIP_DEFLATE)",
                "Zstandard (Linux 6.10, CONFIG_EROFS_FS_ZIP_ZSTD)",
            ]
        );
        assert_eq!(features(12, 0x200, 0xf0), ["what came later (0x200)"]);
        assert_eq!(features(12, 2, 0x10), ["what came later (0x1000000000)"]);
    }
}
