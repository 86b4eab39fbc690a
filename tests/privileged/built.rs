//! Disks that `disk-builder build` makes, of models of every shape, mounted and read.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    Test,
    disk::{Loop, files, root_hash},
    run::{check, mounter, run},
};

/// The tests of this group.
pub(crate) const TESTS: &[Test] = &[
    ("sizes_around_the_block", sizes_around_the_block),
    (
        "ten_thousand_files_in_a_directory",
        ten_thousand_files_in_a_directory,
    ),
    (
        "long_names_and_names_not_utf8",
        long_names_and_names_not_utf8,
    ),
    ("thirty_levels", thirty_levels),
    ("a_sparse_file_of_five_gib", a_sparse_file_of_five_gib),
    ("onto_a_block_device", onto_a_block_device),
    ("a_device_that_is_too_small", a_device_that_is_too_small),
    (
        "a_full_disk_is_found_out_at_once",
        a_full_disk_is_found_out_at_once,
    ),
];

/// A folder with a model, and what becomes of it.
struct BuiltModel(TempDir);

impl BuiltModel {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("model")).unwrap();
        Self(folder)
    }

    fn of(files: &[(&[u8], Vec<u8>)]) -> Self {
        let model = Self::new();
        for (path, bytes) in files {
            let path = model.path("model").join(OsStr::from_bytes(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        model
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Builds it, and gives the root hash, which is that of the model alone.
    #[track_caller]
    fn build(&self, output: &Path) -> String {
        let model = self.path("model");
        let (model, output) = (model.to_str().unwrap(), output.to_str().unwrap());
        let root = root_hash(&check("disk-builder", ["build", model, "--output", output]));
        let alone = check("disk-builder", ["root-hash", model]);
        assert_eq!(alone, format!("{root}\n"));
        root
    }

    /// Mounts a disk of it, calls `read` with the mount point, and unmounts it.
    #[track_caller]
    fn mounted(&self, disk: &Path, root: &str, read: impl FnOnce(&Path)) {
        let mount_point = self.path("mnt");
        let (disk, at) = (disk.display(), mount_point.display());
        mounter(&format!("mount --root-hash {root} {disk} {at}")).is(0, &["geometry salt"]);
        read(&mount_point);
        mounter(&format!("status {at}")).is(0, &["verified"]);
        mounter(&format!("unmount {at}")).is(0, &[]);
    }

    /// All files of a disk are as in the model.
    #[track_caller]
    fn reads_as_its_source(&self) {
        let image = self.path("image");
        let root = self.build(&image);
        self.mounted(&image, &root, |mount_point| {
            assert_eq!(files(mount_point), files(&self.path("model")));
        });
    }
}

/// Bytes that differ from file to file and from block to block.
fn content(seed: u8, size: usize) -> Vec<u8> {
    let byte = |i: usize| (i.wrapping_mul(7) + i / 251) as u8 ^ seed;
    (0..size).map(byte).collect()
}

fn sizes_around_the_block() {
    for (seed, size) in [0, 1, 4095, 4096, 4097].into_iter().enumerate() {
        let file = (&b"model.safetensors"[..], content(seed as u8, size));
        BuiltModel::of(&[file]).reads_as_its_source();
    }
    BuiltModel::of(&[
        (b"0", content(0, 0)),
        (b"1", content(1, 1)),
        (b"a/2", content(2, 4095)),
        (b"a/3", content(3, 4096)),
        (b"a/b/4", content(4, 4097)),
        (b"z", content(5, 3_000_000)),
    ])
    .reads_as_its_source();
}

fn ten_thousand_files_in_a_directory() {
    let model = BuiltModel::new();
    for number in 0..10_000 {
        let path = model.path("model").join(format!("{number}.bin"));
        fs::write(path, number.to_string()).unwrap();
    }
    model.reads_as_its_source();
}

fn long_names_and_names_not_utf8() {
    let long = |first: u8| {
        let mut name = vec![b'n'; 255];
        name[0] = first;
        name
    };
    let deep = [long(b'd'), long(b'e')].join(&b'/');
    let mut names: Vec<Vec<u8>> = (b'A'..=b'Z').map(long).collect();
    names.extend([
        deep,
        b"\xff".to_vec(),
        b"\xfe/\n".to_vec(),
        "ä".as_bytes().to_vec(),
    ]);
    let files: Vec<(&[u8], Vec<u8>)> = names
        .iter()
        .zip(0..)
        .map(|(name, seed)| (&name[..], content(seed, 100)))
        .collect();
    BuiltModel::of(&files).reads_as_its_source();
}

fn thirty_levels() {
    let levels: Vec<String> = (0..30).map(|level| format!("level-{level}")).collect();
    let path = levels.join("/") + "/file";
    BuiltModel::of(&[(path.as_bytes(), content(1, 5000)), (b"z", content(2, 1))])
        .reads_as_its_source();
}

fn a_sparse_file_of_five_gib() {
    let size = (5 << 30) + 5;
    let places = [0, (1 << 30) - 2048, (4 << 30) - 10, size - 4096];
    let model = BuiltModel::of(&[(b"a", content(1, 10)), (b"z", content(2, 10))]);
    let sparse = File::create_new(model.path("model/sparse")).unwrap();
    sparse.set_len(size).unwrap();
    for (place, seed) in places.into_iter().zip(3..) {
        sparse.write_all_at(&content(seed, 4096), place).unwrap();
    }
    let image = model.path("image");
    let root = model.build(&image);
    let metadata = fs::metadata(&image).unwrap();
    assert!(metadata.len() > size && metadata.blocks() * 512 < 100 << 20);
    model.mounted(&image, &root, |mount_point| {
        let source = File::open(model.path("model/sparse")).unwrap();
        let file = File::open(mount_point.join("sparse")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), size);
        // Around each place there is some of the hole beside it.
        for place in places.into_iter().chain([2 << 30, 3 << 30]) {
            let start = place.saturating_sub(8192);
            let mut expected = vec![0; (size.min(place + 16384) - start) as usize];
            let mut found = expected.clone();
            source.read_exact_at(&mut expected, start).unwrap();
            file.read_exact_at(&mut found, start).unwrap();
            assert!(found == expected, "at {place}");
        }
        for name in ["a", "z"] {
            let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
            assert_eq!(read(mount_point), read(&model.path("model")));
        }
    });
}

/// A device with something else on it, an old disk among it.
fn onto_a_block_device() {
    let model = BuiltModel::of(&[(b"a", content(1, 5000)), (b"b", content(2, 40_000))]);
    let sparse = File::create(model.path("model/sparse")).unwrap();
    sparse.set_len(2 << 20).unwrap();
    let image = model.path("image");
    let root = model.build(&image);

    let backing = model.path("backing");
    fs::write(&backing, content(9, 8 << 20)).unwrap();
    let device = Loop::new(&backing);
    assert_eq!(model.build(device.path()), root);
    model.mounted(device.path(), &root, |mount_point| {
        assert_eq!(files(mount_point), files(&model.path("model")));
    });
    // It is the image to the byte, and what comes after it is left as it was.
    let image = fs::read(image).unwrap();
    let on_device = fs::read(device.path()).unwrap();
    assert!(on_device[..image.len()] == image);
    assert!(on_device[image.len()..] == content(9, 8 << 20)[image.len()..]);
    assert!(!Path::new(&format!("{}.json", device.path().display())).exists());
    // Written again, over itself.
    let words = [
        Path::new("build"),
        &model.path("model"),
        Path::new("--output"),
        device.path(),
    ];
    run("disk-builder", words).is(
        5,
        &["has an EROFS filesystem on it", "--force overwrites it"],
    );
    let words = words.into_iter().chain([Path::new("--force")]);
    assert_eq!(root_hash(&check("disk-builder", words)), root);
}

fn a_device_that_is_too_small() {
    let model = BuiltModel::of(&[(b"a", content(1, 2 << 20))]);
    let backing = model.path("backing");
    fs::write(&backing, content(9, 1 << 20)).unwrap();
    let device = Loop::new(&backing);
    let (source, output) = (model.path("model"), device.path());
    let arguments = ["build", source.to_str().unwrap(), "--output"];
    let arguments = [&arguments[..], &[output.to_str().unwrap()]].concat();
    run("disk-builder", arguments).is(1, &["the disk takes ", "has only 1048576"]);
    assert!(fs::read(device.path()).unwrap() == content(9, 1 << 20));
}

fn a_full_disk_is_found_out_at_once() {
    let model = BuiltModel::of(&[(b"a", content(1, 6 << 20))]);
    let small = model.path("small");
    fs::create_dir(&small).unwrap();
    let at = small.to_str().unwrap();
    check("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", at]);
    let (source, output) = (model.path("model"), small.join("disk"));
    let (source, output) = (source.to_str().unwrap(), output.to_str().unwrap());
    run("disk-builder", ["build", source, "--output", output])
        .is(1, &["cannot reserve space for", "No space left on device"]);
    let left = fs::read_dir(&small).unwrap().count();
    check("umount", [at]);
    assert_eq!(left, 0);
}
