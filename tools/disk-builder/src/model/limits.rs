//! How much is looked at in a model directory. No I/O.

use model_disk::erofs::MAX_ENTRIES;

/// The most files and directories to be found by way of links to directories within each other. A
/// few of those lead to very many: 18 directories, each with two links to the next, are 2^18.
/// By way of one link there are never more than links and files that somebody made.
pub(super) const MAX_LINKED: u64 = 1 << 18;

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// [`MAX_ENTRIES`], of the whole model.
    Entries,
    /// [`MAX_LINKED`].
    Linked,
}

/// What a name in a directory is to an EROFS image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    /// One entry.
    File,
    /// Its own entry, and two in itself, `.` and `..`.
    Directory,
}

/// Counts what was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    entries: u64,
    linked: u64,
    max_entries: u64,
    max_linked: u64,
}

impl Count {
    /// Nothing but the root directory, and all that may be still to come.
    pub(super) fn new() -> Self {
        Self::up_to(MAX_ENTRIES, MAX_LINKED)
    }

    /// The same with other limits.
    pub(super) fn up_to(max_entries: u64, max_linked: u64) -> Self {
        Self {
            entries: 2,
            linked: 0,
            max_entries,
            max_linked,
        }
    }

    /// One more, found by way of so many links to directories.
    pub(super) fn add(&mut self, found: Counted, links: usize) -> Result<(), Passed> {
        self.entries += match found {
            Counted::File => 1,
            Counted::Directory => 3,
        };
        self.linked += u64::from(links > 1);
        if self.entries > self.max_entries {
            return Err(Passed::Entries);
        }
        if self.linked > self.max_linked {
            return Err(Passed::Linked);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many can be added before a limit is passed, and which one it is.
    fn most(found: Counted, links: usize) -> (u64, Passed) {
        let mut count = Count::new();
        let mut added = 0;
        loop {
            match count.add(found, links) {
                Ok(()) => added += 1,
                Err(passed) => return (added, passed),
            }
        }
    }

    #[test]
    fn as_many_as_a_disk_can_have() {
        for links in [0, 1] {
            let files = (MAX_ENTRIES - 2, Passed::Entries);
            assert_eq!(most(Counted::File, links), files);
            let directories = ((MAX_ENTRIES - 2) / 3, Passed::Entries);
            assert_eq!(most(Counted::Directory, links), directories);
        }
    }

    #[test]
    fn fewer_by_links_within_links() {
        for links in [2, 17] {
            assert_eq!(most(Counted::File, links), (MAX_LINKED, Passed::Linked));
            assert_eq!(
                most(Counted::Directory, links),
                (MAX_LINKED, Passed::Linked)
            );
        }
    }
}
