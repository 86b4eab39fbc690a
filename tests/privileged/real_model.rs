//! A disk with a real model.
//!
//! The environment names it: `MODEL_DISK`, an image file, or `TESTVM_DISKS`, the block device
//! that shows it in the virtual machine; `MODEL_ROOT_HASH`; and `MODEL_SUMS`, the model's files
//! as `sha256sum` prints them.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    Test,
    disk::{Files, files},
    run::mounter,
    sidecar::{Sidecar, until},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("every_file_is_as_its_source", every_file_is_as_its_source),
    (
        "a_disk_that_comes_back_under_another_number",
        a_disk_that_comes_back_under_another_number,
    ),
];

/// What `make test` says of the model and the image.
#[track_caller]
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `make test` sets it"))
}

/// The files of the model, by the model itself.
fn expected() -> Files {
    let sums = fs::read_to_string(variable("MODEL_SUMS")).unwrap();
    let expected: Files = sums
        .lines()
        .map(|line| {
            let (sum, path) = line.split_once("  ").unwrap();
            (PathBuf::from(path.trim_start_matches("./")), sum.to_owned())
        })
        .collect();
    assert!(
        expected
            .keys()
            .any(|path| path.extension().is_some_and(|name| name == "safetensors"))
    );
    expected
}

fn every_file_is_as_its_source() {
    let device = variable("TESTVM_DISKS");
    let root_hash = variable("MODEL_ROOT_HASH");
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let mount_point = folder.path().join("model");
    mounter(&format!(
        "mount --root-hash {root_hash} {device} {}",
        mount_point.display()
    ))
    .is(0, &["geometry bound by geometry salt"]);
    assert_eq!(files(&mount_point), expected);
    mounter(&format!("status {}", mount_point.display())).is(0, &["verified"]);
    mounter(&format!("unmount {}", mount_point.display())).is(0, &[]);
}

/// The names of the virtual machine's disks.
fn disks() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/block").unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("vd")).collect()
}

/// Unplugs the one disk there is.
fn unplug() {
    let [disk] = &*disks().into_iter().collect::<Vec<_>>() else {
        panic!("{:?}", disks());
    };
    let device = fs::canonicalize(format!("/sys/block/{disk}/device")).unwrap();
    fs::write(device.parent().unwrap().join("remove"), "1").unwrap();
    until("it is gone", || disks().is_empty());
}

/// Plugs it in again: its device.
fn plug_in() -> String {
    fs::write("/sys/bus/pci/rescan", "1").unwrap();
    let node = || disks().first().map(|name| format!("/dev/{name}"));
    until("its node is there", || {
        node().is_some_and(|node| fs::metadata(node).is_ok())
    });
    node().unwrap()
}

/// As runtimes of virtual machines do between two containers of a pod. The old mount can give nothing
/// any more, and takes the place of the new one.
fn a_disk_that_comes_back_under_another_number() {
    let root_hash = variable("MODEL_ROOT_HASH");
    let own = variable("TESTVM_DISKS");
    let expected = expected();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let privatemode = PathBuf::from("/mnt/modelweights-real-0");
    let mut device = own.clone();
    for (form, mount_point) in [("mount", &model), ("sidecar", &model), ("", &privatemode)] {
        let link = Path::new("/dev/modelweights-real-0");
        let line = |device: &str, form: &str| match form {
            "" => {
                symlink(device, link).unwrap();
                format!("real 0 {root_hash}")
            }
            _ => format!(
                "{form} --wait 0 --root-hash {root_hash} {device} {}",
                mount_point.display()
            ),
        };
        // As a run that was killed leaves it.
        mounter(&line(&device, "mount")).is(0, &[]);
        unplug();
        let status =
            |options: &str| mounter(&format!("status {options} {}", mount_point.display()));
        status("").is(4, &["is gone"]);
        status(&format!("--root-hash {root_hash}")).is(4, &["is gone"]);
        mounter(&line(&device, "mount")).is(4, &["no such device"]);
        let other = plug_in();
        assert_ne!(other, device);
        let said = "has lost its device, and is mounted anew";
        match form {
            "mount" => {
                mounter(&line(&other, "mount")).is(0, &[said]);
                assert_eq!(files(mount_point), expected);
                status("").is(0, &["verified"]);
                mounter(&format!("unmount {}", mount_point.display())).is(0, &[]);
            }
            _ => {
                let mut sidecar = Sidecar::start("disk-mounter", &line(&other, form));
                sidecar.wait_for(said);
                sidecar.wait_for("ready:");
                assert_eq!(files(mount_point), expected);
                sidecar.terminate().is(0, &["is unmounted"]);
            }
        }
        // Its old number is free again.
        unplug();
        device = plug_in();
        assert_eq!(device, own);
        let _ = fs::remove_file(link);
    }
    fs::remove_dir(privatemode).unwrap();
}
