//! A disk with a real model.
//!
//! The environment names it: `MODEL_DISK`, an image file, or `TESTVM_DISKS`, the block device
//! that shows it in the virtual machine; `MODEL_ROOT_HASH`; and `MODEL_SUMS`, the model's files
//! as `sha256sum` prints them.

use std::{env, fs, path::PathBuf};

use crate::{
    Test,
    disk::{Files, files},
    run::mounter,
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[("every_file_is_as_its_source", every_file_is_as_its_source)];

/// What `make test` says of the model and the image.
#[track_caller]
pub(crate) fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `make test` sets it"))
}

fn every_file_is_as_its_source() {
    let device = variable("TESTVM_DISKS");
    let root_hash = variable("MODEL_ROOT_HASH");
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
