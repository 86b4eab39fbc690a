//! A disk while it is corrected: what its mapping is, who serves it and what they tell, and one that
//! nobody corrects.

use std::fs;

use crate::{
    disk::{files, in_the_largest_file},
    machine::{Leftovers, drop_caches},
    run::{check, mounter, text},
    sidecar::Sidecar,
};

use super::{FecDevices, FecDisk, counts};

/// Whoever does not know of the area, or does not ask for it, reads the disk as any other.
pub(super) fn without_the_option() {
    for place in [
        FecDevices::OneImage,
        FecDevices::HashDevice,
        FecDevices::ThreeDevices,
    ] {
        let disk = FecDisk::with(4096, 2, place);
        let options = match place {
            FecDevices::OneImage => String::new(),
            _ => format!("--hash-device {}", text(&disk.hash.0)),
        };
        mounter(&disk.disk.mount_line(&options)).is(0, &[]);
        assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
        let status = disk.status();
        assert_eq!(status["fec"], false);
        assert_eq!(status["fec_corrected"], serde_json::Value::Null);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
        disk.disk.flip(in_the_largest_file(&disk.disk));
        disk.is_corrupt(&options);
        disk.reads_right();
    }
}

pub(super) fn by_fuse() {
    let disk = FecDisk::new();
    let options = format!("--fuse {}", disk.options);
    let mount = disk.disk.mount_line(&options);
    mounter(&mount).is(0, &["by FUSE"]);
    let status = disk.status();
    assert_eq!(
        (&status["fec"], &status["fec_corrected"]),
        (&true.into(), &0.into())
    );
    mounter(&disk.disk.line("unmount")).is(0, &[]);
    disk.row().take(2).for_each(|block| disk.spoil(block));
    let mut sidecar = Sidecar::start("disk-mounter", &disk.disk.sidecar_line(&options));
    sidecar.wait_for("ready:");
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    let status = disk.status();
    assert_eq!(
        (&status["status"], &status["fec_corrected"]),
        (&"verified".into(), &2.into())
    );
    mounter(&disk.disk.line("status")).is(0, &["2 blocks corrected"]);
    sidecar.wait_for("blocks corrected so far (FEC)");
    sidecar.terminate().is(0, &["is unmounted"]);
    // One more than there are roots.
    disk.row()
        .skip(2)
        .take(1)
        .for_each(|block| disk.spoil(block));
    mounter(&mount).is(0, &["by FUSE"]);
    let error = fs::read(disk.disk.mount_point().join("model.safetensors")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    mounter(&disk.disk.line("status")).is(3, &["corrupt", "data block"]);
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}

/// A disk that is corrected is another mapping than one that is not.
pub(super) fn run_twice() {
    for place in [FecDevices::OneImage, FecDevices::ThreeDevices] {
        let disk = FecDisk::with(4096, 2, place);
        let with = disk.disk.mount_line(&disk.options);
        mounter(&with).is(0, &["is mounted at"]);
        let mounted = Leftovers::look();
        mounter(&with).is(0, &["already"]);
        let without = with.replace("--fec --fec-roots 2", "");
        let without = match without.find(" --fec-device ") {
            Some(_) => without.replace(&format!("--fec-device {}", text(&disk.fec.0)), ""),
            None => without,
        };
        mounter(&without).is(5, &["mounted there already"]);
        mounted.check();
        // Another area, with the same bytes.
        if place == FecDevices::ThreeDevices {
            let copy = disk.disk.path("copy");
            fs::copy(&disk.fec.0, &copy).unwrap();
            let other = with.replace(text(&disk.fec.0), text(&copy));
            mounter(&other).is(5, &["mounted there already"]);
        }
        mounter(&disk.disk.line("unmount")).is(0, &[]);
        mounter(&without).is(0, &["is mounted at"]);
        mounter(&with).is(5, &["mounted there already"]);
        mounter(&disk.disk.line("unmount")).is(0, &[]);
    }
}

pub(super) fn the_sidecar_tells() {
    let disk = FecDisk::new();
    let line = disk.disk.sidecar_line(&disk.options);
    let mut sidecar = Sidecar::start("disk-mounter", &line);
    sidecar.wait_for("ready:");
    disk.spoil(disk.block);
    drop_caches();
    assert_eq!(files(&disk.disk.mount_point()), disk.disk.files);
    if counts() {
        sidecar.wait_for("blocks corrected so far (FEC)");
    }
    let ended = sidecar.terminate();
    ended.is(0, &["is unmounted"]);
    assert_eq!(ended.stderr.contains("corrected"), counts(), "{ended:?}");
}

pub(super) fn in_the_table() {
    let disk = FecDisk::with(4096, 3, FecDevices::OneImage);
    let line = disk.disk.mount_line(&disk.options);
    mounter(&format!("{line} --name verity --on-corruption restart")).is(0, &[]);
    let table = check("dmsetup", ["table", "verity"]);
    let covered = disk.data_blocks + disk.tree.blocks();
    let start = disk.fec.1 / 4096;
    let end = format!(" fec_blocks {covered} fec_start {start} fec_roots 3\n");
    assert!(table.ends_with(&end), "{table}");
    assert!(
        table.contains(" 9 restart_on_corruption use_fec_from_device "),
        "{table}"
    );
    mounter(&disk.disk.line("unmount")).is(0, &[]);
}
