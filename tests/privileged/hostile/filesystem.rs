//! Filesystems that were changed, or that claim another size.

use std::{fs, os::unix::fs::FileExt, path::Path};

use super::Hostile;
use crate::{
    disk::{TestDisk, root_hash, write},
    run::check,
};

/// Bytes of its superblock. Some lead to another place for the tree; whatever is found
/// there, the kernel reads the first block, which is corrupt.
pub(super) fn filesystems_that_were_changed_after_the_tree() {
    for (salt, step) in [(&[][..], 12), (&["--salt", "00"], 2)] {
        let hostile = Hostile::new("changed filesystems", TestDisk::with(salt));
        for offset in (0..128).step_by(step) {
            hostile.disk.flip(1024 + offset);
            let reasons: &[&str] = match offset {
                0..4 => &["no erofs filesystem"],
                12 | 36..40 => &[
                    "no erofs filesystem",
                    "is refused",
                    "no dm-verity superblock",
                    "cut short",
                    "nothing binds",
                    "the disk is corrupt",
                ],
                86..88 => &["data on other devices"],
                _ => &["the disk is corrupt"],
            };
            hostile.is_refused("", 3, reasons);
            hostile.disk.flip(1024 + offset);
        }
        hostile.is_mounted("");
    }
}

/// A tree by the book over a filesystem that claims more or less than there is.
pub(super) fn filesystems_of_another_size_under_their_own_tree() {
    let mut hostile = Hostile::new("other filesystem sizes", TestDisk::filesystem());
    let blocks = (hostile.disk.data_bytes / 4096) as u32;
    for claimed in [
        1,
        2,
        blocks / 2,
        blocks - 1,
        blocks + 1,
        2 * blocks,
        u32::MAX,
    ] {
        hostile.restore();
        write(&hostile.disk.image, 1024 + 36, &claimed.to_le_bytes());
        let image = hostile.disk.image.to_str().unwrap();
        let length = hostile.disk.data_bytes.to_string();
        let arguments = ["hash", image, "--salt", "00", "--hash-offset", &length];
        let blocks = blocks.to_string();
        let arguments = [&arguments[..], &["--data-blocks", &blocks]].concat();
        hostile.disk.root_hash = root_hash(&check("disk-builder", arguments));
        let offset = format!("--hash-offset {length}");
        hostile.is_refused(&offset, 3, &["nothing binds"]);
        hostile.is_refused(
            "",
            3,
            &["nothing binds", "no dm-verity superblock", "cut short"],
        );
    }
}

/// What a publisher would have to have signed for: the kernel refuses it, with its own errno, and
/// nothing stays.
pub(super) fn malformed_filesystems_under_their_own_tree() {
    let mut hostile = Hostile::new("malformed filesystems", TestDisk::filesystem());
    // Without its checksum, so that the kernel comes to what is behind it.
    let plain = |image: &Path| {
        let mut compat = [0; 4];
        let file = fs::File::open(image).unwrap();
        file.read_exact_at(&mut compat, 1024 + 8).unwrap();
        write(image, 1024 + 8, &[compat[0] & !1]);
    };
    let malformed: &[(u64, &[u8])] = &[
        // The root directory's inode: nowhere, and in the middle of a file.
        (14, &[0xff, 0xff]),
        // Where the metadata starts.
        (40, &[0xff; 4]),
        // Incompatible features.
        (80, &[0, 0, 0, 0x80]),
        (80, &[0xff; 4]),
    ];
    for (offset, bytes) in malformed {
        hostile.restore();
        plain(&hostile.disk.image);
        write(&hostile.disk.image, 1024 + offset, bytes);
        let image = hostile.disk.image.to_str().unwrap();
        hostile.disk.root_hash = root_hash(&check("disk-builder", ["hash", image]));
        let outcome = hostile.try_line(&hostile.disk.mount_line(""));
        // What the kernel calls corrupt, and what it says it cannot do.
        assert!(matches!(outcome.code, 1 | 6), "{outcome:#?}");
        outcome.is(outcome.code, &["erofs filesystem cannot be mounted"]);
    }
}
