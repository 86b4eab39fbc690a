//! What is mounted: `/proc/self/mountinfo`, as proc_pid_mountinfo(5) describes it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use dm_verity::DeviceNumber;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The device number of its filesystem.
    pub(crate) device: DeviceNumber,
    /// The folder of the filesystem that is its root: `/` where all of it is mounted.
    pub(crate) root: PathBuf,
    /// Where it is.
    pub(crate) mount_point: PathBuf,
    /// The kernel's name of its filesystem type.
    pub(crate) fs_type: String,
}

/// What is mounted at a directory, on top of all else that is mounted there. `mount_point` must
/// be canonical.
pub(crate) fn mounted_at(mount_point: &Path) -> io::Result<Option<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(parse(&text)
        .into_iter()
        .rfind(|mount| mount.mount_point == mount_point))
}

/// All mounts, in the order in which they were made. A line of an unknown form is left out.
pub(super) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let device = str::from_utf8(fields.get(2)?).ok()?.parse().ok()?;
    let root = unescape(fields.get(3)?);
    let mount_point = unescape(fields.get(4)?);
    // The optional fields end with a hyphen; the type comes next.
    let hyphen = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    let fs_type = String::from_utf8_lossy(fields.get(hyphen + 1)?).into_owned();
    Some(Mount {
        device,
        root,
        mount_point,
        fs_type,
    })
}

/// Blanks, newlines and backslashes stand as `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let octal = (byte == b'\\').then(|| after.first_chunk::<3>()).flatten();
        match octal.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()) {
            Some(escaped) => {
                path.push(escaped);
                rest = after.get(3..).unwrap_or_default();
            }
            None => path.push(byte),
        }
    }
    OsString::from_vec(path).into()
}

/// A path without `.`, `..` and links, whether its last component exists or not.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(error);
            };
            let parent = if parent.as_os_str().as_bytes().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            Ok(canonical(parent)?.join(name))
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_manual_page_and_of_containers() {
        let text =
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
            37 36 253:1 / /mnt/a\\040b\\134 ro - erofs /dev/dm-1 ro\n\
            nonsense\n\
            38 36 0:5 / /dev rw shared:2 master:3 - devtmpfs udev rw\n";
        let mounts = parse(text);
        let seen: Vec<_> = mounts
            .iter()
            .map(|mount| {
                (
                    mount.device.to_string(),
                    mount.root.to_str().unwrap(),
                    mount.mount_point.to_str().unwrap(),
                    &*mount.fs_type,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("98:0".into(), "/mnt1", "/mnt2", "ext3"),
                ("253:1".into(), "/", "/mnt/a b\\", "erofs"),
                ("0:5".into(), "/", "/dev", "devtmpfs"),
            ]
        );
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(b"/a\\9"), Path::new("/a\\9"));
        assert_eq!(unescape(b"/a\\777"), Path::new("/a\\777"));
        assert_eq!(unescape(b"\\"), Path::new("\\"));
    }

    #[test]
    fn a_path_that_does_not_exist_yet() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        assert_eq!(canonical(&folder.path().join("a/../b")).ok(), None);
        assert_eq!(
            canonical(&folder.path().join("a/b")).unwrap(),
            real.join("a/b")
        );
        assert_eq!(canonical(folder.path()).unwrap(), real);
    }
}
