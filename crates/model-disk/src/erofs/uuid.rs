//! The UUID of the filesystem.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::FileList;

/// The UUID that a list of files gives its filesystem: derived, so that a model
/// has one image, and from the paths and sizes only, because it is part of what
/// is hashed before any file has been read.
///
/// It is the first 16 bytes of the SHA-256 of `disk-mounter erofs uuid v1`, a
/// zero byte, and for each file in order the length of its path in bytes, the
/// path and the file's size, the numbers as 64 bits in little-endian; with version
/// 8 and the variant of RFC 9562 set.
pub(super) fn filesystem_uuid(files: &FileList) -> Uuid {
    let mut hasher = Sha256::new_with_prefix(b"disk-mounter erofs uuid v1\0");
    for file in files.iter() {
        let path = file.path.as_bytes();
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(file.size.to_le_bytes());
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let [first, _]: [[u8; 16]; 2] = zerocopy::transmute!(digest);
    uuid::Builder::from_custom_bytes(first).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelFile, RelativePath};

    fn uuid(files: &[(&str, u64)]) -> String {
        let files = files.iter().map(|(path, size)| ModelFile {
            path: RelativePath::new(*path).unwrap(),
            size: *size,
        });
        let files = FileList::new(files.collect()).unwrap();
        filesystem_uuid(&files).to_string()
    }

    /// Made with Python: `sha256(b"disk-mounter erofs uuid v1\0" + pack("<Q", 3) + b"a/b" +
    /// pack("<QQ", 5, 1) + b"c" + pack("<Q", 1 << 40))`, bits set by hand.
    #[test]
    fn known_answer() {
        assert_eq!(
            uuid(&[("a/b", 5), ("c", 1 << 40)]),
            "10282761-4968-8cdd-9f99-d8bcabf3c5f3"
        );
    }

    #[test]
    fn paths_and_sizes_matter() {
        let all = [
            uuid(&[("a", 5)]),
            uuid(&[("a", 6)]),
            uuid(&[("b", 5)]),
            uuid(&[("a", 5), ("b", 5)]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{i}");
        }
    }
}
