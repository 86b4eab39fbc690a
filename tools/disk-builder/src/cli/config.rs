//! From arguments to what a command is to do.

use std::os::unix::ffi::OsStrExt;
#[cfg(feature = "hub")]
use std::path::Path;

use model_disk::{ExpectedParams, FecArguments, ParamsSource};

use super::{
    BuilderUsageError,
    args::{
        BuildArguments, FecAreaFlags, HashArguments, ModelFlags, RepairArguments,
        VerifiedDiskFlags, VerifyArguments,
    },
};
#[cfg(feature = "hub")]
use crate::remote::{HubAddress, RemotePlace};
use crate::{
    commands::{
        build::Build,
        hash::{FecRequest, Hash, TreeRequest},
        repair::Repair,
        verify::Verify,
    },
    model::{Excludes, ModelOrigin, ScanOptions},
};

impl TryFrom<BuildArguments> for Build {
    type Error = BuilderUsageError;

    fn try_from(arguments: BuildArguments) -> Result<Self, BuilderUsageError> {
        let model = arguments.model.origin()?;
        if arguments.resume && model.directory().is_some() {
            return Err(BuilderUsageError::Resume);
        }
        Ok(Self {
            options: arguments.model.options()?,
            model,
            output: arguments.output,
            manifest: arguments.manifest,
            source: arguments.source,
            revision: arguments.revision,
            force: arguments.force,
            resume: arguments.resume,
            fec: arguments.fec.roots(),
        })
    }
}

impl ModelFlags {
    /// Where the model is.
    #[cfg(feature = "hub")]
    pub(super) fn origin(&self) -> Result<ModelOrigin, BuilderUsageError> {
        if let Some(list) = &self.files_from {
            return Ok(ModelOrigin::Remote(RemotePlace::List(list.clone())));
        }
        let model = self.model.as_deref().unwrap_or(Path::new(""));
        if !HubAddress::is_meant(model.as_os_str().as_bytes()) {
            return Ok(model.into());
        }
        let address = model.to_string_lossy().parse()?;
        Ok(ModelOrigin::Remote(RemotePlace::Hub(address)))
    }

    /// Where the model is: in a directory.
    #[cfg(not(feature = "hub"))]
    pub(super) fn origin(&self) -> Result<ModelOrigin, BuilderUsageError> {
        match &self.model {
            Some(model) if !model.as_os_str().as_bytes().starts_with(b"hf://") => Ok(model.into()),
            _ => Err(BuilderUsageError::NoHub),
        }
    }

    /// What goes onto the disk.
    pub(super) fn options(&self) -> Result<ScanOptions, BuilderUsageError> {
        Ok(ScanOptions {
            excludes: Excludes::new(&self.exclude)?,
            allow_outside: self.allow_outside.clone(),
            strict: self.strict,
        })
    }
}

impl From<HashArguments> for Hash {
    fn from(arguments: HashArguments) -> Self {
        let tree = arguments.tree;
        let default = TreeRequest::default();
        Self {
            data: arguments.data,
            hash_device: arguments.hash_device,
            tree: TreeRequest {
                algorithm: tree.hash.unwrap_or(default.algorithm),
                data_block_size: tree.data_block_size.unwrap_or(default.data_block_size),
                hash_block_size: tree.hash_block_size.unwrap_or(default.hash_block_size),
                data_blocks: tree.data_blocks,
                salt: tree.salt,
                hash_offset: tree.hash_offset.map(|offset| offset.0),
                superblock: !tree.no_superblock,
            },
            fec: arguments.fec.roots().map(|roots| FecRequest {
                roots,
                device: arguments.fec_device,
                offset: arguments.fec_offset.map(|offset| offset.0),
            }),
            uuid: arguments.uuid,
            force: arguments.force,
        }
    }
}

impl TryFrom<VerifyArguments> for Verify {
    type Error = BuilderUsageError;

    fn try_from(arguments: VerifyArguments) -> Result<Self, BuilderUsageError> {
        let VerifyArguments {
            disk,
            fec,
            fec_area,
            ..
        } = arguments;
        Ok(Self {
            params: disk.params()?,
            image: disk.image,
            root_hash: disk.root_hash,
            hash_device: disk.hash_device,
            fs_type: disk.fs_type,
            fec: fec.then(|| fec_area.into()),
        })
    }
}

impl TryFrom<RepairArguments> for Repair {
    type Error = BuilderUsageError;

    fn try_from(arguments: RepairArguments) -> Result<Self, BuilderUsageError> {
        let RepairArguments { disk, fec_area, .. } = arguments;
        Ok(Self {
            params: disk.params()?,
            image: disk.image,
            root_hash: disk.root_hash,
            hash_device: disk.hash_device,
            fs_type: disk.fs_type,
            fec: fec_area.into(),
        })
    }
}

impl VerifiedDiskFlags {
    /// Where the parameters of the tree come from.
    fn params(&self) -> Result<ParamsSource, BuilderUsageError> {
        let tree = &self.tree;
        let hash_offset = tree.hash_offset.map(|offset| offset.0);
        let expected = ExpectedParams {
            data_blocks: tree.data_blocks,
            data_block_size: tree.data_block_size,
            hash_block_size: tree.hash_block_size,
            algorithm: tree.hash,
            salt: tree.salt.clone(),
        };
        if tree.no_superblock {
            let hash_offset = hash_offset.or(self.hash_device.is_some().then_some(0));
            return Ok(expected.without_superblock(&self.root_hash, hash_offset)?);
        }
        Ok(ParamsSource::Superblock {
            hash_offset,
            expected,
        })
    }
}

impl From<FecAreaFlags> for FecArguments {
    fn from(flags: FecAreaFlags) -> Self {
        Self {
            device: flags.fec_device,
            offset: flags.fec_offset.map(|offset| offset.0),
            roots: flags.fec_roots.unwrap_or_default(),
        }
    }
}
