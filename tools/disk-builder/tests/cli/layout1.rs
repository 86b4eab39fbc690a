//! The root hashes of layout 1, for ever.
//!
//! They were made by `tests/data/layout1.py`, which knows nothing but `docs/layout.md`. Where this
//! fails, the program is wrong, or makes another layout.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::{ffi::OsStringExt, fs::FileExt},
    path::Path,
};

use serde::Deserialize;

use crate::{model_dir::root_hash, program::WorkFolder};

#[derive(Deserialize)]
struct KnownModel {
    name: String,
    files: Vec<KnownFile>,
    root_hash: String,
}

#[derive(Deserialize)]
struct KnownFile {
    path: Option<String>,
    path_hex: Option<String>,
    bytes: u64,
    #[serde(default)]
    zeros: bool,
}

impl KnownFile {
    fn write(&self, number: u64, directory: &Path) {
        let path = match (&self.path, &self.path_hex) {
            (Some(path), None) => path.clone().into_bytes(),
            (None, Some(digits)) => hex::decode(digits).unwrap(),
            _ => panic!("one path for each file"),
        };
        let path = directory.join(OsString::from_vec(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create_new(path).unwrap();
        file.set_len(self.bytes).unwrap();
        if !self.zeros {
            let byte = |i: u64| (7 * i + i / 251 + 13 * number + 1) as u8;
            let bytes: Vec<u8> = (0..self.bytes).map(byte).collect();
            file.write_all_at(&bytes, 0).unwrap();
        }
    }
}

#[test]
fn root_hashes() {
    let models: Vec<KnownModel> =
        serde_json::from_str(include_str!("../../../../tests/data/layout1.json")).unwrap();
    assert_eq!(models.len(), 13);
    for model in models {
        let place = WorkFolder::new();
        for (file, number) in model.files.iter().zip(0..) {
            file.write(number, &place.path("model"));
        }
        assert_eq!(
            root_hash(&place, "model"),
            model.root_hash,
            "{}",
            model.name
        );
    }
}
