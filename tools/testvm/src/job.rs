//! What to run, and what it needs.

use std::{
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::program::Program;

/// The environment variable that holds the paths of the disks.
pub(crate) const DISKS: &str = "TESTVM_DISKS";

/// A command with all that comes along. Every host path in it is absolute, and
/// something is there.
pub(crate) struct Job {
    /// The program and its arguments; never empty.
    pub(crate) command: Vec<OsString>,
    pub(crate) environment: Vec<Variable>,
    pub(crate) timeout: Duration,
    pub(crate) disks: Vec<PathBuf>,
    /// No two have one name.
    pub(crate) programs: Vec<Program>,
    pub(crate) files: Vec<CarriedFile>,
}

/// A file or directory that comes along.
#[derive(Debug, PartialEq)]
pub(crate) struct CarriedFile {
    pub(crate) host: PathBuf,
    /// Relative paths are below COMMAND's working directory.
    pub(crate) guest: PathBuf,
}

/// `HOST[:GUEST]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileArgument {
    host: PathBuf,
    guest: Option<PathBuf>,
}

/// `NAME=VALUE`, where NAME is one that a shell can set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The absolute path of something that exists.
pub(crate) fn existing(path: &Path) -> Result<PathBuf> {
    path.metadata()
        .with_context(|| format!("cannot take along {}", path.display()))?;
    Ok(std::path::absolute(path)?)
}

impl FileArgument {
    /// The file, if there is one and a guest can have it at its place.
    pub(crate) fn check(&self) -> Result<CarriedFile> {
        let host = existing(&self.host)?;
        let guest = self.guest.clone().unwrap_or_else(|| host.clone());
        let mut parts = guest.components();
        if parts.clone().any(|part| part == Component::ParentDir) {
            bail!("the guest's path {} must not hold ..", guest.display());
        }
        if parts.next() == Some(Component::RootDir)
            && let Some(Component::Normal(top)) = parts.next()
            && ["dev", "proc", "sys"].map(OsStr::new).contains(&top)
        {
            bail!(
                "cannot put a file at {}: the guest's kernel fills that directory",
                guest.display()
            );
        }
        Ok(CarriedFile { host, guest })
    }
}

impl FromStr for FileArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, guest) = match text.split_once(':') {
            Some((host, guest)) => (host, Some(guest)),
            None => (text, None),
        };
        if host.is_empty() || guest.is_some_and(str::is_empty) {
            return Err("a file is HOST or HOST:GUEST, both not empty");
        }
        Ok(Self {
            host: host.into(),
            guest: guest.map(PathBuf::from),
        })
    }
}

impl FromStr for Variable {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("a variable is NAME=VALUE")?;
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !name.bytes().all(letters) || name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return Err("a variable's name is letters, digits and _, and no digit first");
        }
        Ok(Self {
            name: name.into(),
            value: value.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(text: &str) -> Result<CarriedFile> {
        text.parse::<FileArgument>().unwrap().check()
    }

    #[test]
    fn a_file_lies_where_it_is_said() {
        let file = |guest: &str| CarriedFile {
            host: "/etc/passwd".into(),
            guest: guest.into(),
        };
        assert_eq!(carried("/etc/passwd").unwrap(), file("/etc/passwd"));
        assert_eq!(carried("/etc/passwd:a/b").unwrap(), file("a/b"));
        assert_eq!(carried("/etc/passwd:/a:b").unwrap(), file("/a:b"));
        for bad in ["/etc/passwd:/dev/x", "/etc/passwd:a/../..", "/no/such/file"] {
            assert!(carried(bad).is_err(), "{bad}");
        }
        for bad in ["", ":", "a:", ":b"] {
            assert!(bad.parse::<FileArgument>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        let variable = |name: &str, value: &str| Variable {
            name: name.into(),
            value: value.into(),
        };
        assert_eq!("A=".parse(), Ok(variable("A", "")));
        assert_eq!("_a1=b=c d".parse(), Ok(variable("_a1", "b=c d")));
        for bad in ["", "A", "=b", "1A=b", "A.B=c", "A B=c", "Ä=c"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad:?}");
        }
    }
}
