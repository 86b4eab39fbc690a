//! Checking a disk without mounting it.

use super::{
    mount::{MountError, MountRequest, find_disk},
    pause::Deadline,
    watch::Steps,
};
use crate::{
    claims::header,
    verity::{Binding, HashArea, VerityParams},
};

/// What a disk is, as far as that can be known before dm-verity reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The parameters of its tree.
    pub params: VerityParams,
    /// Where the tree is on the hash device.
    pub hash_area: HashArea,
    /// What binds the number of data blocks to the root hash. [`Binding::Filesystem`] is a claim
    /// until the filesystem's superblock has been read through dm-verity.
    pub binding: Binding,
}

/// Finds a disk, and checks all that a mount checks before the kernel has a part in it: the
/// parameters, their binding, and the root block. Nothing is made or changed, and no more is
/// needed than the right to read the devices.
///
/// The blocks below the root block are not read. What is accepted here can still be corrupt.
///
/// ```
/// use std::fs;
///
/// use disk_mounter::{
///     mounter::{MountError, MountRequest, ParamsSource, check},
///     verity::{
///         Binding, BlockHasher, BlockSize, HashAlgorithm, HashArea, RootHash, Salt, VerityParams,
///     },
/// };
///
/// // The smallest disk there is: one data block, whose digest is the root hash.
/// let (block, size) = ([7; 4096], BlockSize::DEFAULT);
/// let params = VerityParams::new(HashAlgorithm::Sha256, size, size, 1, Salt::default())?;
/// let root_hash = RootHash::from(BlockHasher::for_params(&params).digest(&block));
/// let folder = tempfile::tempdir()?;
/// let image = folder.path().join("model.img");
/// fs::write(&image, block)?;
///
/// let hash_area = HashArea::new(&params, 4096, false)?;
/// let request = MountRequest {
///     params: ParamsSource::Arguments { params, hash_area },
///     ..MountRequest::new(root_hash, &image, "/mnt/model")
/// };
/// assert_eq!(check(&request)?.binding, Binding::Arguments);
///
/// fs::write(&image, [8; 4096])?;
/// let MountError::Disk(refused) = check(&request).unwrap_err() else { panic!() };
/// assert!(refused.to_string().starts_with("the root hash does not match"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`super::mount()`] that are told before anything is activated.
pub fn check(request: &MountRequest) -> Result<Checked, MountError> {
    let disk = find_disk(request, &Deadline::after(request.wait), &Steps::new())?;
    let header = header(disk.data_device())?;
    Ok(Checked {
        params: disk.params().clone(),
        hash_area: disk.hash_area(),
        binding: disk.bind(&header)?,
    })
}
