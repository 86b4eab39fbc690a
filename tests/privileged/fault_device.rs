//! A device below a disk that fails as it is told to: a mapping over a loop device, whose table
//! is replaced while it is in use.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    disk::{Loop, TestDisk},
    machine::drop_caches,
    run::{check, run},
};

/// The device. Dropped, it answers again and is removed.
pub(crate) struct FaultDevice {
    device: Loop,
    /// The mapping.
    name: String,
    /// Another one, for the part that can hang on its own.
    part: String,
    sectors: u64,
}

impl FaultDevice {
    /// Puts a disk onto a device that is well.
    pub(crate) fn below(disk: &mut TestDisk) -> Self {
        let faulty = Self::over(&disk.image);
        disk.image = faulty.path();
        faulty
    }

    /// A device that is well, with what is in a file.
    pub(crate) fn over(image: &Path) -> Self {
        let device = Loop::new(image);
        let sectors = fs::metadata(image).unwrap().len() / 512;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("fault-device-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let part = format!("{name}-part");
        let faulty = Self {
            device,
            name,
            part,
            sectors,
        };
        for name in [&faulty.name, &faulty.part] {
            check("dmsetup", ["create", name, "--table", &faulty.linear()]);
            check("dmsetup", ["mknodes", name]);
        }
        faulty
    }

    /// Its node.
    pub(crate) fn path(&self) -> PathBuf {
        path(&self.name)
    }

    fn linear(&self) -> String {
        let (sectors, device) = (self.sectors, self.device.path().display());
        format!("0 {sectors} linear {device} 0")
    }

    /// Replaces the table. What is in the page cache by then is dropped, as far as nobody uses it.
    fn become_(&self, table: &str) {
        check(
            "dmsetup",
            ["suspend", "--nolockfs", "--noflush", &self.name],
        );
        check("dmsetup", ["load", &self.name, "--table", table]);
        check("dmsetup", ["resume", &self.name]);
        drop_caches();
    }

    /// From now on all is well.
    pub(crate) fn recover(&self) {
        self.answer();
        self.become_(&self.linear());
    }

    /// Every read fails.
    pub(crate) fn fail(&self) {
        self.become_(&format!("0 {} error", self.sectors));
    }

    /// Every read of these bytes fails.
    pub(crate) fn fail_in(&self, bytes: Range<u64>) {
        self.with_part(bytes, |start, sectors| format!("{start} {sectors} error"));
    }

    /// Reads of these bytes get no answer.
    pub(crate) fn hang_in(&self, bytes: Range<u64>) {
        check(
            "dmsetup",
            ["suspend", "--nolockfs", "--noflush", &self.part],
        );
        let part = path(&self.part);
        self.with_part(bytes, |start, sectors| {
            format!("{start} {sectors} linear {} {start}", part.display())
        });
    }

    /// Reads of these bytes get what is at the start of the device.
    pub(crate) fn lie_in(&self, bytes: Range<u64>) {
        let device = self.device.path().display().to_string();
        self.with_part(bytes, |start, sectors| {
            format!("{start} {sectors} linear {device} 0")
        });
    }

    /// No read gets an answer.
    pub(crate) fn hang(&self) {
        check(
            "dmsetup",
            ["suspend", "--nolockfs", "--noflush", &self.name],
        );
        drop_caches();
    }

    /// Reads that hang get their answer.
    pub(crate) fn answer(&self) {
        for name in [&self.part, &self.name] {
            check("dmsetup", ["resume", name]);
        }
    }

    /// A table of a target that lies between this and its device: its name, and the words after
    /// the device and its offset.
    pub(crate) fn through(&self, target: &str, words: &str) {
        let (sectors, device) = (self.sectors, self.device.path().display());
        self.become_(&format!("0 {sectors} {target} {device} 0 {words}"));
    }

    fn with_part(&self, bytes: Range<u64>, part: impl Fn(u64, u64) -> String) {
        let (start, end) = (bytes.start / 512, bytes.end / 512);
        let device = self.device.path().display();
        let mut table = String::new();
        if start > 0 {
            table += &format!("0 {start} linear {device} 0\n");
        }
        table += &part(start, end - start);
        if end < self.sectors {
            table += &format!("\n{end} {} linear {device} {end}", self.sectors - end);
        }
        self.become_(&table);
    }
}

impl Drop for FaultDevice {
    fn drop(&mut self) {
        for name in [&self.name, &self.part] {
            run("dmsetup", ["resume", name]);
            run("dmsetup", ["remove", "--retry", name]);
            let _ = fs::remove_file(path(name));
        }
    }
}

/// Lets the kernel forget hash blocks when its caches are dropped: it keeps all of a small tree
/// otherwise. Dropped, it is as before.
pub(crate) struct ForgetHashBlocks(String);

impl ForgetHashBlocks {
    const PATH: &str = "/sys/module/dm_bufio/parameters/retain_bytes";

    /// Sets it.
    pub(crate) fn new() -> Self {
        let before = fs::read_to_string(Self::PATH).unwrap();
        fs::write(Self::PATH, "0").unwrap();
        Self(before)
    }
}

impl Drop for ForgetHashBlocks {
    fn drop(&mut self) {
        fs::write(Self::PATH, self.0.trim()).unwrap();
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/dev/mapper").join(name)
}
