//! What this machine can do.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::program::Program;

/// Where COMMAND is to run.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum RunLocation {
    Auto,
    Native,
    Vm,
}

/// Where COMMAND runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Host {
    Native,
    Vm,
}

/// What the virtual machine takes from this one: programs, and the Debian
/// packages that they are in. (Fetching a kernel takes more, once.)
const VM_PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("setpriv", "util-linux"),
    ("ldd", "libc-bin"),
];

/// Decides where to run, or says what is missing.
pub(crate) fn choose(location: RunLocation) -> Result<Host> {
    match location {
        RunLocation::Native => match native_obstacle() {
            None => Ok(Host::Native),
            Some(native) => bail!("cannot run natively: {native}"),
        },
        RunLocation::Vm => match vm_obstacle() {
            None => Ok(Host::Vm),
            Some(vm) => bail!("cannot run in a virtual machine: {vm}"),
        },
        RunLocation::Auto => match native_obstacle() {
            None => Ok(Host::Native),
            Some(native) => match vm_obstacle() {
                None => Ok(Host::Vm),
                Some(vm) => bail!("cannot run natively: {native}; nor in a virtual machine: {vm}"),
            },
        },
    }
}

/// Why COMMAND cannot run on this machine's kernel, if it cannot.
fn native_obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".into());
    }
    // It may be there already, or built in; whether it is, is asked below.
    let _ = Command::new("modprobe").args(["-q", "dm-verity"]).output();
    let misc = fs::read_to_string("/proc/misc").unwrap_or_default();
    if !has_device_mapper(&misc) {
        return Some("the kernel has no device-mapper".into());
    }
    if !Path::new("/sys/module/dm_verity").exists() {
        return Some("the kernel has no dm-verity".into());
    }
    None
}

/// Why COMMAND cannot run in a virtual machine, if it cannot.
fn vm_obstacle() -> Option<String> {
    if env::consts::ARCH != "x86_64" {
        return Some(format!(
            "the guest is for x86_64, and this is {}",
            env::consts::ARCH
        ));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    missing(|program| Program::find(Path::new(program), &path).is_ok())
}

/// Whether device-mapper is among the lines `MINOR NAME` of /proc/misc.
fn has_device_mapper(misc: &str) -> bool {
    misc.lines()
        .any(|line| line.split_whitespace().nth(1) == Some("device-mapper"))
}

fn missing(is_there: impl Fn(&str) -> bool) -> Option<String> {
    let missing = VM_PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let (programs, packages): (Vec<_>, Vec<_>) = missing.copied().unzip();
    if programs.is_empty() {
        return None;
    }
    Some(format!(
        "{} is missing; on Debian: apt-get install {}",
        programs.join(", "),
        packages.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_mapper_among_misc_devices() {
        assert!(has_device_mapper("234 btrfs-control\n236 device-mapper\n"));
        assert!(!has_device_mapper("234 btrfs-control\n237 loop-control\n"));
        assert!(!has_device_mapper(""));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing(|_| true), None);
        assert_eq!(
            missing(|program| program == "setpriv" || program == "ldd").unwrap(),
            "qemu-system-x86_64, busybox is missing; on Debian: \
             apt-get install qemu-system-x86 busybox-static"
        );
    }
}
