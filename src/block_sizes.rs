//! Block sizes that only this kernel and these devices refuse.

use std::path::{Path, PathBuf};

use model_disk::{BackingFile, Disk, DiskFec, Escaped, ExitCode, FileError, HasExitCode};

/// Why a disk that is well cannot be mounted here.
#[derive(Debug, thiserror::Error)]
pub enum BlockSizeUnsupported {
    /// A data block must fit into a page.
    #[error(
        "{}: data blocks of {size} bytes cannot be read here: this machine's pages have {page}",
        Escaped::path(path)
    )]
    Page {
        /// The data device.
        path: PathBuf,
        /// The data block size.
        size: u32,
        /// The page size.
        page: u64,
    },
    /// A device cannot be read in smaller units than its own.
    #[error(
        "{}: blocks of {size} bytes cannot be read here: the device's blocks have {logical}",
        Escaped::path(path)
    )]
    Device {
        /// The device.
        path: PathBuf,
        /// The block size.
        size: u32,
        /// The device's logical block size.
        logical: u32,
    },
    /// A device does not tell its block size.
    #[error(transparent)]
    File(#[from] FileError),
}

impl HasExitCode for BlockSizeUnsupported {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Page { .. } | Self::Device { .. } => ExitCode::Unsupported,
            Self::File(error) => error.exit_code(),
        }
    }
}

/// Refuses what the kernel would refuse without a reason.
pub(crate) fn check_block_sizes(disk: &Disk) -> Result<(), BlockSizeUnsupported> {
    let page = page_size();
    let size = disk.params().data_block_size().get();
    if u64::from(size) > page {
        let path = disk.data_file().path().to_owned();
        return Err(BlockSizeUnsupported::Page { path, size, page });
    }
    check_device(disk.data_file(), size)?;
    check_device(disk.hash_file(), disk.params().hash_block_size().get())?;
    match disk.fec().and_then(DiskFec::separate_file) {
        Some(file) => check_device(file, size),
        None => Ok(()),
    }
}

fn check_device(file: &BackingFile, size: u32) -> Result<(), BlockSizeUnsupported> {
    check_logical(file.path(), size, file.logical_block_size()?)
}

/// Refuses a device whose blocks are larger than those that it is to be read in.
pub(crate) fn check_logical(
    path: &Path,
    size: u32,
    logical: u32,
) -> Result<(), BlockSizeUnsupported> {
    if size >= logical {
        return Ok(());
    }
    Err(BlockSizeUnsupported::Device {
        path: path.to_owned(),
        size,
        logical,
    })
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_with_larger_blocks_is_refused_with_both_sizes() {
        let error = check_logical(Path::new("image"), 1024, 4096).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unsupported);
        let text = error.to_string();
        for word in ["image", "1024", "4096"] {
            assert!(text.contains(word), "{text}");
        }
        check_logical(Path::new("image"), 4096, 4096).unwrap();
        check_logical(Path::new("image"), 4096, 512).unwrap();
    }
}
