//! Files and directories opened so that nothing is resolved twice: what a name leads to is held by
//! a descriptor that can do nothing yet, looked at, and only then opened to be read.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use model_disk::FileStamp;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat},
    io::Errno,
};

/// Opening what is no file must neither wait nor take a terminal.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

const HOLD: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens a directory by its path to be read.
pub(super) fn open_directory(path: &Path) -> io::Result<File> {
    let opened = openat(CWD, path, READ | OFlags::DIRECTORY, Mode::empty())?;
    Ok(opened.into())
}

/// Opens a directory, or a file that is no link, by its name in an open directory to be read.
pub(super) fn open_no_link(directory: &File, name: impl AsRef<Path>) -> io::Result<File> {
    let opened = openat(
        directory,
        name.as_ref(),
        READ | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    Ok(opened.into())
}

/// Opens a file by a path from an open directory in which there is no link, to be read. None, where
/// there is one, or where the kernel or a container does not know how to look.
pub(super) fn open_without_links(
    directory: &File,
    path: impl AsRef<Path>,
) -> io::Result<Option<File>> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match openat2(directory, path.as_ref(), READ, Mode::empty(), resolve) {
        Ok(opened) => Ok(Some(opened.into())),
        Err(Errno::LOOP | Errno::XDEV | Errno::AGAIN | Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Holds what a path leads to.
pub(super) fn open_path(path: &Path) -> io::Result<File> {
    Ok(openat(CWD, path, HOLD, Mode::empty())?.into())
}

/// Holds what a path from an open directory leads to, of which the last name may be a link.
pub(super) fn hold(directory: &File, path: impl AsRef<Path>) -> io::Result<File> {
    Ok(openat(directory, path.as_ref(), HOLD, Mode::empty())?.into())
}

/// Holds what has a name in an open directory, which may be a link itself.
pub(super) fn hold_no_follow(directory: &File, name: impl AsRef<Path>) -> io::Result<File> {
    let opened = openat(
        directory,
        name.as_ref(),
        HOLD | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    Ok(opened.into())
}

/// Opens what is held to be read.
pub(super) fn read_held(held: &File) -> io::Result<File> {
    let opened = openat(CWD, own_link(held), READ, Mode::empty());
    Ok(opened.map_err(without_proc)?.into())
}

/// What stands in a link that is held.
pub(super) fn link_text(held: &File) -> io::Result<PathBuf> {
    Ok(path_of(readlinkat(held, "", Vec::new())?))
}

/// The one true path of what is open, as the kernel has it now.
pub(super) fn true_path(opened: impl AsFd) -> io::Result<PathBuf> {
    let text = readlinkat(CWD, own_link(opened), Vec::new());
    Ok(path_of(text.map_err(without_proc)?))
}

/// The one true path of what was opened by a path.
pub(super) fn true_path_of(path: &Path, opened: &File) -> io::Result<PathBuf> {
    let place = path.canonicalize()?;
    let is_same = FileStamp::at(CWD, &place)?.is_same_file(&FileStamp::of(&opened.metadata()?));
    // It has another name by now.
    is_same
        .then_some(place)
        .ok_or(io::ErrorKind::NotFound.into())
}

/// Where /proc is missing, that is what is said.
fn without_proc(error: Errno) -> io::Error {
    if error == Errno::NOENT && !Path::new("/proc/self/fd").exists() {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "to judge where a link leads takes /proc, which is not mounted",
        )
    } else {
        error.into()
    }
}

fn path_of(text: CString) -> PathBuf {
    OsString::from_vec(text.into_bytes()).into()
}

/// The link that leads to an open file itself, and not to its path, see proc(5).
fn own_link(opened: impl AsFd) -> String {
    format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd())
}
