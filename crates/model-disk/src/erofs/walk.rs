//! A walk over the tree of an image, to tell whose a byte of it is.

use std::{error::Error, io, ops::Range};

use super::{
    ErofsError, ErofsNode,
    reader::{DirectoryBlock, DirectoryPlace, ImageReader},
};
use crate::Escaped;

/// How many directory entries, `.` and `..` among them, an image may have. Beyond
/// them a walk gives up, and no disk is made: more than in any model, and still
/// minutes at most on an image that was made to waste time.
pub const MAX_ENTRIES: u64 = 1 << 24;

/// The same for directories in directories: no longer path can be given to a
/// system call, so no file has one that could be opened.
pub(super) const MAX_PATH_SIZE: usize = 4095;

/// How many paths of one range of bytes are told. That many files in one block
/// are there only to fill memory.
const MAX_PATHS: usize = 256;

/// Something that a walk visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkEntry<'a> {
    /// Its path from the root directory, which itself is empty. Any bytes but
    /// NUL: escape them before they are shown.
    pub path: &'a [u8],
    /// What it is.
    pub node: &'a ErofsNode,
}

/// A walk over everything in an image, each directory before what is in it, in the
/// order of the directories' entries.
///
/// It reads by a function that fills a buffer from a byte offset of the image. The
/// image may be hostile or damaged: what is read, how often, how deep and into how
/// much memory is bounded, and what comes before an error is there.
pub struct Walk<R> {
    image: ImageReader<R>,
    /// What all starts with, until it is visited.
    root: Option<ErofsNode>,
    /// What was visited last, with this path.
    visited: Option<ErofsNode>,
    path: Vec<u8>,
    /// The directories on the way to it.
    stack: Vec<DirectoryFrame>,
    /// Only the block in use is kept, so a directory's is read again after what
    /// lies below it.
    block: DirectoryBlock,
    name: Vec<u8>,
    entries: u64,
}

impl<E: Error + 'static, R: FnMut(&mut [u8], u64) -> Result<(), E>> Walk<R> {
    /// Reads the superblock, and where the root directory is.
    pub fn new(read: R) -> Result<Self, ErofsError<E>> {
        let mut image = ImageReader::open(read)?;
        let root = image.find(image.superblock.root_nid)?;
        if !root.is_directory() {
            return Err(ErofsError::Directory(root.nid));
        }
        Ok(Self::below(image, root))
    }

    /// A walk from a node of the image on.
    pub(super) fn below(image: ImageReader<R>, node: ErofsNode) -> Self {
        Self {
            image,
            root: Some(node),
            visited: None,
            path: Vec::new(),
            stack: Vec::new(),
            block: DirectoryBlock::default(),
            name: Vec::new(),
            entries: 0,
        }
    }

    /// The next one; none when all have been visited. After an error there is no next.
    pub fn next_entry(&mut self) -> Result<Option<WalkEntry<'_>>, ErofsError<E>> {
        let found = match self.root.take() {
            Some(root) => Some(root),
            None => self.find_next()?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        Ok(Some(WalkEntry {
            path: &self.path,
            node: self.visited.insert(found),
        }))
    }

    #[expect(
        clippy::arithmetic_side_effects,
        reason = "entries are counted up to a limit"
    )]
    fn find_next(&mut self) -> Result<Option<ErofsNode>, ErofsError<E>> {
        // Only now: a directory is visited whatever is wrong with what is in it.
        if let Some(last) = self.visited.take()
            && last.is_directory()
        {
            self.stack.push(DirectoryFrame {
                place: DirectoryPlace::start(&last)?,
                path_size: self.path.len(),
            });
        }
        while let Some(frame) = self.stack.last_mut() {
            self.path.truncate(frame.path_size);
            let (place, block) = (&mut frame.place, &mut self.block);
            let Some(nid) = self.image.next_entry(place, block, &mut self.name)? else {
                self.stack.pop();
                continue;
            };
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(ErofsError::TooManyEntries);
            }
            if self.name == b"." || self.name == b".." {
                continue;
            }
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&self.name);
            if self.path.len() > MAX_PATH_SIZE {
                return Err(ErofsError::TooDeep);
            }
            return self.image.find(nid).map(Some);
        }
        Ok(None)
    }
}

/// A directory on the way down to where the walk is.
struct DirectoryFrame {
    place: DirectoryPlace,
    /// The size of its path in bytes.
    path_size: usize,
}

/// Visits everything in an image, as a [`Walk`] does.
pub fn walk(
    read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    mut visit: impl FnMut(WalkEntry<'_>),
) -> Result<(), ErofsError> {
    let mut walk = Walk::new(read)?;
    while let Some(entry) = walk.next_entry()? {
        visit(entry);
    }
    Ok(())
}

/// What has data in a range of an image's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathsInRange {
    /// The paths of the files and directories: the first 256, where there are more.
    pub paths: Vec<Vec<u8>>,
    /// Whether the place of all data is known. Then no path at all means that the range
    /// holds inodes, padding, or what lies after the filesystem.
    pub all_known: bool,
}

impl PathsInRange {
    /// The paths for people, escaped. None where there is none but some may have been missed.
    pub fn shown(&self) -> Option<String> {
        let shown = |path: &Vec<u8>| Escaped::bytes(path).to_string();
        match &*self.paths {
            [] => self.all_known.then(|| "no file".to_owned()),
            paths => Some(paths.iter().map(shown).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Looks for what has data in a range of an image's bytes.
pub fn paths_in(
    read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    bytes: Range<u64>,
) -> Result<PathsInRange, ErofsError> {
    let mut found = PathsInRange {
        paths: Vec::new(),
        all_known: true,
    };
    let overlaps = |data: &Range<u64>| data.start.max(bytes.start) < data.end.min(bytes.end);
    walk(read, |entry| match entry.node.flat_data() {
        None => found.all_known = false,
        Some(data) if found.paths.len() < MAX_PATHS && data.iter().any(overlaps) => {
            found.paths.push(entry.path.to_vec());
        }
        Some(_) => {}
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erofs::{DIRENT_SIZE, MODE_DIRECTORY, MODE_REGULAR};

    const BLOCK: usize = 512;

    /// The inode of the number `place` stands at the start of block 4 + `place` / 16; the data
    /// of a directory with this number is block 20 + `place` / 16.
    struct Crafted(Vec<u8>);

    impl Crafted {
        fn new() -> Self {
            let mut image = vec![0; 40 * BLOCK];
            image[1024..1028].copy_from_slice(&crate::erofs::MAGIC.to_le_bytes());
            image[1036] = 9;
            image[1060] = 40;
            image[1064] = 4;
            Self(image)
        }

        fn inode(&mut self, place: usize, mode: u16) {
            let at = 4 * BLOCK + place * 32;
            self.0[at + 4..at + 6].copy_from_slice(&mode.to_le_bytes());
            self.0[at + 8..at + 12].copy_from_slice(&(BLOCK as u32).to_le_bytes());
            self.0[at + 16] = 20 + place as u8 / 16;
        }

        fn directory(&mut self, place: usize, entries: &[(&str, usize)]) {
            self.inode(place, MODE_DIRECTORY);
            let block = &mut self.0[(20 + place / 16) * BLOCK..][..BLOCK];
            let mut end = entries.len() * DIRENT_SIZE;
            for (index, (name, nid)) in entries.iter().enumerate() {
                let entry = &mut block[index * DIRENT_SIZE..];
                entry[0] = *nid as u8;
                entry[8..10].copy_from_slice(&(end as u16).to_le_bytes());
                block[end..end + name.len()].copy_from_slice(name.as_bytes());
                end += name.len();
            }
        }

        fn read(&self) -> impl FnMut(&mut [u8], u64) -> io::Result<()> {
            |buffer, offset| {
                let bytes = self.0.get(offset as usize..).unwrap_or_default();
                let bytes = bytes.get(..buffer.len());
                buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// A directory in itself, by the longest name: without a limit on the path, 2048 of them
    /// would take 535 MB.
    #[test]
    fn a_loop_of_long_names_takes_little_memory() {
        let mut image = Crafted::new();
        image.directory(0, &[(&"n".repeat(255), 0)]);
        let mut longest = 0;
        let result = walk(image.read(), |node| longest = longest.max(node.path.len()));
        assert!(matches!(result, Err(ErofsError::TooDeep)), "{result:?}");
        assert_eq!(longest, 15 * 256 + 255);
    }

    /// One file by 20^4 paths: an image of a few blocks.
    #[test]
    fn many_paths_of_one_file_take_little_memory() {
        let mut image = Crafted::new();
        let names: Vec<String> = (b'a'..b'u')
            .map(|byte| char::from(byte).to_string())
            .collect();
        for level in 0..4 {
            let entries: Vec<_> = names
                .iter()
                .map(|name| (&**name, 16 * (level + 1)))
                .collect();
            image.directory(16 * level, &entries);
        }
        image.inode(64, MODE_REGULAR);
        let mut files = 0;
        walk(image.read(), |node| {
            files += usize::from(node.path.len() == 7)
        })
        .unwrap();
        assert_eq!(files, 20 * 20 * 20 * 20);
        let found = paths_in(image.read(), 24 * 512..25 * 512).unwrap();
        assert_eq!(found.paths.len(), MAX_PATHS);
        assert_eq!(found.paths[..2], [b"a/a/a/a", b"a/a/a/b"]);
        assert!(found.all_known);
    }

    /// The inode says how the data is stored, and only of flat data where.
    #[test]
    fn data_in_other_places_is_not_known() {
        for (layout, mode, size, known) in [
            (0, MODE_REGULAR, 512, true),
            (1, MODE_REGULAR, 512, false),
            (3, MODE_REGULAR, 512, false),
            (4, MODE_REGULAR, 512, false),
            (7, MODE_REGULAR, 1, false),
            // There is none.
            (1, MODE_REGULAR, 0, true),
            (4, 0o020_000, 512, true),
        ] {
            let mut image = Crafted::new();
            image.directory(0, &[("file", 16)]);
            image.inode(16, mode);
            let at = 5 * BLOCK;
            image.0[at] = layout << 1;
            image.0[at + 8..at + 10].copy_from_slice(&u16::to_le_bytes(size));
            let found = paths_in(image.read(), 20 * 512..21 * 512).unwrap();
            assert_eq!(found.paths, [b""], "the root directory");
            assert_eq!(found.all_known, known, "{layout} {mode:o} {size}");
        }
    }
}
