//! Archives that the kernel unpacks as its first root filesystem: cpio in the
//! "newc" form. The kernel's Documentation/driver-api/early-userspace/buffer-format.rst
//! defines it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

const DIRECTORY: u32 = 0o040000;
const REGULAR: u32 = 0o100000;
const SYMLINK: u32 = 0o120000;

/// An archive being written. All that it holds belongs to root. Paths are the
/// guest's, absolute; parent directories appear by themselves.
pub(crate) struct Archive<W> {
    out: W,
    paths: BTreeSet<PathBuf>,
    /// Bytes written; what the format aligns, it aligns to this.
    position: u64,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            paths: BTreeSet::new(),
            position: 0,
        }
    }

    /// Whether something lies at this path already.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }

    /// A directory, if it is not there yet.
    pub(crate) fn directory(&mut self, path: &Path, permissions: u32) -> Result<()> {
        if self.has(path) || path == Path::new("/") {
            return Ok(());
        }
        self.entry(path, DIRECTORY | permissions, &[])
    }

    pub(crate) fn symlink(&mut self, path: &Path, target: &OsStr) -> Result<()> {
        self.entry(path, SYMLINK | 0o777, target.as_bytes())
    }

    pub(crate) fn file(&mut self, path: &Path, permissions: u32, content: &[u8]) -> Result<()> {
        self.entry(path, REGULAR | permissions, content)
    }

    /// What lies at `host`, with its permissions; a directory with all that is
    /// in it. A symbolic link at `host` is followed, one below it is kept.
    pub(crate) fn copy(&mut self, host: &Path, path: &Path) -> Result<()> {
        let metadata = host
            .metadata()
            .with_context(|| host.display().to_string())?;
        let permissions = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            self.directory(path, permissions)?;
            let mut names: Vec<_> = fs::read_dir(host)
                .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
                .with_context(|| host.display().to_string())?;
            names.sort();
            for name in names {
                let (host, path) = (host.join(&name), path.join(&name));
                match fs::read_link(&host) {
                    Ok(target) => self.symlink(&path, target.as_os_str())?,
                    Err(_) => self.copy(&host, &path)?,
                }
            }
            return Ok(());
        }
        if !metadata.is_file() {
            bail!("{}: neither a file nor a directory", host.display());
        }
        let file = File::open(host).with_context(|| host.display().to_string())?;
        let size = metadata.len();
        self.header(path, REGULAR | permissions, size)?;
        let copied = io::copy(&mut file.take(size), &mut self.out)?;
        ensure!(
            copied == size,
            "{}: shrank while it was read",
            host.display()
        );
        self.position += size;
        self.align()
    }

    /// Ends the archive; gives its size in bytes.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.raw_header(b"TRAILER!!!", 0, 0)?;
        self.out.flush()?;
        Ok(self.position)
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        self.header(path, mode, content.len() as u64)?;
        self.write(content)?;
        self.align()
    }

    fn header(&mut self, path: &Path, mode: u32, size: u64) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.directory(parent, 0o755)?;
        }
        if !self.paths.insert(path.to_owned()) {
            bail!("two things are to be put at {}", path.display());
        }
        let size = u32::try_from(size)
            .with_context(|| format!("{}: 4 GiB or more; make it a --disk", path.display()))?;
        let name = path.strip_prefix("/")?.as_os_str().as_bytes();
        self.raw_header(name, mode, size)
    }

    fn raw_header(&mut self, name: &[u8], mode: u32, size: u32) -> Result<()> {
        let name_size = name.len() as u32 + 1;
        // inode, mode, uid, gid, links, mtime, size, device (2), own device (2),
        // name size, checksum. The inode matters to hard links alone.
        let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            header += &format!("{field:08x}");
        }
        self.write(header.as_bytes())?;
        self.write(name)?;
        self.write(&[0])?;
        self.align()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn align(&mut self) -> Result<()> {
        let padding = self.position.next_multiple_of(4) - self.position;
        self.write(&[0; 4][..padding as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's way through an archive: (name, mode, content).
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..109 + name_size].to_vec()).unwrap();
            assert_eq!(bytes[109 + name_size], 0);
            let start = (110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(bytes.len(), start);
                return entries;
            }
            entries.push((name, mode, bytes[start..start + size].to_vec()));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
    }

    fn archive(fill: impl FnOnce(&mut Archive<&mut Vec<u8>>) -> Result<()>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        fill(&mut archive)?;
        let size = archive.finish()?;
        assert_eq!(bytes.len() as u64, size);
        Ok(bytes)
    }

    #[test]
    fn parents_come_first_and_once() {
        let bytes = archive(|archive| {
            archive.file(Path::new("/a/b/c"), 0o640, b"12345")?;
            archive.symlink(Path::new("/a/d"), OsStr::new("b/c"))?;
            archive.directory(Path::new("/a"), 0o700)
        });
        let expected = [
            ("a", 0o040755, &b""[..]),
            ("a/b", 0o040755, b""),
            ("a/b/c", 0o100640, b"12345"),
            ("a/d", 0o120777, b"b/c"),
        ];
        let expected = expected.map(|(name, mode, content)| (name.into(), mode, content.to_vec()));
        assert_eq!(entries(&bytes.unwrap()), expected);
    }

    #[test]
    fn a_directory_comes_along_whole() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir(host.path().join("d")).unwrap();
        fs::write(host.path().join("d/f"), "x").unwrap();
        fs::set_permissions(host.path().join("d/f"), PermissionsExt::from_mode(0o751)).unwrap();
        std::os::unix::fs::symlink("nowhere", host.path().join("d/l")).unwrap();
        let bytes = archive(|archive| archive.copy(&host.path().join("d"), Path::new("/g")));
        let entries = entries(&bytes.unwrap());
        assert_eq!(entries[0].0, "g");
        assert_eq!(entries[1], ("g/f".into(), 0o100751, b"x".to_vec()));
        assert_eq!(entries[2], ("g/l".into(), 0o120777, b"nowhere".to_vec()));
        assert_eq!(entries.len(), 3);
    }

    #[test]
    fn one_path_holds_one_thing() {
        let twice = archive(|archive| {
            archive.file(Path::new("/a"), 0o644, b"1")?;
            archive.file(Path::new("/a"), 0o644, b"2")
        });
        assert!(twice.is_err());
    }
}
