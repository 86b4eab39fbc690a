//! QEMU's command line.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::{job::existing, kernel::Kernel};

/// The files of one run of the guest.
pub(crate) struct Files {
    pub(crate) initramfs: PathBuf,
    /// COMMAND's standard output and error.
    pub(crate) out: PathBuf,
    pub(crate) err: PathBuf,
    /// The guest's closing line.
    pub(crate) closing: PathBuf,
    pub(crate) kernel_log: PathBuf,
    /// What QEMU itself says.
    pub(crate) messages: PathBuf,
}

impl Files {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            initramfs: directory.join("initramfs"),
            out: directory.join("out"),
            err: directory.join("err"),
            closing: directory.join("closing"),
            kernel_log: directory.join("kernel.log"),
            messages: directory.join("qemu.log"),
        }
    }
}

/// An image that the guest sees as a block device.
pub(crate) struct VirtualDisk {
    path: PathBuf,
    writable: bool,
}

/// The disks in the guest's order: those that it may only read come first.
pub(crate) fn disks(read_only: &[PathBuf], writable: &[PathBuf]) -> Result<Vec<VirtualDisk>> {
    let disk = |path: &PathBuf, writable| {
        Ok(VirtualDisk {
            path: existing(path)?,
            writable,
        })
    };
    let read_only = read_only.iter().map(|path| disk(path, false));
    read_only
        .chain(writable.iter().map(|path| disk(path, true)))
        .collect()
}

/// QEMU with the guest: two processors, `memory` MiB, no network, and a port for
/// each of COMMAND's outputs and the closing line. It ends when the guest does,
/// also by a panic or a reboot, and when testvm dies.
pub(crate) fn command(
    kernel: &Kernel,
    files: &Files,
    disks: &[VirtualDisk],
    accelerator: &str,
    memory: u64,
) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args(["-M", "q35", "-cpu", "max", "-smp", "2"])
        .args(["-accel", accelerator])
        .args(["-m", &format!("{memory}M")])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&files.initramfs)
        // An oops is a crash too: the guest would go on in an unknown state.
        .args(["-append", "console=ttyS0 quiet oops=panic panic=-1"]);
    command
        .arg("-chardev")
        .arg(option("file,id=log,path=", &files.kernel_log))
        .args(["-serial", "chardev:log"])
        // Without ioeventfd a write is in the file before the guest goes on.
        .args(["-device", "virtio-serial-pci,ioeventfd=off"]);
    for (number, file) in [&files.out, &files.err, &files.closing]
        .into_iter()
        .enumerate()
    {
        command
            .arg("-chardev")
            .arg(option(&format!("file,id=port{number},path="), file))
            .arg("-device")
            .arg(format!(
                "virtserialport,chardev=port{number},nr={}",
                number + 1
            ));
    }
    for (number, disk) in disks.iter().enumerate() {
        let access = if disk.writable { "off" } else { "on" };
        let drive = format!("if=none,id=disk{number},format=raw,readonly={access},file=");
        command
            .arg("-drive")
            .arg(option(&drive, &disk.path))
            .arg("-device")
            .arg(format!("virtio-blk-pci,drive=disk{number},num-queues=2"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// An option that ends with a path, in which a comma is written twice.
fn option(start: &str, path: &Path) -> OsString {
    let mut bytes = start.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_doubled() {
        assert_eq!(option("path=", Path::new("/a,b")), "path=/a,,b");
    }
}
