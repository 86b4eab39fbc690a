//! What is at the place of an output already, and is written to where it is.

use std::{
    fs::{Metadata, TryLockError},
    io,
    ops::Range,
    os::unix::fs::FileTypeExt,
    path::Path,
};

use model_disk::{BackingFile, BackingFileError, BackingKind, FileError};
use rustix::fs::OFlags;

use super::{LockHolder, OutputError, OutputPlace, place, signatures};

/// More links, from one to the next, than any device has.
const MAX_LINKS: usize = 8;

/// What is at a place. A link is followed to a block device, where nobody else can have made it; any
/// other is an error.
pub(crate) fn look(place: &OutputPlace) -> Result<Option<Metadata>, OutputError> {
    Ok(resolve(place)?.map(|(_, found)| found))
}

/// The same, and where it is in the end.
pub(super) fn resolve(place: &OutputPlace) -> Result<Option<(OutputPlace, Metadata)>, OutputError> {
    let refused = || OutputError::Link(place.path().to_owned());
    let mut at = place.clone();
    let mut found = match at.look()? {
        Some(found) if found.is_symlink() => found,
        found => return Ok(found.map(|found| (at, found))),
    };
    for _ in 0..MAX_LINKS {
        at = at.behind_own_link(&found).ok_or_else(refused)?;
        found = at.look()?.ok_or_else(refused)?;
        if found.file_type().is_block_device() {
            return Ok(Some((at, found)));
        }
        if !found.is_symlink() {
            break;
        }
    }
    Err(refused())
}

/// Opens what is written to where it is, for reading and writing, alone: a block device that is
/// mounted or otherwise in use is busy, and so is a file that another run of this program writes
/// to.
pub(crate) fn open_to_write(path: &Path) -> Result<BackingFile, OutputError> {
    // What is not there, or neither of the two, is told as such.
    BackingKind::at(path)?;
    match resolve(&OutputPlace::of(path)?)? {
        Some((at, found)) => open_in_place(&at, &found),
        None => Err(FileError::new("open", path)(io::ErrorKind::NotFound).into()),
    }
}

/// The same of what has been found.
pub(super) fn open_in_place(
    place: &OutputPlace,
    found: &Metadata,
) -> Result<BackingFile, OutputError> {
    let path = place.path();
    let alone = if found.file_type().is_block_device() {
        OFlags::EXCL
    } else if found.is_file() {
        OFlags::empty()
    } else {
        return Err(BackingFileError::OtherKind(path.to_owned()).into());
    };
    let file = place
        .open(OFlags::RDWR | alone)
        .map_err(|source| match source.kind() {
            io::ErrorKind::ResourceBusy => OutputError::InUse {
                path: path.to_owned(),
                source,
            },
            _ => FileError::new("open", path)(source).into(),
        })?;
    let opened = file.metadata().map_err(FileError::new("open", path))?;
    // Somebody has just put something else there.
    if !place::is_same(&opened, found) {
        return Err(FileError::new("open", path)(io::ErrorKind::ResourceBusy).into());
    }
    if found.is_file() {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OutputError::Locked {
                    path: path.to_owned(),
                    holder: LockHolder::of(&opened),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(FileError::new("lock", path)(error).into());
            }
        }
    }
    // Measured after the lock: until then another run may have changed the length.
    Ok(BackingFile::from_file(file, path)?)
}

/// An error where a part of an open file or device, to be written over, has something on it.
pub(crate) fn refuse_overwriting(file: &BackingFile, part: Range<u64>) -> Result<(), OutputError> {
    // What starts there, and what only has its mark there, such as a backup at the end.
    let mut found = signatures::find(file, part.start)?;
    found.extend(signatures::find(file, 0)?);
    found.retain(|found| part.contains(&found.offset));
    match found.into_iter().next() {
        None => Ok(()),
        Some(found) => Err(OutputError::Signature {
            path: file.path().to_owned(),
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use model_disk::{ExitCode, HasExitCode};

    use super::*;
    use crate::output::Output;

    fn error(path: &Path) -> OutputError {
        let error = open_to_write(path).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::InTheWay);
        error
    }

    #[test]
    fn one_writer_at_a_time_who_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let first = open_to_write(file.path()).unwrap();
        let said = error(file.path()).to_string();
        let holder = format!("is locked by process {} (", std::process::id());
        assert!(said.contains(&holder), "{said}");
        drop(first);
        open_to_write(file.path()).unwrap();
    }

    /// However many there are, and where the last leads to makes no difference.
    #[test]
    fn no_link_leads_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("0"), "data").unwrap();
        for link in 1..20 {
            let link = path(&link.to_string());
            let to = link.file_name().unwrap().to_str().unwrap();
            let to: u32 = to.parse().unwrap();
            symlink((to - 1).to_string(), &link).unwrap();
            assert!(matches!(error(&link), OutputError::Link(_)));
            let place = OutputPlace::of(&link).unwrap();
            let found = Output::find(&place, true);
            assert!(matches!(found, Err(OutputError::Link(_))), "{found:?}");
        }
        symlink("gone", path("gone")).unwrap();
        let found = Output::find(&OutputPlace::of(&path("gone")).unwrap(), true);
        assert!(matches!(found, Err(OutputError::Link(_))), "{found:?}");
    }

    /// What is in the way of a part is what has its mark there, or what begins there.
    #[test]
    fn only_what_would_be_overwritten_is_in_the_way() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; 1 << 20];
        bytes[1080..1082].copy_from_slice(b"\x53\xef");
        bytes[8192..8200].copy_from_slice(b"verity\0\0");
        bytes[(1 << 20) - 512..][..8].copy_from_slice(b"EFI PART");
        fs::write(file.path(), bytes).unwrap();
        let file = BackingFile::open(file.path()).unwrap();
        let refused = |part| match refuse_overwriting(&file, part) {
            Err(OutputError::Signature { found, .. }) => found.offset,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(0..4096), 1080);
        assert_eq!(refused(8192..16384), 8192);
        assert_eq!(refused(65536..1 << 20), (1 << 20) - 512);
        refuse_overwriting(&file, 4096..8192).unwrap();
        refuse_overwriting(&file, 12288..1 << 19).unwrap();
    }
}
