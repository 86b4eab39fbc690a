//! What is mounted already where a disk is to be mounted by FUSE.

use model_disk::{Escaped, FileError};
use rustix::process::geteuid;

use super::{FuseError, MOUNT_OPTIONS, answer::NoAnswer, found::FuseMount};
use crate::{MountError, log, mount_point::MountPoint, mountinfo, reading::VerifiedFiles};

/// What is mounted at a directory.
pub(super) enum ExistingFuse {
    /// Nothing.
    None,
    /// Nothing any more: what nobody served has been unmounted, and the directory is another.
    Gone,
    /// Just what is asked for, and another process serves it.
    Same,
}

/// Looks at what is mounted at a directory. Anything but a mount of this disk, or one of this user that
/// nobody serves any more, is an error.
pub(super) fn look(
    files: &VerifiedFiles,
    mount_point: &MountPoint,
) -> Result<ExistingFuse, FuseError> {
    let identity = mount_point.resolved().identity();
    if !identity.is_mount_root {
        return Ok(ExistingFuse::None);
    }
    let path = mount_point.path();
    let in_the_way = |what: String| {
        Err(MountError::InTheWay {
            mount_point: path.to_owned(),
            what,
        }
        .into())
    };
    let Some(found) = FuseMount::at(path)? else {
        let mount = mountinfo::mount(identity.mount_id);
        let mount = mount.map_err(FileError::new("look for the mount at", path))?;
        return match mount {
            Some(mount) => in_the_way(format!("a filesystem of type {}", mount.fs_type)),
            None => Ok(ExistingFuse::Gone),
        };
    };
    if found.user() != Some(geteuid().as_raw()) {
        return in_the_way("a disk that another user serves".to_owned());
    }
    let answer = match found.ask() {
        Ok(answer) => answer,
        Err(NoAnswer::Dead) => {
            log::warn(format_args!(
                "nobody serves what was mounted at {} any more; it is unmounted",
                Escaped::path(path)
            ));
            found.unmount(true)?;
            return Ok(ExistingFuse::Gone);
        }
        Err(NoAnswer::Silent) => {
            return in_the_way("a disk whose server does not answer".to_owned());
        }
        Err(NoAnswer::Other) => return in_the_way("what another program serves".to_owned()),
        Err(NoAnswer::Failed(error)) => {
            return Err(FileError::new("ask the server of", path)(error).into());
        }
    };
    if answer.root_hash != files.root_hash().to_string() {
        return in_the_way(format!("the disk with the root hash {}", answer.root_hash));
    }
    let missing = found.mount.missing_options(&MOUNT_OPTIONS);
    if !missing.is_empty() {
        return in_the_way(format!("the disk, but without {missing},"));
    }
    if let Some(what) = answer.corrupt {
        let mount_point = path.to_owned();
        return Err(FuseError::FoundCorrupt { mount_point, what });
    }
    Ok(ExistingFuse::Same)
}
