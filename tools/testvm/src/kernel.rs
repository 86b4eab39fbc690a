//! The guest's kernel: Debian's own for virtual machines, taken out of its
//! package into the cache, never installed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The package whose dependency is the current kernel for virtual machines. It
/// has dm-verity, with FEC and root hash signatures, as Debian's other kernels.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel in the cache.
pub(crate) struct Kernel {
    /// What QEMU boots.
    pub(crate) image: PathBuf,
    /// Its `lib/modules/VERSION`.
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// The kernel in the cache; it is fetched where there is none.
    pub(crate) fn get(cache: &Path) -> Result<Self> {
        let directory = cache.join("kernel");
        fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
        // One process fetches, others that come meanwhile wait for it.
        let lock = File::create(cache.join("lock")).and_then(|file| file.lock().map(|()| file));
        let _lock = lock.with_context(|| format!("cannot lock {}/lock", cache.display()))?;
        if !directory.exists() {
            let partial = tempfile::tempdir_in(cache)?;
            fetch(partial.path()).with_context(|| {
                format!("cannot fetch the kernel ({PACKAGE}); `apt-get update` may help")
            })?;
            fs::rename(partial.path().join("root"), &directory)?;
        }
        Ok(Self {
            image: only_entry(&directory.join("boot"), "vmlinuz-")?,
            modules: only_entry(&directory.join("lib/modules"), "")?,
        })
    }
}

/// Leaves the package's content in `directory/root`.
fn fetch(directory: &Path) -> Result<()> {
    eprintln!("testvm: fetching {PACKAGE}, this once");
    let depends = output(Command::new("apt-cache").args(["depends", "--important", PACKAGE]))?;
    let package = kernel_package(&depends).context("apt knows no such package")?;
    // As the user that we are: apt's own cannot write here.
    output(
        Command::new("apt-get")
            .args(["-o", "APT::Sandbox::User=root", "download", package])
            .current_dir(directory),
    )?;
    let archive = only_entry(directory, "linux-image-")?;
    output(
        Command::new("dpkg")
            .arg("-x")
            .arg(archive)
            .arg(directory.join("root")),
    )?;
    Ok(())
}

/// The package with the kernel, in what `apt-cache depends` says.
fn kernel_package(depends: &str) -> Option<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
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

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes())
        {
            found.push(entry.path());
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => bail!(
            "{} holds {} entries {prefix}*, not one; remove it, and it is made anew",
            directory.display(),
            found.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_a_dependency() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            kernel_package(depends),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(kernel_package("linux-image-cloud-amd64\n"), None);
        assert_eq!(kernel_package(""), None);
    }
}
