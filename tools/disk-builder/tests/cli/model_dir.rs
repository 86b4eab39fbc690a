//! Model directories for tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::program::{WorkFolder, data};

/// The files of a small model: of all sizes around a block, of several windows, and with names
/// that sort otherwise than their paths.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    [
        ("config.json", 612),
        ("empty", 0),
        ("model.safetensors", 3_000_000),
        ("onnx/model.onnx", 4097),
        ("onnx/deep/er/x", 4096),
        ("onnx.txt", 4095),
        ("tokenizer.json", 1),
    ]
    .into_iter()
    .zip(1..)
    .map(|((name, size), seed)| (name, data(size, seed)))
    .collect()
}

/// Writes these files below a directory.
pub(crate) fn write(directory: &Path, files: &[(&str, Vec<u8>)]) {
    fs::create_dir_all(directory).unwrap();
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The small model in a directory of a place.
pub(crate) fn model(place: &WorkFolder, name: &str) -> PathBuf {
    let directory = place.path(name);
    write(&directory, &files());
    directory
}

/// What `root-hash` prints of a directory of a place.
#[track_caller]
pub(crate) fn root_hash(place: &WorkFolder, arguments: &str) -> String {
    let printed = place.run(&format!("root-hash {arguments}")).ok();
    let digits = printed.strip_suffix('\n').unwrap();
    assert_eq!(digits.len(), 64, "{printed:?}");
    digits.to_owned()
}
