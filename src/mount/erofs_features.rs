//! What an EROFS filesystem uses, and this kernel may lack.

use std::io;

use rustix::system::uname;

use super::MountError;
use model_disk::{
    erofs::{ErofsFeature, ErofsSuperblock},
    filesystem::FsType,
};

/// Refuses an EROFS that this kernel would mount without being able to open what is in it. `header` is
/// the start of the data, verified.
pub(super) fn check_features(fs_type: FsType, header: &[u8]) -> Result<(), MountError> {
    if fs_type != FsType::Erofs {
        return Ok(());
    }
    let features = ErofsSuperblock::features_in_header(header);
    if all_are_opened(&features, &uname().release().to_string_lossy()) {
        return Ok(());
    }
    Err(MountError::ErofsFeatures {
        features,
        source: io::Error::from_raw_os_error(libc::EOPNOTSUPP),
    })
}

/// Whether a kernel of this release opens what it mounts.
fn all_are_opened(features: &[ErofsFeature], release: &str) -> bool {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let version = [(); 2].map(|()| numbers.next().unwrap_or(0));
    let mut since = features.iter().filter_map(ErofsFeature::opened_since);
    since.all(|since| version >= since)
}

/// A kernel that does not know what an EROFS uses says why in its log alone.
pub(super) fn with_features(error: MountError, header: &[u8]) -> MountError {
    let MountError::Filesystem {
        fs_type: FsType::Erofs,
        source,
        messages,
    } = error
    else {
        return error;
    };
    let features = ErofsSuperblock::features_in_header(header);
    let refused = [libc::EINVAL, libc::EOPNOTSUPP].map(Some);
    if features.is_empty() || !refused.contains(&source.raw_os_error()) {
        return MountError::Filesystem {
            fs_type: FsType::Erofs,
            source,
            messages,
        };
    }
    MountError::ErofsFeatures { features, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erofs_that_is_refused_is_told_with_what_it_uses() {
        let mut header = vec![0; 4096];
        header[1024 + 12] = 12;
        let told = |header: &[u8], fs_type, errno| {
            let error = MountError::Filesystem {
                fs_type,
                source: io::Error::from_raw_os_error(errno),
                messages: String::new(),
            };
            with_features(error, header).to_string()
        };
        let plain = "the erofs filesystem cannot be mounted";
        assert_eq!(told(&header, FsType::Erofs, libc::EINVAL), plain);
        header[1024 + 80] = 0x82;
        header[1024 + 84] = 8;
        for errno in [libc::EINVAL, libc::EOPNOTSUPP] {
            assert_eq!(
                told(&header, FsType::Erofs, errno),
                "the erofs filesystem cannot be mounted: this kernel may lack what it uses: \
                 addresses of 48 bits (Linux 6.15), Zstandard (Linux 6.10, CONFIG_EROFS_FS_ZIP_ZSTD)"
            );
        }
        assert_eq!(told(&header, FsType::Erofs, libc::EIO), plain);
        let other = told(&header, FsType::Squashfs, libc::EINVAL);
        assert_eq!(other, "the squashfs filesystem cannot be mounted");
    }

    #[test]
    fn what_is_mounted_and_not_opened_is_told_before() {
        let features = |block_size_bits, incompat| {
            let mut header = vec![0; 4096];
            header[1024 + 12] = block_size_bits;
            header[1024 + 80] = incompat;
            ErofsSuperblock::features_in_header(&header)
        };
        for (features, since_6_8) in [
            (features(10, 1), true),
            (features(10, 0), false),
            (features(12, 3), false),
        ] {
            for release in ["6.8.0", "6.12.118+deb13-cloud-amd64", "7.3"] {
                assert!(all_are_opened(&features, release), "{release}");
            }
            for release in ["6.1.0-57-cloud-amd64", "6.7.12", "5.15", "", "x"] {
                assert_eq!(all_are_opened(&features, release), !since_6_8, "{release}");
            }
        }
    }
}
