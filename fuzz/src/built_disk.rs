//! A disk as `disk-builder build` makes it, for the targets that bend it or what is beside it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use disk_builder::{
    commands::{build::Build, hash::HashReport},
    engine::Workers,
    model::Excludes,
};
use model_disk::{
    ModelFile,
    manifest::{DiskSummary, Manifest, default_path},
};
use tempfile::TempDir;

/// A disk and its manifest, in a folder of their own.
pub struct BuiltDisk {
    folder: TempDir,
    /// What `build` told.
    pub report: HashReport,
    /// What the manifest beside it says of it.
    pub summary: DiskSummary,
    /// The files that the manifest lists.
    pub files: Vec<ModelFile>,
}

impl BuiltDisk {
    /// The disk of a model with files of these paths and sizes.
    pub fn new(files: &[(&[u8], usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        for (path, size) in files {
            let path = model.join(OsStr::from_bytes(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // No two blocks alike.
            let bytes: Vec<u8> = (0..*size).map(|at| (at ^ (at >> 8)) as u8).collect();
            fs::write(path, bytes).unwrap();
        }
        let build = Build {
            model: model.as_path().into(),
            options: Excludes::new([""; 0]).unwrap().into(),
            output: folder.path().join("image"),
            manifest: None,
            source: Some("a \"model\"".to_owned()),
            revision: None,
            resume: false,
            fec: None,
            force: false,
        };
        let report = build.run(workers(), |_| ()).unwrap();
        fs::remove_dir_all(model).unwrap();
        let mut files = Vec::new();
        let summary = Manifest::read(&default_path(&build.output), |file| files.push(file));
        Self {
            folder,
            report,
            summary: summary.unwrap(),
            files,
        }
    }

    /// Where it is. Its manifest is beside it.
    pub fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

/// The one thread that builds and verifies. A target installs all that it does there: handing each
/// step over to it would take longer than most steps.
pub fn workers() -> &'static Workers {
    static WORKERS: OnceLock<Workers> = OnceLock::new();
    WORKERS.get_or_init(|| Workers::new(1, Arc::new(AtomicBool::new(false))).unwrap())
}
