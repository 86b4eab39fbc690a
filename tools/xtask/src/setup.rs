//! Installs the Debian packages that are missing for some purposes, and says which before it does.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    child::{bytes, command, is_on_path, run},
    image::docker_builds,
};

/// What a machine is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Purpose {
    /// The programs are built
    Build,
    /// Debian packages and releases are made of them
    Packages,
    /// Releases are signed
    Signing,
    /// Container images are made of them
    Images,
    /// They are compared with others
    Peers,
    /// They run in a virtual machine, on a real model
    Machine,
    /// They are fuzzed
    Fuzz,
    /// What they are made of is audited
    Audit,
    /// They are compiled for ARM, and what is for such a CPU is tested
    Arm,
    /// They are tested
    Tests,
}

/// What tells that a package is there.
#[derive(Clone, Copy)]
enum Sign {
    /// A program on PATH.
    PublishedProgram(&'static str),
    /// The pattern of a file.
    File(&'static str),
    /// This program on PATH, or a docker that can build images in its place.
    ProgramOrDocker(&'static str),
}

impl Sign {
    fn is_there(self) -> Result<bool> {
        match self {
            Self::PublishedProgram(name) => Ok(is_on_path(name)),
            Self::ProgramOrDocker(name) => Ok(is_on_path(name) || docker_builds()),
            Self::File(pattern) => {
                let found = glob::glob(pattern).with_context(|| format!("{pattern} is wrong"))?;
                Ok(found.filter_map(Result::ok).next().is_some())
            }
        }
    }
}

use Purpose::{Arm, Audit, Build, Fuzz, Images, Machine, Packages, Peers, Signing, Tests};
use Sign::{File, ProgramOrDocker, PublishedProgram};

/// Which Debian packages each purpose needs.
const PACKAGES: &[(Purpose, &str, Sign)] = &[
    (Build, "gcc", PublishedProgram("cc")),
    (Build, "libc6-dev", File("/usr/include/stdio.h")),
    (Build, "pkg-config", PublishedProgram("pkg-config")),
    (
        Build,
        "libdevmapper-dev",
        File("/usr/include/libdevmapper.h"),
    ),
    (
        Build,
        "libclang-dev",
        File("/usr/lib/llvm-*/lib/libclang.so"),
    ),
    (Packages, "dpkg", PublishedProgram("dpkg-deb")),
    (Signing, "openssh-client", PublishedProgram("ssh-keygen")),
    (Images, "buildah", ProgramOrDocker("buildah")),
    (Peers, "cryptsetup-bin", PublishedProgram("veritysetup")),
    (Peers, "erofs-utils", PublishedProgram("mkfs.erofs")),
    (Peers, "xfsprogs", PublishedProgram("mkfs.xfs")),
    (Peers, "btrfs-progs", PublishedProgram("mkfs.btrfs")),
    (Peers, "bindfs", PublishedProgram("bindfs")),
    (Peers, "libisal-dev", File("/usr/include/isa-l.h")),
    (
        Machine,
        "qemu-system-x86",
        PublishedProgram("qemu-system-x86_64"),
    ),
    (Machine, "busybox-static", File("/bin/busybox")),
    (
        Machine,
        "debian-archive-keyring",
        File("/usr/share/keyrings/debian-archive-keyring.gpg"),
    ),
    (Machine, "xz-utils", PublishedProgram("xz")),
    (Machine, "python3", PublishedProgram("python3")),
    (Machine, "python3-pip", PublishedProgram("pip3")),
    (Machine, "unzip", PublishedProgram("unzip")),
    (Fuzz, "g++", PublishedProgram("c++")),
    (Audit, "git", PublishedProgram("git")),
    (Audit, "python3", PublishedProgram("python3")),
    (Audit, "python3-pip", PublishedProgram("pip3")),
    (Arm, "clang", PublishedProgram("clang")),
    (Arm, "qemu-user", PublishedProgram("qemu-aarch64")),
    (
        Arm,
        "libc6-dev-arm64-cross",
        File("/usr/aarch64-linux-gnu/include/stdio.h"),
    ),
    (Tests, "git", PublishedProgram("git")),
    (Tests, "openssh-client", PublishedProgram("ssh-keygen")),
    (Tests, "dpkg-dev", PublishedProgram("dpkg-source")),
    (Tests, "dmsetup", PublishedProgram("dmsetup")),
    (Tests, "e2fsprogs", PublishedProgram("mke2fs")),
    (Tests, "fuse3", PublishedProgram("fusermount3")),
    (Tests, "squashfs-tools", PublishedProgram("mksquashfs")),
    (Tests, "strace", PublishedProgram("strace")),
    (Tests, "systemd", PublishedProgram("systemd-repart")),
    (Tests, "util-linux-extra", PublishedProgram("fincore")),
    (Tests, "xfsprogs", PublishedProgram("mkfs.xfs")),
    (Tests, "buildah", PublishedProgram("buildah")),
    (Tests, "containerd", PublishedProgram("containerd")),
    (Tests, "crun", PublishedProgram("crun")),
    (Tests, "man-db", PublishedProgram("man")),
    (Tests, "mandoc", PublishedProgram("mandoc")),
    (Tests, "python3", PublishedProgram("python3")),
    (Tests, "python3-pip", PublishedProgram("pip3")),
    (Tests, "zsh", PublishedProgram("zsh")),
    (Tests, "fish", PublishedProgram("fish")),
];

/// Installs what is missing, or says to a user who may not what to run.
pub(crate) fn setup(purposes: &[Purpose]) -> Result<()> {
    let mut missing = Vec::new();
    for (package, sign) in needed(purposes) {
        if !sign.is_there()? {
            missing.push(package);
        }
    }
    if !missing.is_empty() {
        install(&missing)?;
    }
    if purposes.contains(&Tests) {
        add_component("clippy", "clippy")?;
        add_component("rustfmt", "fmt")?;
    }
    if purposes.contains(&Arm) {
        add_target("aarch64-unknown-linux-musl")?;
    }
    Ok(())
}

/// The packages for some purposes, each once.
fn needed(purposes: &[Purpose]) -> Vec<(&'static str, Sign)> {
    let mut needed: Vec<(&str, Sign)> = Vec::new();
    for (purpose, package, sign) in PACKAGES {
        let known = needed.iter().any(|(other, _)| other == package);
        if purposes.contains(purpose) && !known {
            needed.push((package, *sign));
        }
    }
    needed
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "these Debian packages are missing; as root: \
             apt-get install --no-install-recommends {list}"
        );
    }
    println!("Installing the missing Debian packages: {list}");
    run(&mut apt_get(&["update", "-qq"]))?;
    let options = ["install", "-y", "-qq", "--no-install-recommends"];
    run(apt_get(&options).args(packages))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut apt_get = command("apt-get", arguments);
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    apt_get
}

/// Adds a component to the Rust toolchain where its subcommand of Cargo is missing.
fn add_component(component: &str, subcommand: &str) -> Result<()> {
    if bytes(&mut command("cargo", [subcommand, "--version"])).is_err() {
        println!("Installing the Rust component {component}");
        run(&mut command("rustup", ["component", "add", component]))?;
    }
    Ok(())
}

/// Adds a target to the Rust toolchain where its standard library is missing.
fn add_target(target: &str) -> Result<()> {
    let print = ["--print", "target-libdir", "--target", target];
    let folder = bytes(&mut command("rustc", print))?;
    if !Path::new(String::from_utf8(folder)?.trim_end()).exists() {
        println!("Installing the Rust target {target}");
        run(&mut command("rustup", ["target", "add", target]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(purposes: &[Purpose]) -> Vec<&'static str> {
        needed(purposes).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn each_purpose_has_packages_and_each_package_is_named_once() {
        for purpose in Purpose::value_variants() {
            assert!(!names(&[*purpose]).is_empty(), "{purpose:?}");
        }
        let all = names(Purpose::value_variants());
        for name in &all {
            assert_eq!(
                all.iter().filter(|other| *other == name).count(),
                1,
                "{name}"
            );
        }
        assert_eq!(names(&[Packages, Fuzz]), ["dpkg", "g++"]);
        assert!(!names(&[Build, Packages]).contains(&"python3"));
    }

    #[test]
    fn signs() {
        for sign in [PublishedProgram("sh"), File("/etc/pass*"), File("/bin/sh")] {
            assert!(sign.is_there().unwrap());
        }
        for sign in [PublishedProgram("no-such-program"), File("/no-such-*/file")] {
            assert!(!sign.is_there().unwrap());
        }
    }
}
