//! A disk whose data is verified as it is read.

use std::fmt;

use dm_verity::{
    HashArea, RootHash, VerityParams,
    fec::{FecArea, FecLayout},
};
use model_disk::{BackingFile, Binding, Disk, DiskArguments, ReadAt, filesystem::HEADER_SIZE};

use crate::{BlockStorage, VerifiedDiskError, VerifiedReadError, tree::VerifiedTree};

/// A disk that gives verified bytes only, to as many threads as ask.
///
/// Blocks of the tree, and data that was asked for in small pieces, are kept when they have been
/// verified: [`CACHE_BYTES`](crate::CACHE_BYTES) at most.
pub struct VerifiedDisk<S = Disk> {
    storage: S,
    tree: VerifiedTree,
}

impl VerifiedDisk {
    /// Judges a disk by [`Disk::check`], and once more what binds its geometry, when its first bytes
    /// have been verified. The tree is on `hash` if that is given, and on `data` otherwise.
    pub fn open(
        data: BackingFile,
        hash: Option<BackingFile>,
        arguments: &DiskArguments,
    ) -> Result<(Self, Binding), VerifiedDiskError> {
        let root_hash = arguments.root_hash.ok_or(VerifiedDiskError::NoRootHash)?;
        Self::of(Disk::check(data, hash, arguments)?, root_hash)
    }

    /// A disk that was judged by this root hash, and what binds its geometry, when its first bytes have
    /// been verified. Where it has an FEC area, corrupt blocks are corrected.
    pub fn of(disk: Disk, root_hash: RootHash) -> Result<(Self, Binding), VerifiedDiskError> {
        let (params, area) = (disk.params().clone(), disk.hash_area());
        let fec = disk.fec().map(|fec| (*fec.layout(), fec.area()));
        let verified = Self::with_storage(params, area, root_hash, disk);
        let verified = match &fec {
            None => verified,
            Some((layout, area)) => verified.with_fec(layout, *area),
        };
        let mut header = vec![0; verified.bytes().min(HEADER_SIZE as u64) as usize];
        verified.read_exact_at(&mut header, 0)?;
        let binding = verified.storage.bind(&header)?;
        Ok((verified, binding))
    }
}

impl<S: BlockStorage> VerifiedDisk<S> {
    /// The data under a root hash, as any storage has it, with a tree of these parameters. Whether they
    /// are bound to the root hash is the caller's to know: [`VerifiedDisk::open`] does.
    pub fn with_storage(
        params: VerityParams,
        area: HashArea,
        root_hash: RootHash,
        storage: S,
    ) -> Self {
        let tree = VerifiedTree::new(params, area, root_hash);
        Self { storage, tree }
    }

    /// The same, where corrupt blocks are corrected by an FEC area, of which nothing is believed: what
    /// is corrected is verified like anything else.
    #[must_use]
    pub fn with_fec(self, layout: &FecLayout, area: FecArea) -> Self {
        Self {
            tree: self.tree.with_fec(layout, area),
            ..self
        }
    }

    /// How many blocks were corrected; None where none are. (Each counts once, as long as there are
    /// no more than 65,536.)
    pub fn corrected(&self) -> Option<u64> {
        self.tree.corrected()
    }

    /// What holds its blocks.
    pub fn storage(&self) -> &S {
        &self.storage
    }
}

impl<S: fmt::Debug> fmt::Debug for VerifiedDisk<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("VerifiedDisk");
        fields
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

impl<S: BlockStorage> ReadAt for VerifiedDisk<S> {
    type Error = VerifiedReadError;

    /// How many bytes of data the root hash covers.
    fn bytes(&self) -> u64 {
        self.tree.data_bytes()
    }

    /// Fills `buffer` with verified data from byte `offset` on. Where that fails, what is not verified
    /// of it is zeros, or what was there before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), VerifiedReadError> {
        let bytes = self.bytes();
        let end = offset.saturating_add(buffer.len() as u64);
        if end > bytes {
            return Err(VerifiedReadError::Beyond { end, bytes });
        }
        self.tree.read(&self.storage, buffer, offset)
    }
}
