//! What of a disk is taken: some of its paths, with all that is below them.

use model_disk::erofs::{ErofsKind, ErofsNode};

use super::{DiskPath, ReadingError, VerifiedFiles};

/// Paths of a disk, none of which is within another, in their order.
pub(super) struct Selection(Vec<DiskPath>);

impl Selection {
    /// These paths, or all there is if there are none.
    pub(super) fn new(mut paths: Vec<DiskPath>) -> Self {
        if paths.is_empty() {
            return Self::all();
        }
        paths.sort_unstable();
        paths.dedup_by(|next, kept| next == kept || kept.contains(next));
        Self(paths)
    }

    /// All there is on a disk.
    pub(super) fn all() -> Self {
        Self(vec![DiskPath::top()])
    }

    /// Whether it is all there is on a disk.
    pub(super) fn is_all(&self) -> bool {
        self.0 == [DiskPath::top()]
    }

    /// How many bytes all of its files have together.
    pub(super) fn bytes(&self, files: &VerifiedFiles) -> Result<u64, ReadingError> {
        let mut bytes: u64 = 0;
        self.visit(files, |_, node| {
            if node.kind() == ErofsKind::File {
                bytes = bytes.saturating_add(node.size());
            }
            Ok::<_, ReadingError>(true)
        })?;
        Ok(bytes)
    }

    /// Shows each of them with its path, and the directories that they are in before: each directory
    /// before what is in it. The top of the disk has no path and is left out. Ends where `visit` says
    /// false.
    pub(super) fn visit<E: From<ReadingError>>(
        &self,
        files: &VerifiedFiles,
        mut visit: impl FnMut(&[u8], &ErofsNode) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut before: Vec<&[u8]> = Vec::new();
        for selected in &self.0 {
            let node = files.find(selected)?;
            let names: Vec<&[u8]> = selected.names().collect();
            let shared = before.iter().zip(&names).take_while(|(a, b)| a == b);
            let shared = shared.count();
            for above in shared.saturating_add(1)..names.len() {
                let path = names.get(..above).unwrap_or_default().join(&b'/');
                let directory = files.find(&DiskPath::of(&path))?;
                if !visit(&path, &directory)? {
                    return Ok(());
                }
            }
            before = names;
            let mut path = selected.as_bytes().to_owned();
            let prefix = path.len();
            let mut walk = files.view.walk(node);
            while let Some(entry) = walk.next_entry().map_err(|error| files.failed(error))? {
                path.truncate(prefix);
                if prefix > 0 && !entry.path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.path);
                if !path.is_empty() && !visit(&path, entry.node)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_within_another() {
        let select = |paths: &[&str]| {
            let paths = paths
                .iter()
                .map(|path| DiskPath::new(path.as_bytes()).unwrap());
            let selected = Selection::new(paths.collect()).0;
            selected.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(select(&[]), ["/"]);
        assert_eq!(select(&["a", "/"]), ["/"]);
        assert_eq!(
            select(&["b", "a/b", "a", "b", "a.c", "ab"]),
            ["a", "a.c", "ab", "b"]
        );
    }
}
