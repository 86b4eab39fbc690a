//! What cannot be corrected, and what it costs to find that out.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use crate::{
    disk::{Loop, files, flip},
    fault_device::FaultDevice,
    machine::drop_caches,
    run::{mounter, text},
    sidecar::Sidecar,
};

use super::{FecDevices, FecDisk, spoil};

pub(super) fn more_than_can_be_corrected() {
    let disk = FecDisk::new();
    disk.row().take(3).for_each(|block| disk.spoil(block));
    disk.is_corrupt(&disk.options);
    let line = disk.disk.sidecar_line(&disk.options);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    let error = fs::read(disk.disk.mount_point().join("model.safetensors")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    sidecar.wait_for("is corrupt");
    sidecar
        .terminate()
        .is(3, &["model.safetensors", "is not what the root hash says"]);
}

/// Whoever writes the area, and makes all of a disk corrupt, makes its reads slow: no read of one block
/// goes further than the blocks of its row and what they are verified by.
pub(super) fn what_a_corrupt_block_costs() {
    let mut disk = FecDisk::new();
    let (fec, start) = disk.fec.clone();
    spoil(&fec, start, disk.rows() * disk.roots * disk.block_size);
    // All that is not needed to mount the disk.
    (20..disk.data_blocks).for_each(|block| disk.spoil(block));
    let level = disk.tree.levels()[0];
    for block in 1..level.blocks {
        let (hash, start) = &disk.hash;
        flip(hash, start + (level.first_block + block) * 4096 + 100);
    }
    let device = Loop::new(&disk.disk.image);
    disk.disk.image = device.path().to_owned();
    mounter(&disk.disk.mount_line(&disk.options)).is(0, &[]);
    drop_caches();
    let name = device.path().file_name().unwrap().to_str().unwrap();
    let sectors = || -> u64 {
        let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        let mut fields = stat.split_ascii_whitespace();
        fields.nth(2).unwrap().parse().unwrap()
    };
    let file = File::open(disk.disk.mount_point().join("model.safetensors")).unwrap();
    let before = sectors();
    let error = file.read_exact_at(&mut [0; 4096], 1 << 20).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
    let bytes = (sectors() - before) * 512;
    // The row, its parity, a tree, and what the kernel reads ahead of a file.
    let most = (255 + disk.tree.blocks()) * 4096 + (1 << 20);
    println!("one corrupt block: {bytes} bytes read");
    assert!(bytes < most, "{bytes} bytes, and {most} at most");
    drop(file);
    mounter(&disk.disk.line("status")).is(3, &["corrupt"]);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

/// They are corrected like corrupt ones; where they cannot be, nothing is called corrupt.
pub(super) fn blocks_that_cannot_be_read() {
    for kind in ["", "--fuse "] {
        let mut disk = FecDisk::new();
        let places: Vec<_> = disk.row().take(3).map(|block| block * 4096).collect();
        let device = FaultDevice::below(&mut disk.disk);
        let options = format!("{kind}{}", disk.options);
        mounter(&disk.disk.mount_line(&options)).is(0, &["is mounted at"]);
        let file = disk.disk.mount_point().join("model.safetensors");
        let right = fs::read(disk.disk.path("model/model.safetensors")).unwrap();
        device.fail_in(places[1]..places[1] + 4096);
        assert!(fs::read(&file).unwrap() == right);
        mounter(&disk.disk.line("status")).is(0, &["verified"]);
        device.fail();
        let error = fs::read(&file).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}");
        mounter(&disk.disk.line("status")).is(0, &["verified"]);
        device.recover();
        assert!(fs::read(&file).unwrap() == right);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
    }
}

pub(super) fn an_area_that_cannot_be_read() {
    let disk = FecDisk::with(4096, 2, FecDevices::ThreeDevices);
    let device = FaultDevice::over(&disk.fec.0);
    let options = disk
        .options
        .replace(text(&disk.fec.0), text(&device.path()));
    device.fail();
    mounter(&disk.disk.mount_line(&options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    disk.spoil(disk.block);
    disk.is_corrupt(&options);
    device.recover();
    mounter(&disk.disk.mount_line(&options)).is(0, &["is mounted at"]);
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}
