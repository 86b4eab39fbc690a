//! The manifest beside a disk, as `verify` reads it. It agrees with the disk just if it says what
//! `build` wrote of that disk.

use std::fs::{self, File};

use disk_builder::commands::verify::{ManifestVerdict, NotCompared, Verify};
use model_disk::manifest::{Manifest, SCHEMA, default_path};

use crate::built_disk::{BuiltDisk, workers};

/// The files of the disk: in and out of directories, empty, and with a name that is not UTF-8.
pub const FILES: [(&[u8], usize); 4] =
    [(b"a/b", 1), (b"config.json", 612), (b"z", 0), (b"\xff", 9)];

/// Takes a manifest.
pub fn run(bytes: &[u8]) {
    thread_local!(static DISK: BuiltDisk = BuiltDisk::new(&FILES));
    DISK.with(|disk| workers().install(|| compare(disk, bytes)));
}

fn compare(disk: &BuiltDisk, bytes: &[u8]) {
    let path = default_path(&disk.image());
    fs::write(&path, bytes).unwrap();
    let verify = Verify::new(disk.image(), disk.report.root_hash);
    let report = verify.run(workers()).unwrap();
    assert!(report.findings.is_clean());
    assert!(!report.to_string().is_empty() && report.to_json().is_object());
    let verdict = report.manifest.unwrap().verdict;
    let mut files = Vec::new();
    let Ok(summary) = Manifest::read(&path, |file| files.push(file)) else {
        assert!(matches!(
            verdict,
            ManifestVerdict::NotCompared(NotCompared::Unreadable(_))
        ));
        return;
    };
    let agrees = summary == disk.summary && files == disk.files;
    match &verdict {
        ManifestVerdict::Agrees => assert!(agrees),
        ManifestVerdict::Differs(mismatch) => {
            assert!(!agrees && !mismatch.to_string().is_empty());
        }
        ManifestVerdict::NotCompared(reason) => panic!("{reason}"),
    }
    let written = Manifest {
        schema: SCHEMA,
        disk: summary.clone(),
        fec: None,
        source: None,
        revision: None,
        excluded: Vec::new().into(),
        files: files.clone().into(),
        builder_version: String::new(),
    };
    written.write(&File::create(&path).unwrap()).unwrap();
    let mut again = Vec::new();
    let read = Manifest::read(&path, |file| again.push(file));
    assert_eq!((read.unwrap(), again), (summary, files));
}
