//! The one judgement of a disk: what every command accepts, and what every command refuses.

mod error;
mod tree;
mod unjudged;

use dm_verity::{BlockHasher, HashArea, RootHash, TreeLayout, VerityParams};
use uuid::Uuid;

use crate::{
    BackingFile, Binding, DiskArguments, DiskFec, FecError, FecSource, ReadAt,
    filesystem::{FsType, HEADER_SIZE, NoFilesystem},
    superblocks::header,
};
use tree::Tree;

pub use error::DiskError;
pub use unjudged::UnjudgedDisk;

/// A disk that has been judged: its parameters are possible and bound, its root block is the one
/// of the root hash, and its filesystem is not refused.
///
/// The blocks below the root block have not been read. What is accepted here can still be corrupt.
#[derive(Debug)]
pub struct Disk {
    data: BackingFile,
    /// None where the tree is on the data device.
    hash: Option<BackingFile>,
    fs_type: FsType,
    params: VerityParams,
    hash_area: HashArea,
    uuid: Option<Uuid>,
    /// How many data blocks the arguments name.
    data_blocks: Option<u64>,
    binding: Binding,
    fec: Option<DiskFec>,
}

impl Disk {
    /// Judges a disk, whose tree is on `hash` if that is given, and on `data` otherwise.
    ///
    /// Everything that only the disk itself says is a claim: the parameters count because
    /// something [binds](Binding) them, which for [`Binding::Filesystem`] has to be asked again,
    /// by [`Disk::bind`], when the start of the data has been verified.
    ///
    /// ```
    /// use std::fs;
    ///
    /// use dm_verity::{BlockHasher, BlockSize, HashAlgorithm, HashArea, RootHash, Salt, VerityParams};
    /// use model_disk::{BackingFile, Binding, Disk, DiskArguments, ParamsSource};
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
    /// let arguments = DiskArguments {
    ///     params: ParamsSource::Arguments { params, hash_area },
    ///     ..DiskArguments::new(root_hash)
    /// };
    /// let disk = Disk::check(BackingFile::open(&image)?, None, &arguments)?;
    /// assert_eq!(disk.binding(), Binding::Arguments);
    ///
    /// fs::write(&image, [8; 4096])?;
    /// let refused = Disk::check(BackingFile::open(&image)?, None, &arguments).unwrap_err();
    /// assert!(refused.to_string().starts_with("the root hash does not match"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(
        data: BackingFile,
        hash: Option<BackingFile>,
        arguments: &DiskArguments,
    ) -> Result<Self, DiskError> {
        Self::check_with_fec(data, hash, arguments, None)
    }

    /// The same of a disk that may have an FEC area. If it has none where it should, it is refused.
    pub fn check_with_fec(
        data: BackingFile,
        hash: Option<BackingFile>,
        arguments: &DiskArguments,
        fec: Option<FecSource<'_>>,
    ) -> Result<Self, DiskError> {
        let header = header(&data)?;
        let mut disk = Self::find(data, hash, arguments, &header)?;
        disk.fec = fec.map(|fec| disk.find_fec(fec)).transpose()?;
        disk.binding = disk.bind(&header).or_else(|error| {
            // It is no more than a claim in any case.
            let fec = disk.fec.as_ref();
            let corrected = fec.and_then(|fec| disk.corrected_header(fec));
            corrected
                .and_then(|header| disk.bind(&header).ok())
                .ok_or(error)
        })?;
        if let Some(root_hash) = &arguments.root_hash {
            disk.check_root_block(root_hash)?;
        }
        Ok(disk)
    }

    /// A disk whose data and tree fit onto their devices, with no judgement yet.
    fn find(
        data: BackingFile,
        hash: Option<BackingFile>,
        arguments: &DiskArguments,
        header: &[u8],
    ) -> Result<Self, DiskError> {
        let tree = Tree::find(&data, hash.as_ref(), header, arguments)?;
        let disk = Self {
            data,
            hash,
            fs_type: arguments.fs_type,
            params: tree.params,
            hash_area: tree.hash_area,
            uuid: tree.uuid,
            data_blocks: tree.data_blocks,
            binding: Binding::Arguments,
            fec: None,
        };
        disk.check_sizes()?;
        Ok(disk)
    }

    fn find_fec(&self, fec: FecSource<'_>) -> Result<DiskFec, FecError> {
        let tree = (&self.params, &self.hash_area);
        DiskFec::find(&self.data, self.hash_file(), tree, fec)
    }

    fn check_sizes(&self) -> Result<(), DiskError> {
        let data_end = self.params.data_bytes();
        holds(&self.data, "the data", data_end)?;
        let tree_end = self.hash_area.end(&TreeLayout::new(&self.params));
        holds(self.hash_file(), "the hash tree", tree_end)?;
        let offset = self.hash_area.offset();
        if self.hash.is_none() && offset < data_end {
            return Err(DiskError::Overlap {
                path: self.data.path().to_owned(),
                offset,
                data_end,
            });
        }
        Ok(())
    }

    /// What binds the geometry, by the start of the data: that counts only where `header` has been
    /// verified.
    pub fn bind(&self, header: &[u8]) -> Result<Binding, DiskError> {
        let filesystem_bytes = filesystem_bytes(&self.data, self.fs_type, header)?;
        Ok(Binding::find(
            &self.params,
            self.data_blocks,
            filesystem_bytes,
        )?)
    }

    /// What a block of the sequence that FEC covers should be, by the others of its row.
    fn proposed(&self, fec: &DiskFec, block: u64) -> Option<Vec<u8>> {
        let hash = (self.hash_file(), &self.hash_area);
        fec.propose(&self.data, hash, block)
    }

    /// The start of the data as FEC has it, which nothing has verified.
    fn corrected_header(&self, fec: &DiskFec) -> Option<Vec<u8>> {
        let mut header = Vec::new();
        let wanted = self.params.data_bytes().min(HEADER_SIZE as u64) as usize;
        for block in 0.. {
            header.extend(self.proposed(fec, block)?);
            if header.len() >= wanted {
                break;
            }
        }
        header.truncate(wanted);
        Some(header)
    }

    /// Compares the tree's root block, or the only data block, with the root hash.
    fn check_root_block(&self, expected: &RootHash) -> Result<(), DiskError> {
        self.check_algorithm(expected)?;
        let data_blocks = self.params.data_blocks();
        let (file, offset, size, covered) = if data_blocks == 1 {
            (&self.data, 0, self.params.data_block_size(), 0)
        } else {
            let (offset, size) = (
                self.hash_area.block_offset(0),
                self.params.hash_block_size(),
            );
            (self.hash_file(), offset, size, data_blocks)
        };
        let mut block = vec![0; size.as_usize()];
        file.read_exact_at(&mut block, offset)?;
        let hasher = BlockHasher::for_params(&self.params);
        let found = RootHash::from(hasher.digest(&block));
        let is_right = |block: Vec<u8>| RootHash::from(hasher.digest(&block)) == *expected;
        let proposed = |fec| self.proposed(fec, covered);
        if found != *expected && !self.fec.as_ref().and_then(proposed).is_some_and(is_right) {
            let expected = *expected;
            return Err(DiskError::RootHash { expected, found });
        }
        Ok(())
    }

    fn check_algorithm(&self, expected: &RootHash) -> Result<(), DiskError> {
        let (disk, root_hash) = (self.params.algorithm(), expected.algorithm());
        if disk != root_hash {
            return Err(DiskError::Algorithm { disk, root_hash });
        }
        Ok(())
    }

    /// The parameters of its tree.
    pub fn params(&self) -> &VerityParams {
        &self.params
    }

    /// Where the tree is.
    pub fn hash_area(&self) -> HashArea {
        self.hash_area
    }

    /// The UUID of the superblock, where that was read.
    pub fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    /// What binds the number of data blocks to the root hash. [`Binding::Filesystem`] is a claim
    /// until the filesystem's superblock has been verified.
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// The type of its filesystem, as the arguments say.
    pub fn fs_type(&self) -> FsType {
        self.fs_type
    }

    /// What holds the data.
    pub fn data_file(&self) -> &BackingFile {
        &self.data
    }

    /// What holds the tree; it may be the data's.
    pub fn hash_file(&self) -> &BackingFile {
        self.hash.as_ref().unwrap_or(&self.data)
    }

    /// Its FEC area, if the arguments ask for one.
    pub fn fec(&self) -> Option<&DiskFec> {
        self.fec.as_ref()
    }

    /// What holds the tree, if that is not what holds the data.
    pub fn separate_hash_file(&self) -> Option<&BackingFile> {
        self.hash.as_ref()
    }
}

/// The size in bytes that the filesystem at the start of some data claims; None where there is none
/// of this type. One that cannot be, or that no hash tree can cover, is refused.
pub fn filesystem_bytes(
    data: &BackingFile,
    fs_type: FsType,
    header: &[u8],
) -> Result<Option<u64>, DiskError> {
    match fs_type.claimed_bytes(header) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(NoFilesystem::Magic) => Ok(None),
        Err(source) => Err(DiskError::Filesystem {
            path: data.path().to_owned(),
            source,
        }),
    }
}

fn holds(file: &BackingFile, what: &'static str, end: u64) -> Result<(), DiskError> {
    let bytes = file.bytes();
    if end <= bytes {
        return Ok(());
    }
    let path = file.path().to_owned();
    Err(DiskError::CutShort {
        path,
        what,
        end,
        bytes,
    })
}
