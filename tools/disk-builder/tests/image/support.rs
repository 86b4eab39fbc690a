//! A slow, plain writer of planned images, and the checkers of erofs-utils.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::Path,
    process::Command,
};

use disk_builder::model::{Excludes, Model};
use model_disk::{
    FileList, ModelFile, RelativePath,
    erofs::{ExtentSource, ImagePlan},
};
use nix::unistd::{Whence, lseek};

/// The list of these paths and sizes.
pub(crate) fn list<'a>(files: impl IntoIterator<Item = (&'a [u8], u64)>) -> FileList {
    let files = files.into_iter().map(|(path, size)| ModelFile {
        path: RelativePath::new(path).unwrap(),
        size,
    });
    FileList::new(files.collect()).unwrap()
}

/// The bytes that a test gives the file with this place in a list.
pub(crate) fn content(index: usize, size: u64) -> Vec<u8> {
    (0..size)
        .map(|i| (i * 7 + i / 251 + index as u64 * 13 + 1) as u8)
        .collect()
}

/// An image in memory, its files filled with [`content`].
pub(crate) fn assemble(plan: &ImagePlan) -> Vec<u8> {
    let mut image = Vec::new();
    for extent in plan.extents() {
        let length = extent.length as usize;
        match extent.source {
            ExtentSource::Metadata(start) => image.extend(&plan.metadata()[start..start + length]),
            ExtentSource::File(index) => image.extend(content(index, extent.length)),
            ExtentSource::Zeros => image.resize(image.len() + length, 0),
        }
    }
    image
}

/// Reads from an image in memory.
pub(crate) fn reader(image: &[u8]) -> impl FnMut(&mut [u8], u64) -> io::Result<()> {
    |buffer, offset| {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| image.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Scans a model and writes its image; holes stay holes.
pub(crate) fn build(model: &Path, image: &Path) -> (Model, ImagePlan) {
    let model = Model::scan(model, &Excludes::new([""; 0]).unwrap().into()).unwrap();
    let plan = ImagePlan::new(model.files()).unwrap();
    let out = File::create_new(image).unwrap();
    out.set_len(plan.bytes()).unwrap();
    for extent in plan.extents() {
        match extent.source {
            ExtentSource::Metadata(start) => {
                let bytes = &plan.metadata()[start..start + extent.length as usize];
                out.write_all_at(bytes, extent.offset).unwrap();
            }
            ExtentSource::File(index) => {
                let file = model.open(index).unwrap();
                // Past the last data there is an error.
                let mut end = 0;
                while let Ok(start) = lseek(file.file(), end, Whence::SeekData) {
                    end = lseek(file.file(), start, Whence::SeekHole).unwrap();
                    let mut bytes = vec![0; (end - start) as usize];
                    file.file().read_exact_at(&mut bytes, start as u64).unwrap();
                    out.write_all_at(&bytes, extent.offset + start as u64)
                        .unwrap();
                }
            }
            ExtentSource::Zeros => {}
        }
    }
    (model, plan)
}

/// What a program of erofs-utils prints. It must end well.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} cannot be run ({error}): install Debian's package erofs-utils")
    });
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{text}",
        output.status
    );
    text
}

/// `fsck.erofs` finds nothing wrong with an image.
pub(crate) fn fsck(image: &Path) {
    let text = run("fsck.erofs", &["-d3", image.to_str().unwrap()]);
    assert!(text.contains("No errors found"), "{text}");
}

/// `fsck.erofs` takes the model's files out of an image as they were put in: the
/// same paths, each with the same bytes.
pub(crate) fn extract_and_compare(image: &Path, model: &Path, plan: &Model) {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("out");
    let text = run(
        "fsck.erofs",
        &[
            "-d3",
            &format!("--extract={}", out.display()),
            image.to_str().unwrap(),
        ],
    );
    assert!(text.contains("Extracted filesystem successfully"), "{text}");
    let none = Excludes::new([""; 0]).unwrap().into();
    assert_eq!(Model::scan(&out, &none).unwrap().files(), plan.files());
    for file in plan.files().iter() {
        let path = OsStr::from_bytes(file.path.as_bytes());
        let same = fs::read(out.join(path)).unwrap() == fs::read(model.join(path)).unwrap();
        assert!(same, "{}", file.path);
    }
}
