//! Directory blocks, read and written: a table of entries, and their names after it.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U16, U64},
};

use super::BLOCK_SIZE;

/// The size of an entry without its name in bytes.
pub const DIRENT_SIZE: usize = 12;

/// The size of the longest name in bytes.
pub const MAX_NAME_SIZE: usize = 255;

/// What an entry says its inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// A regular file.
    Regular = 1,
    /// A directory.
    Directory = 2,
}

/// An entry byte for byte. Its name stands further down in the same block.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
#[allow(missing_docs)] // The names are those of the format.
pub struct Dirent {
    pub nid: U64,
    pub name_offset: U16,
    pub file_type: u8,
    pub reserved: u8,
}

#[expect(clippy::disallowed_macros, reason = "known when it is compiled")]
const _: () = assert!(size_of::<Dirent>() == DIRENT_SIZE);

/// An entry of a directory block whose table is not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadBlock;

/// The entry number `index` of a directory block, as its inode's number and its
/// name, or `None` when the block has no more.
///
/// A name that comes back has 1 to 255 bytes, and no slash and no NUL among them.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "indices are below the number of entries in a block"
)]
pub(super) fn entry(block: &[u8], index: usize) -> Result<Option<(u64, &[u8])>, BadBlock> {
    let at = |index: usize| -> Result<Dirent, BadBlock> {
        let rest = block.get(index * DIRENT_SIZE..).ok_or(BadBlock)?;
        let (entry, _) = Dirent::read_from_prefix(rest).map_err(|_| BadBlock)?;
        Ok(entry)
    };
    let name_offset = |entry: Dirent| usize::from(entry.name_offset.get());

    let table = name_offset(at(0)?);
    let count = table / DIRENT_SIZE;
    if count == 0 || !table.is_multiple_of(DIRENT_SIZE) || table > block.len() {
        return Err(BadBlock);
    }
    if index >= count {
        return Ok(None);
    }
    let this = at(index)?;
    let name = if index + 1 < count {
        block.get(name_offset(this)..name_offset(at(index + 1)?))
    } else {
        // The last name ends with the block, or at the first NUL of its padding.
        block
            .get(name_offset(this)..)
            .and_then(|rest| rest.split(|byte| *byte == 0).next())
    };
    let name = name.ok_or(BadBlock)?;
    let good = (1..=MAX_NAME_SIZE).contains(&name.len())
        && name_offset(this) >= table
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if good {
        Ok(Some((this.nid.get(), name)))
    } else {
        Err(BadBlock)
    }
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: u64,
    pub(super) file_type: FileType,
}

/// The size in bytes of a directory whose names these are, in their order: that
/// of its whole blocks, and of what is used of its last.
#[expect(clippy::arithmetic_side_effects, reason = "names that lie in memory")]
pub(super) fn size<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let (mut whole, mut used) = (0, 0);
    for name in names {
        let size = (DIRENT_SIZE + name.len()) as u64;
        if used + size > BLOCK_SIZE {
            whole += BLOCK_SIZE;
            used = 0;
        }
        used += size;
    }
    whole + used
}

/// Appends the data of a directory, as many bytes as [`size`] says. A block takes
/// as many entries as fit, and zeros after the last name where there is more to
/// come.
#[expect(
    clippy::disallowed_methods,
    reason = "no more entries fit than there are"
)]
#[expect(clippy::arithmetic_side_effects, reason = "names that lie in memory")]
pub(super) fn write(entries: &[NewEntry<'_>], out: &mut Vec<u8>) {
    let mut rest = entries;
    while !rest.is_empty() {
        let (block, after) = rest.split_at(fitting(rest));
        let start = out.len();
        let mut name_offset = block.len() * DIRENT_SIZE;
        for entry in block {
            let dirent = Dirent {
                nid: entry.nid.into(),
                name_offset: (name_offset as u16).into(), // below the block size
                file_type: entry.file_type as u8,
                reserved: 0,
            };
            out.extend_from_slice(dirent.as_bytes());
            name_offset += entry.name.len();
        }
        for entry in block {
            out.extend_from_slice(entry.name);
        }
        if !after.is_empty() {
            out.resize(start + BLOCK_SIZE as usize, 0);
        }
        rest = after;
    }
}

/// How many of these entries fit into a block: at least one, as names are short.
#[expect(clippy::arithmetic_side_effects, reason = "names that lie in memory")]
fn fitting(entries: &[NewEntry<'_>]) -> usize {
    let mut used = 0;
    let fits = |entry: &&NewEntry<'_>| {
        used += DIRENT_SIZE + entry.name.len();
        used as u64 <= BLOCK_SIZE
    };
    entries.iter().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(names: &[&str], padding: usize) -> Vec<u8> {
        let mut table = Vec::new();
        let mut bytes = Vec::new();
        for (nid, name) in names.iter().enumerate() {
            let entry = Dirent {
                nid: (nid as u64).into(),
                name_offset: ((names.len() * DIRENT_SIZE + bytes.len()) as u16).into(),
                file_type: FileType::Regular as u8,
                reserved: 0,
            };
            table.extend_from_slice(entry.as_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        [table, bytes, vec![0; padding]].concat()
    }

    #[test]
    fn entries_one_by_one() {
        for padding in [0, 1, 100] {
            let block = block(&["a", "bcd", "ef"], padding);
            assert_eq!(entry(&block, 0), Ok(Some((0, &b"a"[..]))));
            assert_eq!(entry(&block, 1), Ok(Some((1, &b"bcd"[..]))));
            assert_eq!(entry(&block, 2), Ok(Some((2, &b"ef"[..]))));
            assert_eq!(entry(&block, 3), Ok(None));
        }
    }

    #[test]
    fn bad_tables_and_names_are_refused() {
        assert_eq!(entry(&[], 0), Err(BadBlock));
        assert_eq!(entry(&[0; 4096], 0), Err(BadBlock));
        assert_eq!(entry(&[0xff; 4096], 0), Err(BadBlock));
        for (name, index) in [("", 0), ("a/b", 0), ("a\0b", 0)] {
            let block = block(&[name, "z"], 0);
            assert_eq!(entry(&block, index), Err(BadBlock), "{name:?}");
        }
        let mut backwards = block(&["a", "b", "c"], 0);
        backwards[DIRENT_SIZE + 8] = 0;
        assert_eq!(entry(&backwards, 0), Err(BadBlock));
        assert_eq!(entry(&backwards, 1), Err(BadBlock));
        assert_eq!(entry(&block(&[&"n".repeat(256)], 0), 0), Err(BadBlock));
    }

    fn written(names: &[Vec<u8>]) -> Vec<u8> {
        let entries: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(nid, name)| NewEntry {
                name,
                nid: nid as u64,
                file_type: FileType::Regular,
            })
            .collect();
        let mut out = vec![0xaa; 3];
        write(&entries, &mut out);
        assert_eq!(out[..3], [0xaa; 3]);
        let out = out.split_off(3);
        assert_eq!(out.len() as u64, size(names.iter().map(Vec::as_slice)));
        out
    }

    #[test]
    fn bytes_of_a_small_one() {
        let out = written(&[b"ab".to_vec(), b"c".to_vec()]);
        let expected = [
            &[0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 1, 0][..],
            &[1, 0, 0, 0, 0, 0, 0, 0, 26, 0, 1, 0],
            b"abc",
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn a_block_is_filled_to_its_last_byte() {
        // 15 × (12 + 255) + 12 + 79 = 4096
        let mut names = vec![vec![b'n'; 255]; 15];
        names.push(vec![b'm'; 79]);
        assert_eq!(written(&names).len(), 4096);
        names[15].push(b'm');
        let out = written(&names);
        assert_eq!(out.len(), 4096 + 12 + 80);
        assert_eq!(out[15 * 267..4096], [0; 91]);
        assert_eq!(out[4096], 15);
    }
}
