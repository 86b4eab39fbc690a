//! The one judgement of a disk: what every command accepts, and what every command refuses.

use std::path::PathBuf;

use dm_verity::{
    BlockHasher, HashAlgorithm, HashArea, HashAreaError, RootHash, SUPERBLOCK_SIZE, Superblock,
    SuperblockError, TreeLayout, VerityParams,
};
use uuid::Uuid;

use crate::{
    BackingFile, Binding, BindingError, Contradiction, DiskArguments, DiskFec, Escaped, ExitCode,
    FecError, FecSource, FileError, HasExitCode, ParamsSource, ReadAt,
    filesystem::{FsType, HEADER_SIZE, NoFilesystem},
    superblocks::{FoundSuperblock, NoSuperblock, header, superblock_after, superblock_at},
};

/// Why a disk is refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The place of the superblock cannot be found out.
    #[error(
        "{} has no {fs_type} filesystem, which would tell where the superblock is (--hash-offset \
         names the place, --fs-type another filesystem)",
        Escaped::path(path)
    )]
    NoFilesystem {
        /// The data device.
        path: PathBuf,
        /// What was looked for.
        fs_type: FsType,
        /// Why it is none.
        source: NoFilesystem,
    },
    /// There is no tree after the filesystem.
    #[error(
        "{} has no dm-verity superblock at byte {offset}, after its {fs_type} filesystem \
         (--hash-offset names another place)",
        Escaped::path(path)
    )]
    NoHashArea {
        /// The data device.
        path: PathBuf,
        /// The filesystem.
        fs_type: FsType,
        /// Where the superblock would be.
        offset: u64,
    },
    /// What stands at the place of the superblock is not acceptable.
    #[error(
        "the superblock at byte {offset} of {} is not accepted",
        Escaped::path(path)
    )]
    Superblock {
        /// The hash device.
        path: PathBuf,
        /// The place of the superblock.
        offset: u64,
        /// What is wrong.
        source: SuperblockError,
    },
    /// The superblock says something else than the arguments.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// No tree can be where the superblock is.
    #[error("no hash tree can be on {}", Escaped::path(path))]
    HashArea {
        /// The hash device.
        path: PathBuf,
        /// What is wrong.
        source: HashAreaError,
    },
    /// A device ends before what should be on it.
    #[error(
        "{} is cut short: {what} would end at byte {end}, and it has {bytes} bytes",
        Escaped::path(path)
    )]
    CutShort {
        /// The device.
        path: PathBuf,
        /// The data, the superblock or the hash tree.
        what: &'static str,
        /// Where that would end.
        end: u64,
        /// How long the device is.
        bytes: u64,
    },
    /// The hash area lies within the data.
    #[error(
        "the hash area at byte {offset} of {} lies within the data, which ends at byte {data_end}",
        Escaped::path(path)
    )]
    Overlap {
        /// The device.
        path: PathBuf,
        /// Where the hash area starts.
        offset: u64,
        /// Where the data ends.
        data_end: u64,
    },
    /// No FEC area can be where the arguments say.
    #[error(transparent)]
    Fec(#[from] FecError),
    /// The filesystem is one that no hash tree can cover, or none that can be.
    #[error("the filesystem on {} is refused", Escaped::path(path))]
    Filesystem {
        /// The data device.
        path: PathBuf,
        /// What is wrong with it.
        source: NoFilesystem,
    },
    /// Nothing makes sure that the root hash covers all of the disk.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The root hash is not one of the disk's algorithm.
    #[error("the disk is hashed with {disk}, the root hash is one of {root_hash}")]
    Algorithm {
        /// The disk's algorithm.
        disk: HashAlgorithm,
        /// That of the root hash.
        root_hash: HashAlgorithm,
    },
    /// The root block is not the one of the root hash.
    #[error("the root hash does not match: expected {expected}, the disk has {found}")]
    RootHash {
        /// The root hash of the arguments.
        expected: RootHash,
        /// The digest of the disk's root block.
        found: RootHash,
    },
}

impl HasExitCode for DiskError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Fec(error) => error.exit_code(),
            // The place after a filesystem is always aligned: this one was named.
            Self::HashArea {
                source: HashAreaError::Misaligned { .. },
                ..
            } => ExitCode::Usage,
            _ => ExitCode::Integrity,
        }
    }
}

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

/// A disk that may be corrupt in any place, for who corrects it: its parts fit onto their devices, and
/// its parameters are bound as far as that can be told before anything has been verified.
#[derive(Debug)]
pub struct UnjudgedDisk {
    disk: Disk,
    fec: DiskFec,
    root_hash: RootHash,
}

impl UnjudgedDisk {
    /// Looks where its parts are, as [`Disk::check_with_fec`] does. Of the data and the tree any block
    /// may be corrupt, the root block and the filesystem's first among them.
    pub fn find(
        data: BackingFile,
        hash: Option<BackingFile>,
        (arguments, root_hash): (&DiskArguments, &RootHash),
        fec: FecSource<'_>,
    ) -> Result<Self, DiskError> {
        // Where it cannot be read, the arguments must say where the tree is.
        let header = header(&data).unwrap_or_default();
        let mut disk = Disk::find(data, hash, arguments, &header)?;
        let fec = disk.find_fec(fec)?;
        disk.check_algorithm(root_hash)?;
        let bind_corrected = || disk.bind(&disk.corrected_header(&fec)?).ok();
        // Neither the salt nor the arguments need a filesystem.
        let bind_without = || Binding::find(&disk.params, disk.data_blocks, None).ok();
        disk.binding = disk.bind(&header).or_else(|error| {
            let bound = bind_corrected().or_else(bind_without);
            bound.ok_or(error)
        })?;
        Ok(Self {
            disk,
            fec,
            root_hash: *root_hash,
        })
    }

    /// Judges it, as it is now.
    pub fn judge(self) -> Result<Disk, DiskError> {
        let mut disk = self.disk;
        disk.binding = disk.bind(&header(&disk.data)?)?;
        disk.check_root_block(&self.root_hash)?;
        Ok(disk)
    }

    /// The disk that it claims to be.
    pub fn claimed(&self) -> &Disk {
        &self.disk
    }

    /// What it is to be.
    pub fn root_hash(&self) -> &RootHash {
        &self.root_hash
    }

    /// Its FEC area.
    pub fn fec(&self) -> &DiskFec {
        &self.fec
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

/// What is known of a tree before anything of it has been checked.
struct Tree {
    params: VerityParams,
    hash_area: HashArea,
    uuid: Option<Uuid>,
    data_blocks: Option<u64>,
}

impl Tree {
    fn find(
        data: &BackingFile,
        hash: Option<&BackingFile>,
        header: &[u8],
        arguments: &DiskArguments,
    ) -> Result<Self, DiskError> {
        let (hash_offset, expected) = match &arguments.params {
            ParamsSource::Arguments { params, hash_area } => {
                return Ok(Self {
                    data_blocks: Some(params.data_blocks()),
                    params: params.clone(),
                    hash_area: *hash_area,
                    uuid: None,
                });
            }
            ParamsSource::Superblock {
                hash_offset,
                expected,
            } => (*hash_offset, expected),
        };
        let hash_file = hash.unwrap_or(data);
        let found = match (hash_offset, hash) {
            (Some(offset), _) => superblock_at(hash_file, offset)?,
            (None, Some(hash)) => superblock_at(hash, 0)?,
            (None, None) => after_filesystem(data, arguments.fs_type, header)?,
        };
        let offset = found.offset;
        let superblock = accepted(hash_file, found)?;
        let params = superblock.params;
        expected.check(&params)?;
        let hash_area =
            HashArea::new(&params, offset, true).map_err(|source| DiskError::HashArea {
                path: hash_file.path().to_owned(),
                source,
            })?;
        Ok(Self {
            params,
            hash_area,
            uuid: Some(superblock.uuid),
            data_blocks: expected.data_blocks,
        })
    }
}

fn after_filesystem(
    data: &BackingFile,
    fs_type: FsType,
    header: &[u8],
) -> Result<FoundSuperblock, DiskError> {
    let path = || data.path().to_owned();
    match superblock_after(data, fs_type, header)? {
        Ok(found) if found.has_magic() => Ok(found),
        Ok(FoundSuperblock {
            offset,
            superblock: Err(NoSuperblock::Beyond { bytes }),
        }) => Err(DiskError::CutShort {
            path: path(),
            what: "the superblock",
            end: offset.saturating_add(SUPERBLOCK_SIZE as u64),
            bytes,
        }),
        Ok(FoundSuperblock { offset, .. }) => Err(DiskError::NoHashArea {
            path: path(),
            fs_type,
            offset,
        }),
        Err(source @ (NoFilesystem::Magic | NoFilesystem::Size)) => Err(DiskError::NoFilesystem {
            path: path(),
            fs_type,
            source,
        }),
        Err(source) => Err(DiskError::Filesystem {
            path: path(),
            source,
        }),
    }
}

/// The superblock that was found, or why the disk is refused for what is there.
fn accepted(file: &BackingFile, found: FoundSuperblock) -> Result<Superblock, DiskError> {
    let (path, offset) = (file.path().to_owned(), found.offset);
    found.superblock.map_err(|reason| match reason {
        NoSuperblock::Beyond { bytes } => DiskError::CutShort {
            path,
            what: "the superblock",
            end: offset.saturating_add(SUPERBLOCK_SIZE as u64),
            bytes,
        },
        NoSuperblock::Refused(source) => DiskError::Superblock {
            path,
            offset,
            source,
        },
    })
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
