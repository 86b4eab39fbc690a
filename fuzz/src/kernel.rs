//! What the kernel says. It is believed, but what it says of another's device or mount is not
//! written by it alone.

use disk_mounter::{VerityStatus, fuzzing};
use dm_verity::{DeviceNumber, LoadedTable};

/// Takes any of its texts.
pub fn run(bytes: &[u8]) {
    for (_, mount_point, _) in fuzzing::mounts(bytes) {
        assert!(mount_point.as_os_str().len() <= bytes.len());
    }
    for (major, minor) in [(253, 0), (0, 0), (u32::MAX, u32::MAX)] {
        if fuzzing::corrupt_block(bytes, DeviceNumber { major, minor }).is_some() {
            // Not a word of it without the name of the device.
            let number = major.to_string();
            assert!(
                bytes
                    .windows(number.len())
                    .any(|text| text == number.as_bytes())
            );
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if fuzzing::status(&text) == VerityStatus::Verified {
        assert_eq!(
            text.trim_start_matches(|c: char| c.is_ascii_whitespace())
                .get(..1),
            Some("V")
        );
    }
    if let Ok(table) = text.parse::<LoadedTable>() {
        assert!(!table.root_hash.is_empty());
    }
}
