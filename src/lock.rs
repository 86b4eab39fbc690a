//! One run at a time has something of the machine in hand: a directory, which two would both find
//! without a mount, or a setting, which two would both set back.
//!
//! What is locked is a file in a folder that nobody else can get into. A lock on a directory itself
//! could be taken, and kept, by whoever may read it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model_disk::FileError;
use rustix::process::geteuid;

/// Where the folder can be: the second for containers whose root cannot be written to.
const FOLDERS: [&str; 2] = ["/run/disk-mounter", "/dev/disk-mounter"];

/// The same for a user who is not root: the second for those who have not logged in.
fn folders_of(user: u32) -> [String; 2] {
    let own = ["/run/user/", "/dev/shm/disk-mounter-"].map(|start| format!("{start}{user}"));
    let [login, shared] = own;
    [login + "/disk-mounter", shared]
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    file: File,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Tried {
    Held(RunLock),
    /// Another process has it, this one if it says so.
    Other(Option<u32>),
}

impl RunLock {
    /// Tries to get the lock of this name.
    pub(crate) fn try_take(name: &str) -> Result<Tried, FileError> {
        let folder = folder()?;
        remove_abandoned(&folder);
        let path = folder.join(name);
        loop {
            let open = |new| {
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(new)
                    .mode(0o600)
                    .custom_flags(libc::O_NOFOLLOW)
                    .open(&path)
            };
            let (mut file, made) = match open(true) {
                Ok(file) => (file, true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match open(false) {
                    Ok(file) => (file, false),
                    // It has just gone.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(FileError::new("open", &path)(error)),
                },
                // The last one has just removed the folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make(&folder).map_err(FileError::new("make the folder", &folder))?;
                    continue;
                }
                Err(error) => return Err(FileError::new("make", &path)(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Tried::Other(holder(&mut file))),
                Err(TryLockError::Error(error)) => {
                    if made {
                        let _ = fs::remove_file(&path);
                    }
                    return Err(FileError::new("lock", &path)(error));
                }
            }
            // Whoever had it before has removed it.
            if file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
                continue;
            }
            // From here on it is removed with this.
            let hold = Self { path, file };
            let said = hold
                .file
                .set_len(0)
                .and_then(|()| write!(&hold.file, "{}", std::process::id()));
            said.map_err(FileError::new("write to", &hold.path))?;
            return Ok(Tried::Held(hold));
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Before it is unlocked, so that nobody takes one that goes.
        let _ = fs::remove_file(&self.path);
        if let Some(folder) = self.path.parent() {
            // Others may have theirs in it.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Who has a lock, in words.
pub(crate) fn holder_name(process: Option<u32>) -> String {
    match process {
        Some(number) => format!("another disk-mounter (process {number})"),
        None => "another disk-mounter".to_owned(),
    }
}

/// The folder, which is made where there is none.
fn folder() -> Result<PathBuf, FileError> {
    let folders = match geteuid().as_raw() {
        0 => FOLDERS.map(str::to_owned),
        user => folders_of(user),
    };
    let mut refused = None;
    for folder in folders.map(PathBuf::from) {
        match make(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => refused = Some(FileError::new("make the folder", &folder)(error)),
        }
    }
    // There is at least one place.
    Err(refused.unwrap_or_else(|| {
        FileError::new("make the folder", Path::new("/"))(io::ErrorKind::NotFound)
    }))
}

/// Makes a folder that is this user's alone, or sees that it is.
fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(folder)?;
    let own =
        metadata.is_dir() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    if own {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// Removes the files of runs that were killed.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}
