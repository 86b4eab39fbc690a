//! The guest's kernel: one of Debian's own for virtual machines, taken out of its packages into the
//! cache, never installed.
//!
//! Each is exactly one version, so that a test that fails today did not pass on another yesterday. Only
//! where Debian no longer has that one is it the newest of the same series, and testvm says so.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{apt::DebianArchive, cache::cached};

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
    /// What their names begin with; `-RELEASE-cloud-amd64` follows.
    parts: &'static [&'static str],
    /// The one that is taken as long as it is there.
    pinned: KernelRelease,
    /// What the release of any other that may take its place begins with.
    series: &'static str,
    /// Modules to be loaded that other kernels do not have.
    own_modules: &'static [&'static str],
}

/// What tells the packages of a kernel from those of others.
#[derive(Clone, Debug, PartialEq)]
struct KernelRelease {
    /// The part of their names, which `uname -r` begins with.
    release: String,
    /// The version of the packages.
    version: String,
}

/// SHA-2 for the CPU, which newer kernels have built in.
const SHA2_MODULES: &[&str] = &["sha256-ssse3", "sha512-ssse3"];

impl KernelVersion {
    fn packages(self) -> KernelPackages {
        let pinned = |release: &str, version: &str| KernelRelease {
            release: release.to_owned(),
            version: version.to_owned(),
        };
        match self {
            Self::Linux6_1 => KernelPackages {
                suites: &["debian bookworm", "debian-security bookworm-security"],
                parts: &["linux-image"],
                pinned: pinned("6.1.0-57", "6.1.192-3"),
                series: "6.1.",
                own_modules: SHA2_MODULES,
            },
            Self::Linux6_12 => KernelPackages {
                suites: &["debian trixie", "debian-security trixie-security"],
                parts: &["linux-image"],
                pinned: pinned("6.12.118+deb13", "6.12.118-1"),
                series: "6.12.",
                own_modules: SHA2_MODULES,
            },
            Self::Linux7_3 => KernelPackages {
                suites: &["debian trixie-backports"],
                parts: &["linux-base", "linux-binary", "linux-modules"],
                pinned: pinned("7.3.4+deb13", "7.3.4-1~bpo13+1"),
                series: "7.3.",
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
        let KernelRelease { release, version } = &packages.pinned;
        let directory = cached(cache, &format!("linux-{release}_{version}"), |apt, root| {
            fetch(&packages, apt, root)
                .with_context(|| format!("cannot fetch the kernel {release} ({version})"))
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
    if !unpack(&archive, kernel.parts, &kernel.pinned, root)? {
        let current = archive.dependencies(CURRENT)?;
        let other = in_its_place(kernel, &current)?;
        eprintln!(
            "testvm: Debian no longer has the packages of Linux {}: taking those of {}",
            kernel.pinned.release, other.release
        );
        if !unpack(&archive, kernel.parts, &other, root)? {
            bail!("{} are not all there: {current}", kernel.parts.join(", "));
        }
    }
    Ok(())
}

/// Unpacks the packages of a kernel; false where one is not there.
fn unpack(
    archive: &DebianArchive,
    parts: &[&str],
    kernel: &KernelRelease,
    root: &Path,
) -> Result<bool> {
    for part in parts {
        let name = format!("{part}-{}-cloud-amd64", kernel.release);
        if archive
            .unpack_pinned(&name, &kernel.version, root)?
            .is_none()
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The kernel of the same series in what [`CURRENT`] depends on.
fn in_its_place(kernel: &KernelPackages, current: &str) -> Result<KernelRelease> {
    let mut packages = current.split(", ");
    let found = packages.find_map(|package| {
        // NAME (= VERSION)
        let (name, version) = package.split_once(" (= ")?;
        let name = name.strip_prefix("linux-image-")?;
        let release = name.strip_suffix("-cloud-amd64")?;
        release.starts_with(kernel.series).then(|| KernelRelease {
            release: release.to_owned(),
            version: version.trim_end_matches(')').to_owned(),
        })
    });
    found.with_context(|| {
        format!(
            "{} has no Linux {} (any more), and {CURRENT} there is another series: {current}. Name that in {}",
            kernel.suites.join(", "),
            kernel.pinned.release,
            file!()
        )
    })
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
    fn only_the_same_series_takes_the_place_of_a_kernel() {
        let kernel = KernelVersion::Linux6_1.packages();
        let current = "linux-base (>= 4.3), linux-image-6.1.0-99-cloud-amd64 (= 6.1.999-1)";
        let other = in_its_place(&kernel, current).unwrap();
        assert_eq!(
            (other.release.as_str(), other.version.as_str()),
            ("6.1.0-99", "6.1.999-1")
        );
        for current in [
            "",
            "linux-image-6.12.9+deb13-cloud-amd64 (= 6.12.9-1)",
            "linux-image-6.1.0-99-cloud-amd64",
            "linux-image-6.1.0-99-amd64 (= 6.1.999-1)",
        ] {
            let error = in_its_place(&kernel, current).unwrap_err().to_string();
            for part in ["debian bookworm", "6.1.0-57", current, "src/kernel.rs"] {
                assert!(error.contains(part), "{error}");
            }
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
