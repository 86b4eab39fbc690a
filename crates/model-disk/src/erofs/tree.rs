//! The tree of directories and files that a list of paths stands for.

use crate::{FileList, RelativePath};

/// Everything that gets an inode, in the order of the inodes: the root directory,
/// then the tree as a walk meets it that takes the entries of each directory in
/// the order of their bytes, and goes into a directory before it goes on.
pub(super) struct DirectoryTree<'a>(pub(super) Vec<TreeNode<'a>>);

/// A directory or a file.
pub(super) struct TreeNode<'a> {
    /// Empty for the root directory.
    pub(super) name: &'a [u8],
    /// The directory's place in the tree that this is in. The root is in itself.
    pub(super) parent: usize,
    pub(super) kind: TreeNodeKind,
}

pub(super) enum TreeNodeKind {
    /// The places in the tree of its entries, in the order of their names.
    Directory(Vec<usize>),
    /// The size in bytes.
    File(u64),
}

impl<'a> DirectoryTree<'a> {
    #[expect(
        clippy::indexing_slicing,
        reason = "places in itself, and the root stays open"
    )]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the root stays open, and what is counted lies in memory"
    )]
    pub(super) fn new(files: &'a FileList) -> Self {
        let mut tree = Self(vec![TreeNode {
            name: b"",
            parent: 0,
            kind: TreeNodeKind::Directory(vec![]),
        }]);
        // The directories from the root to that of the file before.
        let mut open: Vec<usize> = vec![0];
        let mut last: Option<&RelativePath> = None;
        for file in files.iter() {
            let shared = last.map_or(0, |last| shared_directories(last, &file.path));
            open.truncate(1 + shared);
            let mut names = file.path.names().skip(shared).peekable();
            while let Some(name) = names.next() {
                let parent = open[open.len() - 1];
                if names.peek().is_some() {
                    open.push(tree.add(parent, name, TreeNodeKind::Directory(vec![])));
                } else {
                    tree.add(parent, name, TreeNodeKind::File(file.size));
                }
            }
            last = Some(&file.path);
        }
        tree
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "places in itself, and the root stays open"
    )]
    fn add(&mut self, parent: usize, name: &'a [u8], kind: TreeNodeKind) -> usize {
        let place = self.0.len();
        if let TreeNodeKind::Directory(entries) = &mut self.0[parent].kind {
            entries.push(place);
        }
        self.0.push(TreeNode { name, parent, kind });
        place
    }

    /// How many entries all directories have, `.` and `..` among them.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the root stays open, and what is counted lies in memory"
    )]
    pub(super) fn entries(&self) -> u64 {
        let entries = self.0.iter().map(|node| match &node.kind {
            TreeNodeKind::Directory(entries) => 2 + entries.len() as u64,
            TreeNodeKind::File(_) => 0,
        });
        entries.sum()
    }

    /// How many of the entries are directories.
    #[expect(
        clippy::indexing_slicing,
        reason = "places in itself, and the root stays open"
    )]
    pub(super) fn subdirectories(&self, entries: &[usize]) -> usize {
        let is_directory =
            |place: &&usize| matches!(self.0[**place].kind, TreeNodeKind::Directory(_));
        entries.iter().filter(is_directory).count()
    }
}

/// In how many directories from the top both files are.
fn shared_directories(a: &RelativePath, b: &RelativePath) -> usize {
    // Neither path is the start of the other, so names that are equal are never
    // those of the files.
    a.names().zip(b.names()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelFile;

    #[test]
    fn in_the_order_of_a_walk() {
        let paths = ["a/b/c", "a/b/d", "a/e", "a.f", "g/b/c", "h"];
        let files = paths.map(|path| ModelFile {
            path: RelativePath::new(path).unwrap(),
            size: 1,
        });
        let files = FileList::new(files.to_vec()).unwrap();
        let tree = DirectoryTree::new(&files);
        let found: Vec<(&str, usize, Option<&[usize]>)> = tree
            .0
            .iter()
            .map(|node| {
                let entries = match &node.kind {
                    TreeNodeKind::Directory(entries) => Some(entries.as_slice()),
                    TreeNodeKind::File(_) => None,
                };
                (str::from_utf8(node.name).unwrap(), node.parent, entries)
            })
            .collect();
        let expected: [(&str, usize, Option<&[usize]>); 11] = [
            ("", 0, Some(&[1, 6, 7, 10])),
            ("a", 0, Some(&[2, 5])),
            ("b", 1, Some(&[3, 4])),
            ("c", 2, None),
            ("d", 2, None),
            ("e", 1, None),
            ("a.f", 0, None),
            ("g", 0, Some(&[8])),
            ("b", 7, Some(&[9])),
            ("c", 8, None),
            ("h", 0, None),
        ];
        assert_eq!(found, expected);
        assert_eq!(tree.subdirectories(&[1, 6, 7, 10]), 2);
        assert_eq!(tree.entries(), 10 + 5 * 2);
    }
}
