//! `inspect`, of both programs: what the superblocks of a disk claim, and what the judgement of it
//! would be. Nothing of it is verified.

use std::{fmt, path::Path};

use dm_verity::{HashArea, Superblock, TreeLayout};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    BackingFile, BackingFileError, Binding, Disk, DiskArguments, ErrorChain, ExpectedParams,
    ParamsSource, ReadAt, VeritysetupFields, erofs,
    filesystem::{FsType, NoFilesystem},
    superblocks::{NoSuperblock, header, superblock_after, superblock_at},
};

/// What a disk claims to be.
///
/// **Nothing of it is verified**: whoever wrote the disk chose every value. It is for people who
/// look for what is wrong, and must not decide what is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The superblocks.
    pub superblocks: SuperblockReport,
    /// What would bind the geometry of the disk if all else verifies, or why any command refuses
    /// the disk whatever the root hash.
    pub judgement: Result<Binding, String>,
}

/// The superblocks of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperblockReport {
    /// The size of the disk in bytes. This is no claim.
    pub bytes: u64,
    /// The filesystems whose superblocks are there: at most one on any honest disk.
    pub filesystems: Vec<FilesystemReport>,
    /// The superblocks of filesystems that are there and cannot be, and why.
    pub damaged: Vec<(FsType, NoFilesystem)>,
    /// Where a dm-verity superblock was looked for, in bytes.
    pub hash_offset: u64,
    /// That superblock, or why there is none.
    pub verity: Result<Superblock, NoSuperblock>,
}

/// What a filesystem's superblock claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesystemReport {
    /// Its type.
    pub fs_type: FsType,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its UUID, where that is known to be read: in EROFS.
    pub uuid: Option<Uuid>,
}

/// Opens an image or a block device and inspects it. The dm-verity superblock is looked for at byte
/// `hash_offset`; without that see [`SuperblockReport::read`].
pub fn inspect(path: &Path, hash_offset: Option<u64>) -> Result<Inspection, BackingFileError> {
    let file = BackingFile::open(path)?;
    let superblocks = SuperblockReport::read(&file, hash_offset)?;
    let judgement = judge(file, &superblocks, hash_offset);
    Ok(Inspection {
        superblocks,
        judgement,
    })
}

fn judge(
    file: BackingFile,
    superblocks: &SuperblockReport,
    hash_offset: Option<u64>,
) -> Result<Binding, String> {
    // Before this hash area there can be no data: it is a hash device, and the data is elsewhere.
    if let (0, Ok(superblock)) = (superblocks.hash_offset, &superblocks.verity) {
        return Binding::find(&superblock.params, None, None)
            .map_err(|error| ErrorChain(&error).to_string());
    }
    let arguments = DiskArguments {
        root_hash: None,
        fs_type: superblocks.fs_type(),
        params: ParamsSource::Superblock {
            hash_offset,
            expected: ExpectedParams::default(),
        },
    };
    Disk::check(file, None, &arguments)
        .map(|disk| disk.binding())
        .map_err(|error| ErrorChain(&error).to_string())
}

impl Inspection {
    /// As a JSON object, in which `verified` is always false. Numbers are bytes or counts.
    pub fn to_json(&self) -> Value {
        self.superblocks.to_json(&self.judgement)
    }
}

/// As `NAME: TAB VALUE` lines, with the labels of `veritysetup`.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "What the disk claims; nothing of it is verified.")?;
        write!(f, "{}", self.superblocks)?;
        match &self.judgement {
            Ok(binding) => writeln!(f, "Geometry bound by:\t{}", binding.as_str()),
            Err(reason) => writeln!(f, "Refused:         \t{reason}"),
        }
    }
}

impl SuperblockReport {
    /// Reads the superblocks of a disk: the dm-verity one at byte `hash_offset` or, if that is
    /// not given, after the filesystem; on a disk without a filesystem, such as a hash device, at
    /// its start. An error is one of reading.
    ///
    /// ```
    /// use model_disk::SuperblockReport;
    ///
    /// // A disk without anything on it, in memory.
    /// let disk = vec![0; 1 << 20];
    /// let report = SuperblockReport::read(&disk[..], None)?;
    /// assert!(report.filesystems.is_empty() && report.verity.is_err());
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn read<D: ReadAt + ?Sized>(disk: &D, hash_offset: Option<u64>) -> Result<Self, D::Error> {
        let header = header(disk)?;
        let (mut filesystems, mut damaged) = (Vec::new(), Vec::new());
        for fs_type in FsType::ALL {
            match FilesystemReport::find(fs_type, &header) {
                Ok(filesystem) => filesystems.push(filesystem),
                Err(NoFilesystem::Magic) => {}
                Err(reason) => damaged.push((fs_type, reason)),
            }
        }
        let after = match (hash_offset, filesystems.first()) {
            (None, Some(filesystem)) => superblock_after(disk, filesystem.fs_type, &header)?.ok(),
            _ => None,
        };
        let found = match after {
            Some(found) => found,
            None => superblock_at(disk, hash_offset.unwrap_or(0))?,
        };
        Ok(Self {
            bytes: disk.bytes(),
            filesystems,
            damaged,
            hash_offset: found.offset,
            verity: found.superblock,
        })
    }

    /// The first filesystem that is there, whatever its state.
    fn fs_type(&self) -> FsType {
        let sound = self.filesystems.first().map(|found| found.fs_type);
        let damaged = || self.damaged.first().map(|(fs_type, _)| *fs_type);
        sound.or_else(damaged).unwrap_or_default()
    }

    /// Where the tree would end, in bytes.
    fn tree_end(&self, superblock: &Superblock) -> Option<u64> {
        let area = HashArea::new(&superblock.params, self.hash_offset, true).ok()?;
        Some(area.end(&TreeLayout::new(&superblock.params)))
    }

    fn to_json(&self, judgement: &Result<Binding, String>) -> Value {
        let filesystems: Vec<_> = self
            .filesystems
            .iter()
            .map(|filesystem| {
                json!({
                    "type": filesystem.fs_type.name(),
                    "bytes": filesystem.bytes,
                    "uuid": filesystem.uuid.map(|uuid| uuid.to_string()),
                })
            })
            .collect();
        let damaged: Vec<_> = self
            .damaged
            .iter()
            .map(|(fs_type, reason)| {
                json!({"type": fs_type.name(), "reason": ErrorChain(reason).to_string()})
            })
            .collect();
        let verity = self.verity.as_ref().map(|superblock| {
            let mut fields = VeritysetupFields::from(superblock).to_json();
            fields.insert("tree_end".to_owned(), self.tree_end(superblock).into());
            fields
        });
        json!({
            "verified": false,
            "bytes": self.bytes,
            "filesystems": filesystems,
            "damaged_filesystems": damaged,
            "hash_offset": self.hash_offset,
            "verity": verity.as_ref().ok(),
            "verity_error": verity.as_ref().err().map(|error| ErrorChain(error).to_string()),
            "bound_by": judgement.as_ref().ok().map(|binding| binding.as_str()),
            "refused": judgement.as_ref().err(),
        })
    }
}

impl FilesystemReport {
    fn find(fs_type: FsType, header: &[u8]) -> Result<Self, NoFilesystem> {
        let uuid = match fs_type {
            FsType::Erofs => Some(erofs::ErofsSuperblock::in_header(header)?.uuid),
            _ => None,
        };
        Ok(Self {
            fs_type,
            bytes: fs_type.claimed_bytes(header)?,
            uuid,
        })
    }
}

impl fmt::Display for SuperblockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Size:            \t{}", self.bytes)?;
        for filesystem in &self.filesystems {
            writeln!(f, "Filesystem:      \t{}", filesystem.fs_type)?;
            if let Some(uuid) = filesystem.uuid {
                writeln!(f, "Filesystem UUID: \t{uuid}")?;
            }
            writeln!(f, "Filesystem size: \t{}", filesystem.bytes)?;
        }
        for (fs_type, reason) in &self.damaged {
            let reason = ErrorChain(reason);
            writeln!(f, "Filesystem:      \t{fs_type}, damaged: {reason}")?;
        }
        if self.filesystems.is_empty() && self.damaged.is_empty() {
            writeln!(f, "Filesystem:      \tnone that is known")?;
        }
        writeln!(f, "Hash offset:     \t{}", self.hash_offset)?;
        match &self.verity {
            Ok(superblock) => VeritysetupFields::from(superblock).fmt(f),
            Err(reason) => writeln!(f, "Verity:          \tnone: {}", ErrorChain(reason)),
        }
    }
}
