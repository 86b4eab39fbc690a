//! Programs that come along, and the shared libraries that they need.

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// Directories of system programs that an ordinary user's PATH leaves out.
pub(crate) const ROOTS_PATH: [&str; 2] = ["/usr/sbin", "/sbin"];

/// An executable of this machine.
#[derive(Debug, PartialEq)]
pub(crate) struct Program {
    /// The name that it is called by.
    pub(crate) name: OsString,
    /// Where it lies, absolute.
    pub(crate) path: PathBuf,
}

impl Program {
    /// The program at a path, or, where it is a name alone, the first of that
    /// name on `search` (colon separated, as in PATH) and on [`ROOTS_PATH`].
    pub(crate) fn find(program: &Path, search: &OsStr) -> Result<Self> {
        let name = program
            .file_name()
            .with_context(|| format!("{} names no program", program.display()))?;
        let candidate = if program == name {
            std::env::split_paths(search)
                .chain(ROOTS_PATH.map(PathBuf::from))
                .map(|directory| directory.join(name))
                .find(|path| is_executable(path))
                .with_context(|| format!("{} is not on PATH: is it installed?", name.display()))?
        } else {
            program.to_owned()
        };
        if !is_executable(&candidate) {
            bail!("{} is no executable file", candidate.display());
        }
        Ok(Self {
            name: name.to_owned(),
            path: std::path::absolute(candidate)?,
        })
    }

    /// The shared libraries that it is started with, the loader among them.
    /// None for a static program or a script.
    pub(crate) fn libraries(&self) -> Result<Vec<PathBuf>> {
        let output = Command::new("ldd")
            .arg(&self.path)
            .env("LC_ALL", "C")
            .output()
            .context("cannot run ldd")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = String::from_utf8(output.stdout)?;
        let none = "not a dynamic executable";
        if errors.contains(none) || text.contains(none) {
            return Ok(Vec::new());
        }
        if !output.status.success() {
            bail!("ldd {}: {}", self.path.display(), errors.trim());
        }
        parse_ldd(&text).with_context(|| self.path.display().to_string())
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The paths in what ldd prints: `NAME => PATH (ADDRESS)` for a library, `PATH
/// (ADDRESS)` for the loader, a name alone for what the kernel provides.
fn parse_ldd(output: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in output.lines().map(str::trim) {
        let (name, target) = match line.split_once(" => ") {
            Some((name, target)) => (name, target),
            None => (line, line),
        };
        if target == "not found" {
            bail!("its shared library {name} is not found");
        }
        if target.starts_with('/') {
            let path = target.rsplit_once(" (").map_or(target, |(path, _)| path);
            paths.push(path.into());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader() {
        let output = "\tlinux-vdso.so.1 (0x00007f65b3a92000)\n\
            \tlibcap.so.2 => /lib/x86_64-linux-gnu/libcap.so.2 (0x00007f65b390c000)\n\
            \tlibodd.so => /opt/a (b)/libodd.so (0x00007f65b390c000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f65b3a94000)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libcap.so.2",
            "/opt/a (b)/libodd.so",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(parse_ldd(output).unwrap(), expected.map(PathBuf::from));
        assert!(parse_ldd("\tstatically linked\n").unwrap().is_empty());
        let missing = parse_ldd("\tlibx.so.1 => not found\n").unwrap_err();
        assert!(missing.to_string().contains("libx.so.1"), "{missing}");
    }

    #[test]
    fn found_by_name_or_path() {
        let sh = Program::find(Path::new("sh"), OsStr::new("/nowhere:/bin")).unwrap();
        assert_eq!(sh.path, Path::new("/bin/sh"));
        assert_eq!(
            Program::find(Path::new("/bin/sh"), OsStr::new("")).unwrap(),
            sh
        );
        for bad in [
            "no-such-program",
            "/bin/no-such-program",
            "/etc/passwd",
            "/bin",
            "..",
        ] {
            assert!(
                Program::find(Path::new(bad), OsStr::new("/bin")).is_err(),
                "{bad}"
            );
        }
    }
}
