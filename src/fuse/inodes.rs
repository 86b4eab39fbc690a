//! The numbers that the kernel knows files by, and those that EROFS has for them.

use fuser::INodeNo;

/// A protocol number is this much more than that of EROFS, which can be 0 and 1: the one is no file for
/// the kernel, the other always the root.
const SHIFT: u64 = 2;

/// Which file a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileNumber {
    /// The directory that all is in, whatever EROFS calls it.
    Root,
    /// The one that EROFS has under this number.
    Nid(u64),
}

/// What the kernel is to call a file that EROFS has under this number. None for a number that no file
/// of an image can have.
pub(super) fn number_of(nid: u64) -> Option<INodeNo> {
    nid.checked_add(SHIFT).map(INodeNo)
}

/// The file that the kernel means; None where nobody has told it this number.
pub(super) fn file_of(number: INodeNo) -> Option<FileNumber> {
    if number == INodeNo::ROOT {
        return Some(FileNumber::Root);
    }
    number.0.checked_sub(SHIFT).map(FileNumber::Nid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        for nid in [0, 1, 2, 36, u64::MAX - SHIFT] {
            let number = number_of(nid).unwrap();
            assert_ne!(number, INodeNo::ROOT);
            assert_eq!(file_of(number), Some(FileNumber::Nid(nid)));
        }
        assert_eq!(number_of(u64::MAX), None);
        assert_eq!(file_of(INodeNo::ROOT), Some(FileNumber::Root));
        assert_eq!(file_of(INodeNo(0)), None);
    }
}
