//! Small disks with a made-up model.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use dm_verity::{HashArea, SUPERBLOCK_SIZE, Superblock, TreeLayout};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::run::check;

/// The SHA-256 of each file, by its path below a folder.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// A disk image of a model, in a folder of its own.
pub(crate) struct TestDisk {
    folder: TempDir,
    /// The image.
    pub(crate) image: PathBuf,
    /// Where the filesystem ends, in bytes.
    pub(crate) data_bytes: u64,
    /// Its root hash.
    pub(crate) root_hash: String,
    /// What is in it.
    pub(crate) files: Files,
}

impl TestDisk {
    /// A disk as `disk-builder` makes it.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A disk whose tree was made by `disk-builder hash` with these options.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::filesystem().hashed(options)
    }

    fn hashed(mut self, options: &[&str]) -> Self {
        let image = self.image.to_str().unwrap();
        let printed = check("disk-builder", [&["hash", image], options].concat());
        self.root_hash = root_hash(&printed);
        self
    }

    /// A disk of a model whose files are changed before.
    pub(crate) fn of(change: impl Fn(&Path)) -> Self {
        Self::filesystem_of(change).hashed(&[])
    }

    /// A disk with a filesystem and no tree yet.
    pub(crate) fn filesystem() -> Self {
        Self::filesystem_of(|_| ())
    }

    fn filesystem_of(change: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        make_model(&model);
        change(&model);
        let image = folder.path().join("image");
        check(
            "mkfs.erofs",
            [
                "--quiet",
                "-T0",
                image.to_str().unwrap(),
                model.to_str().unwrap(),
            ],
        );
        let files = files(&model);
        let data_bytes = fs::metadata(&image).unwrap().len();
        Self {
            folder,
            image,
            data_bytes,
            root_hash: String::new(),
            files,
        }
    }

    /// A path in the disk's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The usual mount point.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.path("mnt")
    }

    /// The words of `disk-mounter mount` for this disk.
    pub(crate) fn mount_line(&self, options: &str) -> String {
        let (image, mount_point) = (self.image.display(), self.mount_point());
        format!(
            "mount --root-hash {} {options} {image} {}",
            self.root_hash,
            mount_point.display()
        )
    }

    /// The same of a sidecar.
    pub(crate) fn sidecar_line(&self, options: &str) -> String {
        self.mount_line(options).replacen("mount", "sidecar", 1)
    }

    /// The words of another command on the usual mount point.
    pub(crate) fn line(&self, command: &str) -> String {
        format!("{command} {}", self.mount_point().display())
    }

    /// Its superblock.
    pub(crate) fn superblock(&self) -> Superblock {
        let mut raw = [0; SUPERBLOCK_SIZE];
        File::open(&self.image)
            .unwrap()
            .read_exact_at(&mut raw, self.data_bytes)
            .unwrap();
        Superblock::parse(&raw).unwrap()
    }

    /// Puts a superblock onto it.
    pub(crate) fn set_superblock(&self, superblock: &Superblock) {
        write(&self.image, self.data_bytes, &superblock.to_bytes());
    }

    /// Where each level of its tree starts and ends, in bytes, level 0 first.
    pub(crate) fn levels(&self) -> Vec<(u64, u64)> {
        let params = self.superblock().params;
        let area = HashArea::new(&params, self.data_bytes, true).unwrap();
        let layout = TreeLayout::new(&params);
        let place = |block| area.block_offset(block);
        let levels = layout.levels().iter();
        levels
            .map(|level| {
                (
                    place(level.first_block),
                    place(level.first_block + level.blocks),
                )
            })
            .collect()
    }

    /// Flips a bit of the image.
    pub(crate) fn flip(&self, offset: u64) {
        flip(&self.image, offset);
    }
}

/// A folder with files of all the shapes that matter: empty, small, of whole blocks, large.
fn make_model(folder: &Path) {
    fs::create_dir_all(folder.join("1_Pooling/deep")).unwrap();
    for (name, size) in [
        ("README.md", 10_000),
        ("config.json", 612),
        ("1_Pooling/config.json", 190),
        ("1_Pooling/deep/blocks", 8192),
        ("empty", 0),
        ("model.safetensors", 3 << 20),
        ("z-last", 4097),
    ] {
        fs::write(folder.join(name), noise(name, size)).unwrap();
    }
}

/// Bytes that look random, and depend on the seed alone.
pub(crate) fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A byte in the middle of the largest file: in the first block that is not like any other.
pub(crate) fn in_the_largest_file(disk: &TestDisk) -> u64 {
    let file = disk.path("model/model.safetensors");
    let mut block = [0; 4096];
    File::open(file)
        .unwrap()
        .read_exact_at(&mut block, 1 << 20)
        .unwrap();
    let image = fs::read(&disk.image).unwrap();
    let at = image.chunks(4096).position(|chunk| chunk == block);
    at.expect("files start at block boundaries") as u64 * 4096 + 1000
}

/// A byte of a level-0 hash block over the largest file, which nothing reads before that file.
pub(crate) fn on_the_way_to_the_last_block(disk: &TestDisk) -> u64 {
    let (start, _) = disk.levels()[0];
    start + in_the_largest_file(disk) / 4096 / 128 * 4096
}

/// Reads all files below a folder.
pub(crate) fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), sha256(&path));
            }
        }
    }
    files
}

fn sha256(path: &Path) -> String {
    let mut file = File::open(path).unwrap();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hex::encode(hasher.finalize()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// The root hash in what `disk-builder` or `veritysetup` prints.
pub(crate) fn root_hash(printed: &str) -> String {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    line.unwrap_or_else(|| panic!("no root hash in {printed}"))
        .trim()
        .to_owned()
}

/// What is in a folder, but for what belongs to its filesystem, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lost+found")
        .collect();
    names.sort();
    names
}

/// Writes into the middle of a file.
pub(crate) fn write(path: &Path, offset: u64, bytes: &[u8]) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(bytes, offset)
        .unwrap();
}

/// Flips a bit of a file.
pub(crate) fn flip(path: &Path, offset: u64) {
    let mut byte = [0];
    File::open(path)
        .unwrap()
        .read_exact_at(&mut byte, offset)
        .unwrap();
    write(path, offset, &[byte[0] ^ 0x10]);
}

/// A loop device that shows a file, as another program would make it.
pub(crate) struct Loop(PathBuf);

impl Loop {
    /// Attaches a file.
    pub(crate) fn new(file: &Path) -> Self {
        Self::with(file, &[])
    }

    /// Attaches a file with these options of `losetup`.
    pub(crate) fn with(file: &Path, options: &[&str]) -> Self {
        let arguments = ["--find", "--show", file.to_str().unwrap()];
        let printed = check("losetup", [&arguments, options].concat());
        Self(printed.trim().into())
    }

    /// The block device.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        check("losetup", ["--detach", self.0.to_str().unwrap()]);
    }
}

/// Kept for the life of a test that needs a block device under a given name.
pub(crate) struct Named {
    _device: Loop,
    link: PathBuf,
}

impl Named {
    /// Links a name in `/dev` to a block device that shows a file.
    pub(crate) fn new(file: &Path, name: &str) -> Self {
        let device = Loop::new(file);
        let link = Path::new("/dev").join(name);
        std::os::unix::fs::symlink(device.path(), &link).unwrap();
        Self {
            _device: device,
            link,
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        fs::remove_file(&self.link).unwrap();
    }
}
