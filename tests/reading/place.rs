//! A folder with disks, and the program run in it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use model_disk::{ExitCode, erofs::walk};
use tempfile::TempDir;
use test_support::{
    assert_causes_stand_once,
    image::{DiskImage, SaltKind},
    model::{bytes, erofs},
};

/// The files of a model.
pub(crate) type ModelFiles = BTreeMap<String, Vec<u8>>;

/// A model with files of all kinds of sizes and names, and holes.
pub(crate) fn model() -> ModelFiles {
    let mut sparse = vec![0; 2_500_000];
    sparse[1_000_000..1_000_010].fill(1);
    [
        ("config.json", b"{}\n".to_vec()),
        ("empty", Vec::new()),
        ("shards/1.safetensors", bytes(3_000_000, 1)),
        ("shards/2.safetensors", bytes(4096, 2)),
        ("shards/deep/er/3", bytes(100, 3)),
        ("sparse", sparse),
        ("tokenizer/a\u{1b}[31m\n", bytes(10, 4)),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .into()
}

/// The disk of some files.
pub(crate) fn disk_of(files: &ModelFiles) -> DiskImage {
    let files: Vec<_> = files.iter().collect();
    DiskImage::new(&erofs(&files), (4096, 4096), SaltKind::Geometry)
}

/// A disk in a folder, as `disk.img`.
pub(crate) struct DiskFolder {
    folder: TempDir,
    pub(crate) image: DiskImage,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl DiskFolder {
    pub(crate) fn new(image: DiskImage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("disk.img"), &image.bytes).unwrap();
        Self { folder, image }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, to be run here: with a command, the disk and its root hash.
    pub(crate) fn command(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_disk-mounter"));
        program
            .args([command, "disk.img", "--root-hash"])
            .arg(self.image.root_hash.to_string())
            .current_dir(self.folder.path());
        program
    }

    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Read {
        Read::of(self.command(command).args(arguments).output().unwrap())
    }

    /// Changes a byte of the disk.
    pub(crate) fn flip(&self, offset: usize) {
        let path = self.path("disk.img");
        let file = fs::File::options().write(true).open(path).unwrap();
        let byte = self.image.bytes[offset] ^ 1;
        file.write_all_at(&[byte], offset as u64).unwrap();
    }

    /// Where a file of a disk of layout 1 starts on it.
    pub(crate) fn start_of(&self, path: &str) -> usize {
        let image = &self.image.bytes;
        let read = |buffer: &mut [u8], offset: u64| {
            buffer.copy_from_slice(&image[offset as usize..][..buffer.len()]);
            Ok(())
        };
        let mut start = None;
        walk(read, |entry| {
            if entry.path == path.as_bytes() {
                start = entry.node.flat_data().map(|[blocks, _]| blocks.start);
            }
        })
        .unwrap();
        start.unwrap() as usize
    }
}

impl Read {
    #[track_caller]
    pub(crate) fn of(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_causes_stand_once(&stderr);
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr,
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""));
        self.stdout
    }

    #[track_caller]
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.ok()).unwrap()
    }

    /// It ended with this code, and said these words.
    #[track_caller]
    pub(crate) fn refused(self, code: ExitCode, words: &[&str]) {
        assert_eq!(self.code, Some(code as i32), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word}: {}", self.stderr);
        }
        assert!(!self.stderr.contains('\u{1b}'));
    }
}

/// An image of `mkfs.erofs`, made of a folder with these options.
pub(crate) fn mkfs(folder: &Path, options: &[&str]) -> Vec<u8> {
    let image = tempfile::NamedTempFile::new().unwrap();
    let made = Command::new("mkfs.erofs")
        .args(options)
        .arg("--quiet")
        .args([image.path(), folder])
        .output()
        .expect("mkfs.erofs is needed: install the package erofs-utils");
    assert!(made.status.success(), "{made:?}");
    fs::read(image.path()).unwrap()
}

/// What an unfinished `extract` leaves, besides files of the disk.
pub(crate) const LEFT: [&str; 2] = [".disk-mounter-extract", ".disk-mounter-extract-parts"];

/// The files below a folder, but for those of an unfinished `extract`, with their bytes. Folders and
/// files have the permissions that they should.
pub(crate) fn files_in(folder: &Path) -> ModelFiles {
    let mut files = ModelFiles::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if LEFT.contains(&&*name) {
            continue;
        }
        let mode = entry.metadata().unwrap().mode();
        if entry.file_type().unwrap().is_dir() {
            assert_eq!(mode, 0o040_755, "{name}");
            for (path, bytes) in files_in(&entry.path()) {
                files.insert(format!("{name}/{path}"), bytes);
            }
        } else if entry.file_type().unwrap().is_file() {
            assert_eq!(mode, 0o100_644, "{name}");
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// Whether a folder says that it is not whole.
pub(crate) fn is_marked(folder: &Path) -> bool {
    LEFT.iter().any(|name| folder.join(name).exists())
}
