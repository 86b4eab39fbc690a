//! What is to be extracted: all of it is looked at before anything is made.

use model_disk::erofs::{ErofsKind, ErofsNode};

use super::{
    super::{DiskPath, ReadingError, VerifiedFiles, selection::Selection},
    ExtractError, RefusedEntry,
    destination::RESERVED,
};

/// The bits of a mode that give a file its owner's or its group's rights.
const SET_ID: u16 = 0o6000;

/// The most that is extracted, in bytes.
const MAX_BYTES: u64 = 128 << 40;

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) links: u64,
    /// Of all files together.
    pub(super) bytes: u64,
}

/// Looks at everything that is selected, and refuses what is never made. Nothing is kept but numbers:
/// what a disk lists may be more than memory holds.
pub(super) fn plan(files: &VerifiedFiles, selection: &Selection) -> Result<Amount, ExtractError> {
    let mut amount = Amount::default();
    let mut before: Vec<u8> = Vec::new();
    selection.visit(files, |path, node| {
        let refused = |reason| {
            let path = DiskPath::of(path);
            Err(ExtractError::Refused { path, reason })
        };
        let names = |path: &'_ [u8]| -> Vec<Vec<u8>> {
            path.split(|byte| *byte == b'/')
                .map(<[u8]>::to_owned)
                .collect()
        };
        if !before.is_empty() && names(&before) >= names(path) {
            return refused(RefusedEntry::Order);
        }
        before.clear();
        before.extend_from_slice(path);
        if RESERVED.contains(&path) {
            return refused(RefusedEntry::Name);
        }
        let (count, bytes) = match node.kind() {
            ErofsKind::Special => return refused(RefusedEntry::Special),
            ErofsKind::Directory => (&mut amount.directories, 0),
            ErofsKind::Link => {
                let target = link_target(files, path, node)?;
                if !stays_inside(path, &target) {
                    return refused(RefusedEntry::Link);
                }
                (&mut amount.links, 0)
            }
            ErofsKind::File if node.mode() & SET_ID != 0 => return refused(RefusedEntry::SetId),
            ErofsKind::File => {
                // One that cannot be read is told by its first byte.
                let extents = files.view.extents(node, 0..1);
                extents.map_err(|error| files.file_failed(path, error))?;
                (&mut amount.files, node.size())
            }
        };
        *count = count.saturating_add(1);
        amount.bytes = amount.bytes.saturating_add(bytes);
        if amount.bytes > MAX_BYTES {
            return refused(RefusedEntry::TooMuch);
        }
        Ok(true)
    })?;
    Ok(amount)
}

/// The target of a link.
pub(in crate::reading) fn link_target(
    files: &VerifiedFiles,
    path: &[u8],
    link: &ErofsNode,
) -> Result<Vec<u8>, ReadingError> {
    let target = files.view.link_target(link);
    target.map_err(|error| files.file_failed(path, error))
}

/// Whether the target of a link at a path stays within the directory that it is extracted to, whatever
/// other links there are.
///
/// It may go up first, no further than to that directory: what it goes up through was made here, and is
/// no link. After a name that may be a link, nobody knows where up is.
fn stays_inside(path: &[u8], target: &[u8]) -> bool {
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let names = target.split(|byte| *byte == b'/');
    let mut names = names.filter(|name| !matches!(*name, b"" | b".")).peekable();
    let mut up: usize = 0;
    while names.next_if(|name| *name == b"..").is_some() {
        up = up.saturating_add(1);
    }
    !target.starts_with(b"/") && up <= depth && names.all(|name| name != b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_stay_inside() {
        for (path, target, inside) in [
            ("a", "b", true),
            ("a", "./b//c", true),
            ("a", "..", false),
            ("a", "/b", false),
            ("a", "b/../c", false),
            ("a/b/c", "../../d", true),
            ("a/b/c", "../..", true),
            ("a/b/c", "../../..", false),
            ("a/b/c", ".././../../d", false),
            ("a/b/c", "../x/..", false),
            ("a/b", "...", true),
        ] {
            let stays = stays_inside(path.as_bytes(), target.as_bytes());
            assert_eq!(stays, inside, "{path} -> {target}");
        }
    }
}
