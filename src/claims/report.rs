//! `inspect`, of both programs: the claims of a disk, read at once and shown as text and as JSON.

use std::fmt;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{NoSuperblock, ReadAt, header, superblock_after, superblock_at};
use crate::{
    erofs,
    filesystem::{FsType, NoFilesystem},
    verity::{Binding, HashArea, Labels, Superblock, TreeLayout},
};

/// What the superblocks of a disk claim.
///
/// **Nothing of it is verified**: whoever wrote the disk chose every value. It is for people who
/// look for what is wrong, and must not decide what is mounted.
///
/// ```
/// use disk_mounter::claims::Claims;
///
/// // A disk without anything on it, in memory. A [`ReadAt`] of one's own spares that for others.
/// let disk = vec![0; 1 << 20];
/// let claims = Claims::read(&disk[..], None)?;
/// assert!(claims.filesystems.is_empty() && claims.verity.is_err());
/// assert!(claims.to_string().contains("nothing of it is verified"));
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The size of the disk in bytes. This is no claim.
    pub bytes: u64,
    /// The filesystems whose superblocks are there: at most one on any honest disk.
    pub filesystems: Vec<Filesystem>,
    /// The superblocks of filesystems that are there and cannot be, and why.
    pub damaged: Vec<(FsType, NoFilesystem)>,
    /// Where a dm-verity superblock was looked for, in bytes.
    pub hash_offset: u64,
    /// That superblock, or why there is none.
    pub verity: Result<Superblock, NoSuperblock>,
}

/// The claims of a filesystem's superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Its type.
    pub fs_type: FsType,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its UUID, where that is known to be read: in EROFS.
    pub uuid: Option<Uuid>,
}

impl Claims {
    /// Reads the superblocks of a disk: the dm-verity one at byte `hash_offset` or, if that is
    /// not given, after the filesystem; on a disk without a filesystem, such as a hash device, at
    /// its start. An error is one of reading.
    pub fn read<D: ReadAt + ?Sized>(disk: &D, hash_offset: Option<u64>) -> Result<Self, D::Error> {
        let header = header(disk)?;
        let (mut filesystems, mut damaged) = (Vec::new(), Vec::new());
        for fs_type in FsType::ALL {
            match Filesystem::find(fs_type, &header) {
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

    /// What would bind the claimed geometry, if the rest verifies.
    fn binding(&self, superblock: &Superblock) -> Option<Binding> {
        let filesystem_bytes = self.filesystems.first().map(|filesystem| filesystem.bytes);
        Binding::find(&superblock.params, None, filesystem_bytes).ok()
    }

    /// Where the tree would end, in bytes.
    fn tree_end(&self, superblock: &Superblock) -> Option<u64> {
        let area = HashArea::new(&superblock.params, self.hash_offset, true).ok()?;
        Some(area.end(&TreeLayout::new(&superblock.params)))
    }

    /// As a JSON object, in which `verified` is always false. Numbers are bytes or counts.
    pub fn to_json(&self) -> Value {
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
            .map(|(fs_type, reason)| json!({"type": fs_type.name(), "reason": reason.to_string()}))
            .collect();
        let verity = self.verity.as_ref().map(|superblock| {
            let mut fields = Labels::from(superblock).to_json();
            let bound_by = self.binding(superblock).map(Binding::as_str);
            fields.insert("bound_by".to_owned(), bound_by.into());
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
            "verity_error": verity.as_ref().err().map(ToString::to_string),
        })
    }
}

impl Filesystem {
    fn find(fs_type: FsType, header: &[u8]) -> Result<Self, NoFilesystem> {
        let uuid = match fs_type {
            FsType::Erofs => Some(erofs::Superblock::in_header(header)?.uuid),
            _ => None,
        };
        Ok(Self {
            fs_type,
            bytes: fs_type.claimed_bytes(header)?,
            uuid,
        })
    }
}

/// As `NAME: TAB VALUE` lines, with the labels of `veritysetup`.
impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "What the disk claims; nothing of it is verified.")?;
        writeln!(f, "Size:            \t{}", self.bytes)?;
        for filesystem in &self.filesystems {
            writeln!(f, "Filesystem:      \t{}", filesystem.fs_type)?;
            if let Some(uuid) = filesystem.uuid {
                writeln!(f, "Filesystem UUID: \t{uuid}")?;
            }
            writeln!(f, "Filesystem size: \t{}", filesystem.bytes)?;
        }
        for (fs_type, reason) in &self.damaged {
            writeln!(f, "Filesystem:      \t{fs_type}, damaged: {reason}")?;
        }
        if self.filesystems.is_empty() && self.damaged.is_empty() {
            writeln!(f, "Filesystem:      \tnone that is known")?;
        }
        writeln!(f, "Hash offset:     \t{}", self.hash_offset)?;
        let superblock = match &self.verity {
            Ok(superblock) => superblock,
            Err(reason) => return writeln!(f, "Verity:          \tnone: {reason}"),
        };
        write!(f, "{}", Labels::from(superblock))?;
        let bound = match self.binding(superblock) {
            Some(binding) => binding.as_str(),
            None => "nothing: mounting it takes --data-blocks",
        };
        writeln!(f, "Geometry bound by:\t{bound}")
    }
}
