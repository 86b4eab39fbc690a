//! What is mounted: `/proc/self/mountinfo`, as proc_pid_mountinfo(5) describes it.

use std::{ffi::OsString, fs, io, os::unix::ffi::OsStringExt, path::PathBuf};

use dm_verity::DeviceNumber;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its number, which no other has as long as it is there.
    pub(crate) id: u64,
    /// The mount that it is mounted on.
    pub(super) parent: u64,
    /// The device number of its filesystem.
    pub(crate) device: DeviceNumber,
    /// The folder of the filesystem that is its root: `/` where all of it is mounted.
    pub(crate) root: PathBuf,
    /// Its options, `ro` or `rw` among them.
    pub(crate) options: String,
    /// Where it is.
    pub(crate) mount_point: PathBuf,
    /// The kernel's name of its filesystem type.
    pub(crate) fs_type: String,
    /// The options of its filesystem, which are the same at all of its mounts.
    pub(crate) super_options: String,
}

/// The mount of this number; None where it is gone, or where this process does not see it.
pub(crate) fn mount(id: u64) -> io::Result<Option<Mount>> {
    Ok(all()?.into_iter().find(|mount| mount.id == id))
}

/// A mount that is mounted on this one, or below its root.
pub(crate) fn mounted_on(id: u64) -> io::Result<Option<Mount>> {
    Ok(all()?.into_iter().find(|mount| mount.parent == id))
}

/// Where a device is mounted.
pub(crate) fn places_of(device: DeviceNumber) -> io::Result<Vec<PathBuf>> {
    let mounts = all()?.into_iter();
    let of_device = mounts.filter(|mount| mount.device == device);
    Ok(of_device.map(|mount| mount.mount_point).collect())
}

fn all() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// All mounts, in the order in which they were made. A line of an unknown form is left out.
pub(super) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let id = str::from_utf8(fields.first()?).ok()?.parse().ok()?;
    let parent = str::from_utf8(fields.get(1)?).ok()?.parse().ok()?;
    let device = str::from_utf8(fields.get(2)?).ok()?.parse().ok()?;
    let root = unescape(fields.get(3)?);
    let mount_point = unescape(fields.get(4)?);
    let options = String::from_utf8_lossy(fields.get(5)?).into_owned();
    // The optional fields end with a hyphen; the type comes next.
    let hyphen = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    let fs_type = String::from_utf8_lossy(fields.get(hyphen + 1)?).into_owned();
    let super_options = fields.get(hyphen + 3).copied().unwrap_or_default();
    let super_options = String::from_utf8_lossy(super_options).into_owned();
    Some(Mount {
        id,
        parent,
        device,
        root,
        options,
        mount_point,
        fs_type,
        super_options,
    })
}

impl Mount {
    /// Those of these options that it lacks, separated by commas.
    pub(crate) fn missing_options(&self, needed: &[&str]) -> String {
        let has = |option: &&&str| self.options.split(',').any(|has| has == **option);
        let missing: Vec<&str> = needed
            .iter()
            .filter(|option| !has(option))
            .copied()
            .collect();
        missing.join(",")
    }

    /// Whether a process serves it: FUSE, by whatever program.
    pub(crate) fn is_fuse(&self) -> bool {
        let mut type_and_program = self.fs_type.split('.');
        matches!(type_and_program.next(), Some("fuse" | "fuseblk"))
    }

    /// The value of an option of its filesystem.
    pub(crate) fn super_option(&self, name: &str) -> Option<&str> {
        let mut options = self.super_options.split(',');
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

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
                    (mount.id, mount.parent),
                    mount.device.to_string(),
                    mount.missing_options(&["ro", "noatime"]),
                    mount.root.to_str().unwrap(),
                    mount.mount_point.to_str().unwrap(),
                    &*mount.fs_type,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (
                    (36, 35),
                    "98:0".into(),
                    "ro".into(),
                    "/mnt1",
                    "/mnt2",
                    "ext3"
                ),
                (
                    (37, 36),
                    "253:1".into(),
                    "noatime".into(),
                    "/",
                    "/mnt/a b\\",
                    "erofs"
                ),
                (
                    (38, 36),
                    "0:5".into(),
                    "ro,noatime".into(),
                    "/",
                    "/dev",
                    "devtmpfs"
                ),
            ]
        );
    }

    #[test]
    fn what_a_process_serves() {
        let text =
            b"40 36 0:9 / /mnt ro - fuse.disk-mounter disk-mounter ro,user_id=7,group_id=8\n\
            41 36 0:9 / /mnt ro - fusectl fusectl rw,user_id=\n\
            42 36 0:9 / /mnt ro - fuseblk /dev/sda1\n";
        let mounts = parse(text);
        let seen: Vec<_> = mounts
            .iter()
            .map(|mount| (mount.is_fuse(), mount.super_option("user_id")))
            .collect();
        let expected = [(true, Some("7")), (false, Some("")), (true, None)];
        assert_eq!(seen, expected);
        assert_eq!(mounts[0].super_option("user"), None);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape(b"/a\\9"), Path::new("/a\\9"));
        assert_eq!(unescape(b"/a\\777"), Path::new("/a\\777"));
        assert_eq!(unescape(b"\\"), Path::new("\\"));
    }
}
