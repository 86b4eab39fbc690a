//! The texts of the command line. What is taken is written and read again as the same.

use std::{ffi::OsString, fmt::Display, os::unix::ffi::OsStringExt, str::FromStr};

use disk_mounter::{MappingName, cli};
use dm_verity::{DeviceNumber, HashAlgorithm, RootHash, Salt};
use model_disk::{
    filesystem::FsType,
    units::{Size, block_size},
};

/// Takes a text.
pub fn run(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        there_and_back::<DeviceNumber>(text);
        there_and_back::<FsType>(text);
        there_and_back::<HashAlgorithm>(text);
        there_and_back::<MappingName>(text);
        there_and_back::<RootHash>(text);
        there_and_back::<Salt>(text);
        there_and_back::<Size>(text);
        if let Ok(size) = block_size(text) {
            assert_eq!(block_size(&size.to_string()), Ok(size), "{text:?}");
        }
    }
    // As the three words of another container's command line.
    let words: Vec<_> = bytes
        .split(|byte| *byte == b' ')
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    // Any other number of words is refused before they are looked at, and slowly.
    if words.len() != 3 {
        return;
    }
    if let Ok(form) = cli::drop_in(&words) {
        let cli::MountForm::Kernel(request) = form else {
            panic!("{form:?}");
        };
        assert!(
            request
                .device
                .parent()
                .is_some_and(|parent| parent.as_os_str() == "/dev")
        );
    }
}

fn there_and_back<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse().ok();
        assert!(again == Some(value), "{text:?}");
    }
}
