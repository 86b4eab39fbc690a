//! Packages of a release of Debian that is not this machine's own: apt reads them with lists, caches
//! and a status that are nobody else's, and checks their signatures as ever. Nothing is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The keys that Debian's own archives are signed with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org";

/// The lists of an archive, as they are now.
pub(crate) struct DebianArchive {
    /// Where apt keeps what belongs to them.
    directory: PathBuf,
}

impl DebianArchive {
    /// Reads the lists of some of Debian's suites, each with the archive that it is in:
    /// `debian-security trixie-security`.
    pub(crate) fn read(directory: &Path, suites: &[&str]) -> Result<Self> {
        Self::of_kind(directory, "deb", suites)
    }

    /// The same for the sources of packages.
    pub(crate) fn read_sources(directory: &Path, suites: &[&str]) -> Result<Self> {
        Self::of_kind(directory, "deb-src", suites)
    }

    fn of_kind(directory: &Path, kind: &str, suites: &[&str]) -> Result<Self> {
        let lines = suites.iter().map(|suite| format!("{MIRROR}/{suite} main"));
        let sources: String = lines
            .map(|line| format!("{kind} [signed-by={KEYRING}] {line}\n"))
            .collect();
        Self::of_sources(directory, &sources)
    }

    /// The same of any source; `sources` is what a `sources.list` holds.
    fn of_sources(directory: &Path, sources: &str) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(folder))?;
        }
        fs::write(directory.join("sources.list"), sources)?;
        fs::write(directory.join("status"), "")?;
        let archive = Self {
            directory: directory.to_owned(),
        };
        // Without it, apt takes a list that it cannot read or check for none, and goes on.
        output(archive.apt("apt-get").args(["update", "--error-on=any"]))?;
        Ok(archive)
    }

    /// Unpacks a package in exactly this version; nothing where the archive does not have it (any more).
    pub(crate) fn unpack_pinned(
        &self,
        name: &str,
        version: &str,
        root: &Path,
    ) -> Result<Option<()>> {
        let known = output(self.apt("apt-cache").args(["madison", name]))?;
        // NAME | VERSION | SOURCE
        let mut versions = known.lines().filter_map(|line| line.split('|').nth(1));
        if !versions.any(|known| known.trim() == version) {
            return Ok(None);
        }
        self.unpack(&format!("{name}={version}"), root).map(Some)
    }

    /// What the newest version of a package depends on, with versions.
    pub(crate) fn dependencies(&self, package: &str) -> Result<String> {
        let mut show = self.apt("apt-cache");
        let text = output(show.args(["show", "--no-all-versions", package]))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Depends: "));
        Ok(line.unwrap_or("nothing").to_owned())
    }

    /// Unpacks `NAME` or `NAME=VERSION` into a directory.
    pub(crate) fn unpack(&self, package: &str, root: &Path) -> Result<()> {
        let download = tempfile::tempdir_in(&self.directory)?;
        output(
            self.apt("apt-get")
                .args(["download", package])
                .current_dir(download.path()),
        )?;
        for file in fs::read_dir(download.path())? {
            output(Command::new("dpkg").arg("-x").arg(file?.path()).arg(root))?;
        }
        Ok(())
    }

    /// Unpacks packages and all that they depend on, each in the newest version that there is.
    pub(crate) fn unpack_all(&self, packages: &[String], root: &Path) -> Result<()> {
        let mut install = self.apt("apt-get");
        install.args(["-o", "Debug::NoLocking=1", "--no-install-recommends"]);
        install.args(["install", "--yes", "--download-only", "--"]);
        output(install.args(packages))?;
        for file in fs::read_dir(self.directory.join("cache/archives"))? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                output(Command::new("dpkg").arg("-x").arg(file).arg(root))?;
            }
        }
        Ok(())
    }

    /// Unpacks the source of a package, with Debian's patches, into a directory that is not there yet.
    pub(crate) fn unpack_source(&self, package: &str, root: &Path) -> Result<()> {
        let download = tempfile::tempdir_in(&self.directory)?;
        output(
            self.apt("apt-get")
                .args(["source", "--download-only", "--only-source", "--", package])
                .current_dir(download.path()),
        )?;
        let mut files = fs::read_dir(download.path())?
            .map(|file| Ok(file?.path()))
            .collect::<Result<Vec<_>>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "dsc"));
        let [description] = files.as_slice() else {
            bail!("{package} has {} descriptions", files.len());
        };
        // apt has checked it against the archive's signature: that of its maintainer takes other keys.
        let mut extract = Command::new("dpkg-source");
        extract.args(["--no-check", "--no-copy", "--extract"]);
        output(extract.arg(description).arg(root)).map(drop)
    }

    fn apt(&self, program: &str) -> Command {
        let directory = self.directory.display();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc::SourceList={directory}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            // The machine's pins and its preference for its own release are none of ours.
            "Dir::Etc::Preferences=/dev/null".into(),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            "APT::Default-Release=".into(),
            format!("Dir::State={directory}"),
            format!("Dir::State::Lists={directory}/lists"),
            format!("Dir::State::Status={directory}/status"),
            format!("Dir::Cache={directory}/cache"),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "APT::Architecture=amd64".into(),
            "APT::Architectures=amd64".into(),
            // As the user that we are: apt's own cannot write here.
            "APT::Sandbox::User=root".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .env("LC_ALL", "C")
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive that is not signed: packages, each with what it depends on.
    fn archive(directory: &Path, packages: &[(&str, &str)]) {
        let mut index = String::new();
        for (name, depends) in packages {
            let content = directory.join("content").join(name);
            fs::create_dir_all(content.join("DEBIAN")).unwrap();
            let control = format!(
                "Package: {name}\nVersion: 6.1-1\nArchitecture: all\n\
                 Maintainer: nobody <nobody@localhost>\nDepends: {depends}\nDescription: a test\n"
            );
            fs::write(content.join("DEBIAN/control"), &control).unwrap();
            fs::write(content.join(name), name).unwrap();
            let package = directory.join(format!("{name}.deb"));
            output(
                Command::new("dpkg-deb")
                    .arg("-b")
                    .args([&content, &package]),
            )
            .unwrap();
            let bytes = fs::metadata(&package).unwrap().len();
            let sum = sum(&package);
            index += &format!("{control}Filename: ./{name}.deb\nSize: {bytes}\nSHA256: {sum}\n\n");
        }
        let path = directory.join("Packages");
        fs::write(&path, &index).unwrap();
        let date = output(Command::new("date").arg("-uR")).unwrap();
        let (sum, bytes) = (sum(&path), index.len());
        let release = format!("Date: {date}SHA256:\n {sum} {bytes} Packages\n");
        fs::write(directory.join("Release"), release).unwrap();
    }

    fn sum(path: &Path) -> String {
        let printed = output(Command::new("sha256sum").arg(path)).unwrap();
        printed.split(' ').next().unwrap().to_owned()
    }

    const KERNEL: &[(&str, &str)] = &[("kernel", "other (= 1)")];

    /// What is fetched by `file:` would not be copied to where apt keeps packages.
    fn read(directory: &Path, options: &str) -> Result<DebianArchive> {
        let sources = format!("deb {options} copy:{} ./\n", directory.display());
        DebianArchive::of_sources(&directory.join("apt"), &sources)
    }

    #[test]
    fn a_package_in_exactly_its_version() {
        let directory = tempfile::tempdir().unwrap();
        archive(directory.path(), KERNEL);
        let archive = read(directory.path(), "[trusted=yes]").unwrap();
        let root = directory.path().join("root");
        let unpack = |name, version| archive.unpack_pinned(name, version, &root).unwrap();
        assert_eq!(unpack("kernel", "6.1-2"), None);
        assert_eq!(unpack("other", "6.1-1"), None);
        assert!(!root.exists());
        assert_eq!(unpack("kernel", "6.1-1"), Some(()));
        assert_eq!(fs::read_to_string(root.join("kernel")).unwrap(), "kernel");
        assert_eq!(archive.dependencies("kernel").unwrap(), "other (= 1)");
    }

    /// An archive of one source package, which is not signed.
    fn source_archive(directory: &Path) {
        let script = r#"
            sum() { printf '%s %s %s\n' "$($1sum "$2" | cut -d ' ' -f 1)" "$(stat -c %s "$2")" "$2"; }
            mkdir -p tool-1/debian/source
            echo '3.0 (native)' >tool-1/debian/source/format
            echo test >tool-1/file
            tar -cJf tool_1.tar.xz tool-1
            rm -r tool-1
            { printf 'Format: 3.0 (native)\nSource: tool\nVersion: 1\nFiles:\n %s\n' "$(sum md5 tool_1.tar.xz)"
              printf 'Checksums-Sha256:\n %s\n' "$(sum sha256 tool_1.tar.xz)"; } >tool_1.dsc
            printf 'Package: tool\nVersion: 1\nDirectory: .\nFormat: 3.0 (native)\nFiles:\n' >Sources
            for file in tool_1.tar.xz tool_1.dsc; do printf ' %s\n' "$(sum md5 "$file")"; done >>Sources
            echo Checksums-Sha256: >>Sources
            for file in tool_1.tar.xz tool_1.dsc; do printf ' %s\n' "$(sum sha256 "$file")"; done >>Sources
            printf 'Date: %s\nSHA256:\n %s\n' "$(date -uR)" "$(sum sha256 Sources)" >Release"#;
        let mut index = Command::new("sh");
        index.args(["-euc", script]).current_dir(directory);
        output(&mut index).unwrap();
    }

    #[test]
    fn the_source_of_a_package() {
        let directory = tempfile::tempdir().unwrap();
        source_archive(directory.path());
        let sources = format!(
            "deb-src [trusted=yes] file:{} ./\n",
            directory.path().display()
        );
        let archive = DebianArchive::of_sources(&directory.path().join("apt"), &sources).unwrap();
        let root = directory.path().join("root");
        assert!(archive.unpack_source("other", &root).is_err());
        archive.unpack_source("tool", &root).unwrap();
        assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "test\n");
        fs::write(directory.path().join("tool_1.tar.xz"), "other").unwrap();
        let other = directory.path().join("other");
        assert!(archive.unpack_source("tool", &other).is_err());
    }

    #[test]
    fn packages_with_all_that_they_depend_on() {
        let directory = tempfile::tempdir().unwrap();
        let packages = [
            ("one", "below"),
            ("two", "below"),
            ("below", "one"),
            ("none", "one"),
        ];
        archive(directory.path(), &packages);
        let archive = read(directory.path(), "[trusted=yes]").unwrap();
        let root = directory.path().join("root");
        let names = ["one".to_owned(), "two".to_owned()];
        archive.unpack_all(&names, &root).unwrap();
        let is_there = packages.map(|(name, _)| root.join(name).exists());
        assert_eq!(is_there, [true, true, true, false]);
        assert!(archive.unpack_all(&["absent".to_owned()], &root).is_err());
    }

    #[test]
    fn an_archive_without_a_signature_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        archive(directory.path(), KERNEL);
        let error = read(directory.path(), "").err().unwrap().to_string();
        assert!(error.contains("is not signed"), "{error}");
    }

    #[test]
    fn a_package_that_was_changed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        archive(directory.path(), KERNEL);
        let archive = read(directory.path(), "[trusted=yes]").unwrap();
        fs::write(directory.path().join("kernel.deb"), "other").unwrap();
        assert!(archive.unpack("kernel", directory.path()).is_err());
    }
}
