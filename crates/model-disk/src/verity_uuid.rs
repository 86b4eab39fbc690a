//! The UUID of a superblock, where nobody names one.

use ::uuid::{Builder, Uuid};
use sha2::{Digest as _, Sha256};

use dm_verity::RootHash;

/// The UUID that a root hash gives, so that one model always gives one image, to the last byte.
///
/// It is the first 16 bytes of SHA-256 of `disk-mounter verity uuid v1`, a zero byte and the
/// bytes of the root hash, with the version 8 and the variant of RFC 9562 set. It names a
/// disk and proves nothing.
pub fn derived_uuid(root_hash: &RootHash) -> Uuid {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(b"disk-mounter verity uuid v1\0")
        .chain_update(root_hash.as_bytes())
        .finalize()
        .into();
    let [first, _]: [[u8; 16]; 2] = zerocopy::transmute!(digest);
    Builder::from_custom_bytes(first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python: `sha256(b"disk-mounter verity uuid v1\0" + bytes([0x5a]) * n).hexdigest()[:32]`,
    /// then the 13th digit 8, and the 17th one of 8, 9, a, b.
    #[test]
    fn known_answers() {
        for (digits, expected) in [
            (64, "79047ae2-8d56-8341-9cb7-0e746cfdfacc"),
            (128, "4eae410c-24fb-8050-acc0-2476ef75d15f"),
        ] {
            let root: RootHash = "5a".repeat(digits / 2).parse().unwrap();
            assert_eq!(derived_uuid(&root).to_string(), expected);
        }
    }
}
