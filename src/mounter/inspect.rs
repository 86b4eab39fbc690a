//! `inspect`: what the superblocks of a disk claim. Nothing of it is verified.

use std::path::Path;

use super::device::{Device, DeviceError};
use crate::claims::Claims;

/// Opens a disk and reads its superblocks, see [`Claims::read`].
pub fn inspect(path: &Path, hash_offset: Option<u64>) -> Result<Claims, DeviceError> {
    Claims::read(&Device::open(path)?, hash_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;

    #[test]
    fn what_is_not_there_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent");
        let error = inspect(&path, None).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::NotFound);
        let text = error.to_string();
        assert_eq!(text, format!("{}: no such device or file", path.display()));
    }
}
