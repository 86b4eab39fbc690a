//! A small disk behind a loop device.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use tempfile::TempDir;

use crate::run::check;

/// A loop device of a file, with a node as udev leaves those of block devices.
pub(crate) fn loop_device(file: &str) -> String {
    let device = check(&format!("losetup --find --show {file}"));
    let device = device.trim();
    check(&format!("chown 0:6 {device}"));
    check(&format!("chmod 0660 {device}"));
    device.to_owned()
}

/// A disk with one large file, `weights`.
pub(crate) struct LoopDisk {
    folder: TempDir,
    /// The block device.
    pub(crate) device: String,
    /// Its root hash.
    pub(crate) root_hash: String,
    /// The SHA-256 of the large file.
    pub(crate) sum: String,
}

impl LoopDisk {
    /// Makes one; another seed is another disk.
    pub(crate) fn new(seed: u8) -> Self {
        Self::with_zeros(seed, 0)
    }

    /// The same with as many files of 16 MiB of zeros: they take no room, and time to be read.
    pub(crate) fn with_zeros(seed: u8, files: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        fs::create_dir(folder.path().join("model")).unwrap();
        for number in 0..files {
            let zeros = File::create(folder.path().join(format!("model/zeros-{number}")));
            zeros.unwrap().set_len(16 << 20).unwrap();
        }
        let weights: Vec<u8> = (0..250_000_u32)
            .flat_map(|number| (number ^ u32::from(seed) << 24).to_le_bytes())
            .collect();
        fs::write(folder.path().join("model/weights"), weights).unwrap();
        let printed = check(&format!(
            "disk-builder build {path}/model --output {path}/disk"
        ));
        let root_hash = printed
            .lines()
            .find_map(|line| line.strip_prefix("Root hash:"));
        let sum = check(&format!("sha256sum {path}/model/weights"));
        Self {
            root_hash: root_hash.unwrap().trim().to_owned(),
            sum: sum.split(' ').next().unwrap().to_owned(),
            device: loop_device(&format!("{path}/disk")),
            folder,
        }
    }

    /// Changes a bit in the middle of the large file, or changes it back, and lets the next reader see it.
    pub(crate) fn flip(&self) {
        let path = self.image();
        let place = fs::metadata(&path).unwrap().len() / 2;
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], place).unwrap();
        file.sync_all().unwrap();
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    }

    /// The file behind it.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        check(&format!("losetup --detach {}", self.device));
    }
}
