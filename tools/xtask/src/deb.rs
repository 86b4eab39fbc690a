//! The Debian package of each program, from what `make install` installs.

use std::path::Path;

use anyhow::{Context, Result};
use md5::{Digest, Md5};

use crate::{
    archive::gzip,
    child::{command, run, text},
    cli::ReleaseArguments,
    control::{self, Control},
    date::{self, Date},
    files::{self, READABLE, put, read},
    install, libraries,
    notices::notices,
    program::{Document, PublishedProgram, built, version},
    source,
};

/// Where Debian's zsh looks for completions, below /usr.
const ZSH_FUNCTIONS: &str = "share/zsh/vendor-completions";

/// Makes the packages. The same programs give the same packages, to the byte.
pub(crate) fn packages(release: &ReleaseArguments) -> Result<()> {
    let work = files::work_folder(&release.folder, ".deb.")?;
    for name in &release.programs {
        let root = work.path().join(name);
        files::make_folder(&root)?;
        package(PublishedProgram::find(name)?, release, &root)?;
    }
    Ok(())
}

/// Makes the package of a program; `root` is an empty folder to put together in what is in it.
fn package(program: &PublishedProgram, release: &ReleaseArguments, root: &Path) -> Result<()> {
    let (name, usr) = (program.name, root.join("usr"));
    let (date, maintainer) = (Date::of_the_sources()?, control::maintainer());
    let version = version(&built(&release.release, name)?, name)? + "-1";
    let names = [name.to_owned()];
    install::install(&usr, &release.release, &names, Path::new(ZSH_FUNCTIONS))?;

    let debian = source::root()?.join("packaging/debian");
    let page = program.document_place(Document::ManualPage, Path::new(""));
    compress(&usr.join(page))?;
    let doc = usr.join(program.doc_folder());
    // Debian has the text itself.
    files::remove(&doc.join("LICENSE"))?;
    let changes = control::changelog(name, &version, &maintainer, date)?;
    let news = read(&source::root()?.join("CHANGELOG.md"))?;
    let notices = notices(&release.target, &names)?;
    let overrides = control::lintian_overrides(name);
    for (path, content) in [
        (doc.join("copyright"), read(&debian.join("copyright"))?),
        (doc.join("changelog.gz"), gzip(&news)?),
        (doc.join("changelog.Debian.gz"), gzip(changes.as_bytes())?),
        (
            doc.join("third-party-notices.gz"),
            gzip(notices.as_bytes())?,
        ),
        (
            usr.join("share/lintian/overrides").join(name),
            overrides.into(),
        ),
    ] {
        put(&path, READABLE, &content)?;
    }

    let architecture = text(&mut command("dpkg", ["--print-architecture"]))?;
    let architecture = architecture.trim();
    let control = Control {
        name,
        version: &version,
        architecture,
        maintainer: &maintainer,
        installed_size: control::installed_size(&usr)?,
        built_using: &libraries::built_using()?,
        description: &String::from_utf8(read(&debian.join(name))?)?,
    };
    put(
        &root.join("DEBIAN/md5sums"),
        READABLE,
        md5sums(root)?.as_bytes(),
    )?;
    put(
        &root.join("DEBIAN/control"),
        READABLE,
        control.file().as_bytes(),
    )?;
    let file = format!("{name}_{version}_{architecture}.deb");
    build(root, &release.folder.join(file), date)
}

/// Replaces a file by what gzip makes of it.
fn compress(path: &Path) -> Result<()> {
    let compressed = gzip(&read(path)?)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    put(Path::new(&name), READABLE, &compressed)?;
    files::remove(path)
}

/// The checksums of what a package installs, as md5sum lists them.
fn md5sums(root: &Path) -> Result<String> {
    let mut sums = String::new();
    let (files, _) = files::walk(&root.join("usr"))?;
    for path in files {
        let digest = hex::encode(Md5::digest(read(&path)?));
        let name = path.strip_prefix(root)?.to_str();
        let name = name.with_context(|| format!("{} is no text", path.display()))?;
        sums += &format!("{digest}  {name}\n");
    }
    Ok(sums)
}

/// Makes the file of a package.
fn build(root: &Path, package: &Path, date: Date) -> Result<()> {
    // Compressed by one thread, as that does not depend on how many the machine has.
    let mut dpkg = command(
        "dpkg-deb",
        ["--root-owner-group", "-Zxz", "--threads-max=1"],
    );
    dpkg.arg("--build").arg(root).arg(package);
    run(dpkg.env(date::VARIABLE, date.epoch()))?;
    files::set_mode(package, READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_of_what_is_installed() {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in [("usr/b", "b"), ("usr/a/c", ""), ("DEBIAN/control", "")] {
            put(&root.path().join(name), READABLE, content.as_bytes()).unwrap();
        }
        let expected = "d41d8cd98f00b204e9800998ecf8427e  usr/a/c\n\
            92eb5ffee6ae2fec3ad71c777531578f  usr/b\n";
        assert_eq!(md5sums(root.path()).unwrap(), expected);
    }

    #[test]
    fn a_compressed_file_takes_the_place_of_the_other() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("page.1");
        put(&path, READABLE, b"text").unwrap();
        compress(&path).unwrap();
        let names = files::list(root.path()).unwrap();
        assert_eq!(names, [root.path().join("page.1.gz")]);
    }
}
