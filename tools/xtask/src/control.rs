//! What a Debian package says of itself.

use std::{env, fs, path::Path};

use anyhow::{Context, Result};

use crate::{date::Date, files};

/// The fields of a package that depend on how it is made; what it is for is in
/// `packaging/debian`.
pub(crate) struct Control<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) architecture: &'a str,
    pub(crate) maintainer: &'a str,
    /// In units of 1024 bytes.
    pub(crate) installed_size: u64,
    pub(crate) built_using: &'a str,
    /// The other fields, as lines.
    pub(crate) description: &'a str,
}

impl Control<'_> {
    /// The file `control`.
    pub(crate) fn file(&self) -> String {
        let Self {
            name,
            version,
            architecture,
            maintainer,
            installed_size,
            built_using,
            description,
        } = self;
        format!(
            "Package: {name}\n\
             Version: {version}\n\
             Architecture: {architecture}\n\
             Maintainer: {maintainer}\n\
             Installed-Size: {installed_size}\n\
             Built-Using: {built_using}\n\
             Priority: optional\n\
             {description}"
        )
    }
}

/// The changelog of Debian's own changes.
pub(crate) fn changelog(name: &str, version: &str, maintainer: &str, date: Date) -> Result<String> {
    let date = date.of_mail()?;
    Ok(format!(
        "{name} ({version}) unstable; urgency=medium\n\
         \n  * What is new is in changelog.gz.\n\
         \n -- {maintainer}  {date}\n"
    ))
}

/// What lintian is to overlook.
pub(crate) fn lintian_overrides(name: &str) -> String {
    format!(
        "# It is linked statically, to need nothing of the machine, and lintian takes it for a library.\n\
         {name}: shared-library-lacks-prerequisites\n\
         # It is made by the project and not for Debian's archive.\n\
         {name}: initial-upload-closes-no-bugs\n"
    )
}

/// Who makes the package: DEBFULLNAME and DEBEMAIL, as in Debian's own tools.
pub(crate) fn maintainer() -> String {
    let variable = |name: &str, otherwise: &str| {
        let value = env::var(name).ok().filter(|value| !value.is_empty());
        value.unwrap_or_else(|| otherwise.into())
    };
    let name = variable("DEBFULLNAME", "disk-mounter maintainers");
    let email = variable("DEBEMAIL", "maintainers@disk-mounter.invalid");
    format!("{name} <{email}>")
}

/// The size of what is under a folder, in units of 1024 bytes, as Debian's policy counts it: each
/// file rounded up, and one for each folder, so that it does not depend on the filesystem.
pub(crate) fn installed_size(folder: &Path) -> Result<u64> {
    let (files, folders) = files::walk(folder)?;
    let mut size = folders.len() as u64;
    for path in files {
        let file =
            fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        size += file.len().div_ceil(1024);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_one_to_a_line() {
        let control = Control {
            name: "program",
            version: "1.0-1",
            architecture: "amd64",
            maintainer: "Somebody <x@example.org>",
            installed_size: 7,
            built_using: "glibc (= 2)",
            description: "Section: utils\nDescription: short\n long\n",
        };
        let expected = "Package: program\nVersion: 1.0-1\nArchitecture: amd64\n\
            Maintainer: Somebody <x@example.org>\nInstalled-Size: 7\nBuilt-Using: glibc (= 2)\n\
            Priority: optional\nSection: utils\nDescription: short\n long\n";
        assert_eq!(control.file(), expected);
    }

    #[test]
    fn a_changelog_is_indented_as_debian_wants_it() {
        let date = Date::or_1970().unwrap();
        let text = changelog("program", "1.0-1", "Somebody <x@example.org>", date).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "program (1.0-1) unstable; urgency=medium");
        assert_eq!(lines[2], "  * What is new is in changelog.gz.");
        assert!(
            lines[4].starts_with(" -- Somebody <x@example.org>  "),
            "{text}"
        );
        assert_eq!((lines.len(), lines[1], lines[3]), (5, "", ""));
    }

    #[test]
    fn sizes_are_rounded_up() {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in [("a/empty", 0), ("a/one", 1), ("a/two", 1025)] {
            files::put(&folder.path().join(name), files::READABLE, &vec![0; size]).unwrap();
        }
        assert_eq!(installed_size(folder.path()).unwrap(), 2 + 3);
    }
}
