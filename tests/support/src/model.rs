//! Small models, as the filesystem of a disk.

use model_disk::{
    FileList, ModelFile, RelativePath,
    erofs::{ExtentSource, ImagePlan},
};

/// The EROFS image of files with these paths and bytes, as a disk of layout 1 has it.
pub fn erofs(files: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let mut files: Vec<_> = files
        .iter()
        .map(|(path, bytes)| (RelativePath::new(path.as_ref()).unwrap(), bytes.as_ref()))
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    let list = files.iter().map(|(path, bytes)| ModelFile {
        path: path.clone(),
        size: bytes.len() as u64,
    });
    let plan = ImagePlan::new(&FileList::new(list.collect()).unwrap()).unwrap();
    let mut image = Vec::new();
    for extent in plan.extents() {
        let length = extent.length as usize;
        match extent.source {
            ExtentSource::Metadata(start) => image.extend(&plan.metadata()[start..start + length]),
            ExtentSource::File(index) => image.extend(files[index].1),
            ExtentSource::Zeros => image.resize(image.len() + length, 0),
        }
    }
    image
}

/// Bytes of which no two blocks are alike; `seed` makes one file differ from another.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
