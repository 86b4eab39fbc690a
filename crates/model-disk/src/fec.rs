//! Where the FEC area of a disk is. Nothing of it needs trust: what is corrected by it is hashed again.

use std::path::{Path, PathBuf};

use dm_verity::{
    HashArea, MAX_BYTES, TreeLayout, VerityParams,
    fec::{FecArea, FecAreaError, FecDecoder, FecLayout, FecLayoutError, FecRoots},
};

use crate::{BackingFile, BackingKind, Escaped, ExitCode, HasExitCode, ReadAt};

/// What the arguments of a program say of a disk's forward error correction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FecArguments {
    /// The device with the FEC area; if not given, it is that with the tree.
    pub device: Option<PathBuf>,
    /// Where the area starts, in bytes; if not given, right after the tree, or at byte 0 of a device of
    /// its own.
    pub offset: Option<u64>,
    /// How many bytes of a codeword are parity.
    pub roots: FecRoots,
}

impl FecArguments {
    /// Opens the device that they name, if they name one.
    pub fn open<E>(
        &self,
        open: impl FnOnce(&Path) -> Result<BackingFile, E>,
    ) -> Result<FecSource<'_>, E> {
        let file = self.device.as_deref().map(open).transpose()?;
        let arguments = self;
        Ok(FecSource { file, arguments })
    }
}

/// Where an FEC area is looked for.
#[derive(Debug)]
pub struct FecSource<'a> {
    /// The device that the arguments name for it, open, if they name one.
    pub file: Option<BackingFile>,
    /// What the arguments say of it.
    pub arguments: &'a FecArguments,
}

/// The FEC area of a disk: one that can be there, whatever is in it.
#[derive(Debug)]
pub struct DiskFec {
    /// None where it is on the device with the tree.
    file: Option<BackingFile>,
    layout: FecLayout,
    area: FecArea,
}

/// Why no FEC area can be where the arguments say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FecError {
    /// The disk can have none.
    #[error("{} can have no FEC area", Escaped::path(path))]
    Layout {
        /// The data device.
        path: PathBuf,
        /// Why.
        source: FecLayoutError,
    },
    /// No area can start there.
    #[error("--fec-offset")]
    Offset(#[from] FecAreaError),
    /// It lies within the tree, or within the data.
    #[error(
        "the FEC area at byte {offset} of {} lies within {what}, which ends at byte {end}",
        Escaped::path(path)
    )]
    Overlap {
        /// The device.
        path: PathBuf,
        /// Where the area starts.
        offset: u64,
        /// What else is there.
        what: &'static str,
        /// Where that ends.
        end: u64,
    },
    /// The device ends before the area does.
    #[error(
        "{} has no whole FEC area at byte {offset}: with {roots} roots it would end at byte {end}, and \
         there are {bytes} bytes (--fec-offset names another place, --fec-roots another number)",
        Escaped::path(path)
    )]
    CutShort {
        /// The device.
        path: PathBuf,
        /// Where the area starts.
        offset: u64,
        /// How many bytes of a codeword are parity.
        roots: FecRoots,
        /// Where it would end.
        end: u64,
        /// How long the device is.
        bytes: u64,
    },
}

impl HasExitCode for FecError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Offset(_) => ExitCode::Usage,
            Self::Layout { .. } | Self::Overlap { .. } | Self::CutShort { .. } => {
                ExitCode::Integrity
            }
        }
    }
}

impl DiskFec {
    /// Finds the area of a disk whose data and tree fit onto their devices.
    ///
    /// The area covers the data and what is on the device of the tree from its first block on: up to
    /// the area itself, or, if that is on another device, to the end. So `veritysetup` counts.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "block sizes are at least 512 bytes"
    )]
    pub(crate) fn find(
        data: &BackingFile,
        hash: &BackingFile,
        (params, area): (&VerityParams, &HashArea),
        source: FecSource<'_>,
    ) -> Result<Self, FecError> {
        let FecSource { file, arguments } = source;
        let block_size = params.data_block_size().bytes();
        let tree = TreeLayout::new(params);
        let tree_end = area.end(&tree);
        // A device may be named twice.
        let file = file.filter(|file| !is_same(file, hash));
        let first = if arguments.device.is_some() {
            0
        } else {
            tree_end
        };
        let offset = arguments.offset.unwrap_or(first);
        if offset > MAX_BYTES {
            return Err(FecAreaError::TooLarge(offset).into());
        }
        let covered_end = if file.is_none() { offset } else { hash.bytes() };
        let of_tree = (covered_end / block_size).saturating_sub(area.first_block());
        // What is not covered to its end is answered below.
        let of_tree = of_tree.max(tree.blocks());
        let layout = FecLayout::with_hash_blocks(params, arguments.roots, of_tree);
        let layout = layout.map_err(|source| FecError::Layout {
            path: data.path().to_owned(),
            source,
        })?;
        let fec_area = FecArea::new(&layout, offset)?;
        let on = file.as_ref().unwrap_or(hash);
        let overlap = if file.is_none() && offset < tree_end {
            Some(("the hash tree", tree_end))
        } else if is_same(on, data) && offset < params.data_bytes() {
            Some(("the data", params.data_bytes()))
        } else {
            None
        };
        if let Some((what, end)) = overlap {
            return Err(FecError::Overlap {
                path: on.path().to_owned(),
                offset,
                what,
                end,
            });
        }
        if fec_area.end() > on.bytes() {
            return Err(FecError::CutShort {
                path: on.path().to_owned(),
                offset,
                roots: arguments.roots,
                end: fec_area.end(),
                bytes: on.bytes(),
            });
        }
        Ok(Self {
            file,
            layout,
            area: fec_area,
        })
    }

    /// What a block of the covered sequence should be, if all others of its row are what they should be;
    /// None where they cannot be read. Whoever asks has to verify it.
    pub(crate) fn propose(
        &self,
        data: &BackingFile,
        (hash, hash_area): (&BackingFile, &HashArea),
        block: u64,
    ) -> Option<Vec<u8>> {
        let block_size = self.layout.block_size().bytes();
        let area = self.file.as_ref().unwrap_or(hash);
        let read_area = |buffer: &mut [u8], offset| area.read_exact_at(buffer, offset).is_ok();
        let read_block = |buffer: &mut [u8], block: u64| {
            let read = match block.checked_sub(self.layout.data_blocks()) {
                None => data.read_exact_at(buffer, block.saturating_mul(block_size)),
                Some(block) => hash.read_exact_at(buffer, hash_area.block_offset(block)),
            };
            read.is_ok()
        };
        let decoder = FecDecoder::new(&self.layout);
        proposed_block(&decoder, self.area, block, read_area, read_block)
    }

    /// What holds it: `hash`, which holds the tree, or another file.
    pub fn file<'a>(&'a self, hash: &'a BackingFile) -> &'a BackingFile {
        self.file.as_ref().unwrap_or(hash)
    }

    /// What holds it, if that is not what holds the tree.
    pub fn separate_file(&self) -> Option<&BackingFile> {
        self.file.as_ref()
    }

    /// Which block is in which codewords.
    pub fn layout(&self) -> &FecLayout {
        &self.layout
    }

    /// Where it is on what holds it.
    pub fn area(&self) -> FecArea {
        self.area
    }
}

/// What a block of the sequence that an FEC area covers should be, by the others of its row; None where
/// they do not tell. It is a proposal: it is right if it has the digest that it should have.
///
/// `read_area` fills a buffer from a place of what holds the area, and `read_block` one with a block of
/// the sequence; both say whether they could, the second also whether the block can be right. Of a row
/// that can be right, no more is kept than the size of its parity; of any other, less than its blocks.
pub fn proposed_block(
    decoder: &FecDecoder,
    area: FecArea,
    block: u64,
    read_area: impl FnOnce(&mut [u8], u64) -> bool,
    read_block: impl Fn(&mut [u8], u64) -> bool,
) -> Option<Vec<u8>> {
    let layout = decoder.layout();
    let place = layout.place(block)?;
    let range = layout.row_parity_range(place.row)?;
    let mut parity = vec![0; layout.row_parity_bytes()];
    if !read_area(&mut parity, area.offset().checked_add(range.start)?) {
        return None;
    }
    let mut row = decoder.row(place.row);
    row.add_parity(&parity);
    let mut bad = vec![place.column];
    let mut bytes = vec![0; layout.block_size().as_usize()];
    for column in (0..layout.columns()).filter(|column| *column != place.column) {
        // The rest are zeros.
        let Some(other) = layout.block_at(place.row, column) else {
            break;
        };
        if read_block(&mut bytes, other) {
            row.add(column, &bytes);
            continue;
        }
        bad.push(column);
        if bad.len() > layout.roots().get() {
            return None;
        }
    }
    let corrections = row.correct(&bad).ok()?;
    corrections.change(place.column).map(<[u8]>::to_vec)
}

/// Whether two open files are one storage.
fn is_same(one: &BackingFile, other: &BackingFile) -> bool {
    let kind = match (one.kind(), other.kind()) {
        (BackingKind::File, BackingKind::File) => one.stamp().is_same_file(&other.stamp()),
        (one, other) => one == other,
    };
    kind && one.place() == other.place()
}
