//! The guest's kernel: one of Debian's own for virtual machines, taken out of its packages into the
//! cache, never installed.
//!
//! Each is exactly one version, so that a test that fails today did not pass on another yesterday.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    apt::{DebianArchive, PinnedPackage},
    cache::cached,
};

/// The package whose dependency is a suite's current kernel for virtual machines.
const CURRENT: &str = "linux-image-cloud-amd64";

/// A version of Linux that a guest can have. All have dm-verity, with FEC and root hash signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(crate) enum KernelVersion {
    /// Debian 12's
    #[default]
    #[value(name = "6.1")]
    Linux6_1,
    /// Debian 13's
    #[value(name = "6.12")]
    Linux6_12,
    /// The newest that Debian 13 has among its backports, which keep those that were
    #[value(name = "7.3")]
    Linux7_3,
}

/// Which packages a kernel is.
struct KernelPackages {
    /// Where they are, for [`DebianArchive::read`].
    suites: &'static [&'static str],
    packages: &'static [PinnedPackage],
    /// Modules to be loaded that other kernels do not have.
    own_modules: &'static [&'static str],
}

/// SHA-2 for the CPU, which newer kernels have built in.
const SHA2_MODULES: &[&str] = &["sha256-ssse3", "sha512-ssse3"];

impl KernelVersion {
    fn packages(self) -> KernelPackages {
        const fn pinned(name: &'static str, version: &'static str) -> PinnedPackage {
            PinnedPackage { name, version }
        }
        match self {
            Self::Linux6_1 => KernelPackages {
                suites: &["debian bookworm", "debian-security bookworm-security"],
                packages: const { &[pinned("linux-image-6.1.0-57-cloud-amd64", "6.1.192-3")] },
                own_modules: SHA2_MODULES,
            },
            Self::Linux6_12 => KernelPackages {
                suites: &["debian trixie", "debian-security trixie-security"],
                packages: const {
                    &[pinned(
                        "linux-image-6.12.118+deb13-cloud-amd64",
                        "6.12.118-1",
                    )]
                },
                own_modules: SHA2_MODULES,
            },
            Self::Linux7_3 => KernelPackages {
                suites: &["debian trixie-backports"],
                packages: const {
                    &[
                        pinned("linux-base-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
                        pinned("linux-binary-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
                        pinned("linux-modules-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
                    ]
                },
                own_modules: &[],
            },
        }
    }
}

/// A kernel in the cache.
pub(crate) struct Kernel {
    /// What QEMU boots.
    pub(crate) image: PathBuf,
    /// Its `lib/modules/VERSION`.
    pub(crate) modules: PathBuf,
    /// Modules to be loaded that other kernels do not have.
    pub(crate) own_modules: &'static [&'static str],
}

impl Kernel {
    /// The kernel in the cache; it is fetched where there is none.
    pub(crate) fn get(cache: &Path, version: KernelVersion) -> Result<Self> {
        let packages = version.packages();
        let names = packages.packages.iter();
        let names: Vec<_> = names
            .map(|it| format!("{}_{}", it.name, it.version))
            .collect();
        let name = names.last().context("a kernel has packages")?;
        let directory = cached(cache, name, |apt, root| {
            fetch(&packages, apt, root)
                .with_context(|| format!("cannot fetch the kernel {}", names.join(", ")))
        })?;
        Self::unpacked(&directory, packages.own_modules)
    }

    /// A kernel as its packages have it: the image of an old one is in `/boot`, that of a new one
    /// lies with the modules.
    fn unpacked(root: &Path, own_modules: &'static [&'static str]) -> Result<Self> {
        let places = ["usr/lib/modules", "lib/modules"].map(|place| root.join(place));
        let [merged, old] = &places;
        let modules = only_entry(if merged.exists() { merged } else { old }, "")?;
        let beside = modules.join("vmlinuz");
        let image = if beside.exists() {
            beside
        } else {
            only_entry(&root.join("boot"), "vmlinuz-")?
        };
        Ok(Self {
            image,
            modules,
            own_modules,
        })
    }
}

/// Leaves the packages' content in `root`.
fn fetch(kernel: &KernelPackages, apt: &Path, root: &Path) -> Result<()> {
    let archive = DebianArchive::read(apt, kernel.suites)?;
    for package in kernel.packages {
        if archive.unpack_pinned(*package, root)?.is_none() {
            bail!(gone(
                *package,
                kernel.suites,
                &archive.dependencies(CURRENT)?
            ));
        }
    }
    Ok(())
}

/// What to do where the archive has another version by now.
fn gone(package: PinnedPackage, suites: &[&str], current: &str) -> String {
    format!(
        "{} has no {} {} (any more); {CURRENT} there depends on: {current}. Name that one in {}",
        suites.join(", "),
        package.name,
        package.version,
        file!()
    )
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
    fn another_version_is_to_be_named() {
        let package = PinnedPackage {
            name: "linux-image-6.1.0-57-cloud-amd64",
            version: "6.1.192-3",
        };
        let message = gone(
            package,
            &["debian bookworm"],
            "linux-image-6.1.0-58 (= 6.1.200-1)",
        );
        for part in [
            "debian bookworm has no linux-image-6.1.0-57-cloud-amd64 6.1.192-3",
            "linux-image-6.1.0-58 (= 6.1.200-1)",
            "tools/testvm/src/kernel.rs",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn old_and_new_packages() {
        for (files, image) in [
            (
                ["boot/vmlinuz-6.1", "boot/config-6.1", "lib/modules/6.1/x"],
                "boot/vmlinuz-6.1",
            ),
            (
                ["boot/vmlinuz-6.12", "usr/share/x", "usr/lib/modules/6.12/x"],
                "boot/vmlinuz-6.12",
            ),
            (
                [
                    "usr/lib/modules/7.3/vmlinuz",
                    "usr/share/x",
                    "usr/lib/modules/7.3/x",
                ],
                "usr/lib/modules/7.3/vmlinuz",
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            for file in files {
                let file = root.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            let kernel = Kernel::unpacked(root.path(), &[]).unwrap();
            assert_eq!(kernel.image, root.path().join(image));
            assert_eq!(
                Some(kernel.modules.as_path()),
                root.path().join(files[2]).parent()
            );
        }
    }
}
