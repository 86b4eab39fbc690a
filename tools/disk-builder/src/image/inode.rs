//! The inodes of an image.

use disk_mounter::erofs::{
    COMPACT_INODE_SIZE, CompactInode, EXTENDED_INODE_SIZE, ExtendedInode, FORMAT_EXTENDED,
    INODE_SLOT_SIZE, MODE_DIRECTORY, MODE_REGULAR,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// What an inode of an image says. All else in it is the same in each: mode 0644
/// or 0755, owner and times zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inode {
    pub(super) is_directory: bool,
    /// Of the data in bytes.
    pub(super) size: u64,
    /// For a file 1, for a directory 2 and one for each directory in it.
    pub(super) links: u32,
}

impl Inode {
    /// A compact inode suffices for less than 4 GiB and 65,536 links.
    fn is_extended(&self) -> bool {
        u32::try_from(self.size).is_err() || u16::try_from(self.links).is_err()
    }

    /// Where it goes, in bytes, when everything before `end` is taken: a multiple
    /// of its own size, so that none lies across two blocks.
    pub(super) fn address(&self, end: u64) -> u64 {
        end.next_multiple_of(self.len() as u64)
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> usize {
        match self.is_extended() {
            true => EXTENDED_INODE_SIZE,
            false => COMPACT_INODE_SIZE,
        }
    }

    fn mode(&self) -> u16 {
        match self.is_directory {
            true => MODE_DIRECTORY | 0o755,
            false => MODE_REGULAR | 0o644,
        }
    }

    /// Writes it to its address, which is at or after the end of `out`, with
    /// zeros before it. `ino` is its place among the inodes, from 1.
    pub(super) fn write(&self, ino: u32, start_block: u32, out: &mut Vec<u8>) {
        out.resize(self.address(out.len() as u64) as usize, 0);
        match (u32::try_from(self.size), u16::try_from(self.links)) {
            (Ok(size), Ok(links)) => {
                let mut raw = CompactInode::new_zeroed();
                raw.mode = self.mode().into();
                raw.links = links.into();
                raw.size = size.into();
                raw.start_block = start_block.into();
                raw.ino = ino.into();
                out.extend_from_slice(raw.as_bytes());
            }
            _ => {
                let mut raw = ExtendedInode::new_zeroed();
                raw.format = FORMAT_EXTENDED.into();
                raw.mode = self.mode().into();
                raw.links = self.links.into();
                raw.size = self.size.into();
                raw.start_block = start_block.into();
                raw.ino = ino.into();
                out.extend_from_slice(raw.as_bytes());
            }
        }
    }
}

/// The number of the inode at an address.
pub(super) fn nid(address: u64) -> u64 {
    address / INODE_SLOT_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(inode: Inode, before: usize) -> Vec<u8> {
        let mut out = vec![0xee; before];
        inode.write(0x0102_0304, 0x0506_0708, &mut out);
        out.split_off(before)
    }

    #[test]
    fn compact_where_it_suffices() {
        let file = Inode {
            is_directory: false,
            size: u32::MAX.into(),
            links: 65535,
        };
        let expected = [
            &[0, 0, 0, 0, 0o244, 0o201, 255, 255][..],
            &[255, 255, 255, 255, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1],
            &[0; 8],
        ];
        assert_eq!(written(file, 1184), expected.concat());
        assert_eq!(file.address(1184), 1184);
    }

    #[test]
    fn extended_where_it_does_not() {
        let large = Inode {
            is_directory: false,
            size: 1 << 32,
            links: 1,
        };
        let expected = [
            &[0; 32][..], // to the next multiple of 64
            &[1, 0, 0, 0, 0o244, 0o201, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            &[8, 7, 6, 5, 4, 3, 2, 1],
            &[0; 20],
            &[1, 0, 0, 0],
            &[0; 16],
        ];
        assert_eq!(written(large, 1184), expected.concat());
        assert_eq!(large.address(1184), 1216);
        assert_eq!(large.address(1216), 1216);

        let many = Inode {
            is_directory: true,
            size: 40,
            links: 65536,
        };
        let bytes = written(many, 64);
        assert_eq!(
            bytes[..16],
            [1, 0, 0, 0, 0o355, 0o101, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[44..48], [0, 0, 1, 0]);
    }
}
