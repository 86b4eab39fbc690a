//! The data of a directory.

use disk_mounter::erofs::{DIRENT_SIZE, Dirent, FileType};
use zerocopy::IntoBytes as _;

use super::BLOCK_SIZE;

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: u64,
    pub(super) file_type: FileType,
}

/// The size in bytes of a directory whose names these are, in their order: that
/// of its whole blocks, and of what is used of its last.
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
pub(super) fn write(entries: &[Entry<'_>], out: &mut Vec<u8>) {
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
fn fitting(entries: &[Entry<'_>]) -> usize {
    let mut used = 0;
    let fits = |entry: &&Entry<'_>| {
        used += DIRENT_SIZE + entry.name.len();
        used as u64 <= BLOCK_SIZE
    };
    entries.iter().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(names: &[Vec<u8>]) -> Vec<u8> {
        let entries: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(nid, name)| Entry {
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
