//! The view of images: those of this project, those of `mkfs.erofs`, and those that were damaged on
//! purpose.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::{FileExt, symlink},
    path::Path,
};

use model_disk::{
    ReadAt,
    erofs::{ErofsError, ErofsKind, ErofsNode, ErofsView, ImagePlan},
};
use proptest::prelude::*;

use super::{
    properties::files,
    support::{assemble, content, list, run},
};

type ImageView<'a> = ErofsView<&'a [u8]>;

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
}

fn find(view: &ImageView<'_>, path: &str) -> ErofsNode {
    view.find(names(path.as_bytes())).unwrap().unwrap()
}

fn read_all(view: &ImageView<'_>, node: &ErofsNode) -> Result<Vec<u8>, ErofsError> {
    let mut bytes = vec![0xee; node.size() as usize + 5];
    let read = view.read(node, &mut bytes, 0)?;
    assert_eq!(read as u64, node.size());
    bytes.truncate(read);
    Ok(bytes)
}

/// All paths, by the lists of directories.
fn listed(view: &ImageView<'_>, directory: &ErofsNode, path: &str) -> Vec<String> {
    let mut entries = view.entries(directory).unwrap();
    let mut found = Vec::new();
    loop {
        // Whoever comes back with the position goes on there.
        let position = entries.position();
        let mut again = view.entries_from(directory, position).unwrap();
        let Some(entry) = entries.next_entry().unwrap() else {
            assert_eq!(again.next_entry().unwrap(), None);
            break;
        };
        assert_eq!(again.next_entry().unwrap(), Some(entry));
        assert_eq!(position == 0, found.is_empty());
        let path = format!("{path}/{}", entry.name.escape_ascii());
        let node = view.node(entry.nid).unwrap();
        assert_eq!(
            view.lookup(directory, entry.name).unwrap(),
            Some(node.clone())
        );
        found.push(path.clone());
        if node.is_directory() {
            found.extend(listed(view, &node, &path));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn names_lead_to_bytes(files in files(), from in 0.0..1.0f64, to in 0.0..1.2f64) {
        let image = assemble(&ImagePlan::new(&files).unwrap());
        let view = ErofsView::open(&image[..]).unwrap();
        for (index, file) in files.iter().enumerate() {
            let node = view.find(file.path.names()).unwrap().unwrap();
            prop_assert_eq!((node.kind(), node.mode()), (ErofsKind::File, 0o100_644));
            let bytes = content(index, file.size);
            prop_assert!(read_all(&view, &node).unwrap() == bytes);
            let size = file.size as f64;
            let range = (from * size) as u64..(to * size) as u64;
            let mut part = vec![0; range.end.saturating_sub(range.start) as usize];
            let read = view.read(&node, &mut part, range.start).unwrap();
            prop_assert_eq!(&part[..read], &bytes[range.start as usize..][..read]);
            let wanted = range.end.min(file.size).saturating_sub(range.start);
            prop_assert_eq!(read as u64, wanted);
            // Nothing is below a file, and its name with more or less is another.
            let below = file.path.names().chain([&b"x"[..]]);
            prop_assert_eq!(view.find(below).unwrap(), None);
        }
        let root = view.root().unwrap();
        let mut walk = view.walk(root.clone());
        let mut walked = 0;
        while let Some(entry) = walk.next_entry().unwrap() {
            let found = view.find(names(entry.path)).unwrap().unwrap();
            prop_assert_eq!(&found, entry.node);
            walked += 1;
        }
        prop_assert_eq!(listed(&view, &root, "").len() + 1, walked);
        prop_assert_eq!(view.find([&b"no such name"[..]]).unwrap(), None);
    }

    /// Whatever is in the metadata, all that is asked gets an answer of bounded size.
    #[test]
    fn damage_is_survived(
        files in files(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let plan = ImagePlan::new(&files).unwrap();
        let mut image = assemble(&plan);
        let metadata = plan.metadata().len();
        for (place, byte) in damage {
            image[1024 + place.index(metadata - 1024)] = byte;
        }
        let Ok(view) = ErofsView::open(&image[..]) else {
            return Ok(());
        };
        let mut buffer = vec![0; 10_000];
        let root = view.root();
        // Nor does a position that nobody has told: it comes from whoever reads a directory.
        for position in [1, 13, 4095, 4096, (1 << 63) + 5, u64::MAX - 4095, u64::MAX] {
            if let Ok(mut entries) = root.as_ref().map_err(drop).and_then(|root| {
                view.entries_from(root, position).map_err(drop)
            }) {
                // Whoever asks again from where an entry ended gets on.
                let mut last = entries.position();
                while let Ok(Some(_)) = entries.next_entry() {
                    prop_assert!(entries.position() > last);
                    last = entries.position();
                }
            }
        }
        for file in files.iter() {
            if let Ok(Some(node)) = view.find(file.path.names()) {
                for offset in [0, 4096, node.size().saturating_sub(1), u64::MAX] {
                    if let Ok(read) = view.read(&node, &mut buffer, offset) {
                        let left = node.size().saturating_sub(offset);
                        prop_assert!(read as u64 <= left);
                    }
                }
                let _ = view.link_target(&node);
            }
        }
    }
}

/// A directory of many blocks: each name is found, and none beside it.
#[test]
fn a_large_directory() {
    let paths: Vec<String> = (0..5000).map(|i| format!("d/file-{i:05}")).collect();
    let files = list(paths.iter().map(|path| (path.as_bytes(), 0)));
    let image = assemble(&ImagePlan::new(&files).unwrap());
    let counted = CountedReads(&image, Default::default());
    let view = ErofsView::open(&counted).unwrap();
    let directory = view.find([&b"d"[..]]).unwrap().unwrap();
    for path in &paths {
        let name = path.strip_prefix("d/").unwrap();
        let before = counted.1.get();
        assert!(view.lookup(&directory, name.as_bytes()).unwrap().is_some());
        let reads = counted.1.get() - before;
        assert!(reads < 12, "{reads} reads");
        for other in [format!("{name}0"), name[..9].to_owned()] {
            assert_eq!(view.lookup(&directory, other.as_bytes()).unwrap(), None);
        }
    }
    for other in ["", "!", "zzz", "file", "file-99999"] {
        assert_eq!(view.lookup(&directory, other.as_bytes()).unwrap(), None);
    }
}

/// Counts reads.
struct CountedReads<'a>(&'a [u8], std::cell::Cell<u32>);

impl ReadAt for CountedReads<'_> {
    type Error = io::Error;

    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        self.0.read_exact_at(buffer, offset)
    }
}

/// A model with what `mkfs.erofs` treats in its different ways: its files by their paths.
fn foreign_model(model: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir_all(model.join("deep/er")).unwrap();
    symlink("deep/er", model.join("link")).unwrap();
    let mut files = BTreeMap::new();
    for (index, size) in [0, 1, 100, 4095, 4096, 5000, 20_000, 300_001]
        .iter()
        .enumerate()
    {
        files.insert(format!("deep/er/{size}"), content(index, *size));
    }
    files.insert("text".to_owned(), b"all the same ".repeat(20_000));
    for (path, bytes) in &files {
        fs::write(model.join(path), bytes).unwrap();
    }
    // Zeros, bytes, zeros, and the end within a block.
    let mut sparse = vec![0; 700_123];
    sparse[300_000..300_100].fill(7);
    let file = fs::File::create(model.join("sparse")).unwrap();
    file.set_len(sparse.len() as u64).unwrap();
    file.write_all_at(&[7; 100], 300_000).unwrap();
    files.insert("sparse".to_owned(), sparse);
    files
}

#[test]
fn images_of_mkfs() {
    let temporary = tempfile::tempdir().unwrap();
    let (model, path) = (
        temporary.path().join("model"),
        temporary.path().join("image"),
    );
    let files = foreign_model(&model);
    for options in [
        &[][..],
        &["-Enoinline_data"],
        &["-Eforce-inode-extended"],
        &["-Eforce-inode-compact"],
        &["--chunksize=4096"],
        &["--chunksize=65536"],
        &["--chunksize=4096", "-Eforce-chunk-indexes"],
        &["--chunksize=1048576", "-Eforce-chunk-indexes"],
    ] {
        let paths = [path.to_str().unwrap(), model.to_str().unwrap()];
        run("mkfs.erofs", &[options, &paths].concat());
        let image = fs::read(&path).unwrap();
        let view = ErofsView::open(&image[..]).unwrap();
        for (path, bytes) in &files {
            let node = find(&view, path);
            assert!(
                read_all(&view, &node).unwrap() == *bytes,
                "{options:?} {path}"
            );
            // Also in parts.
            for start in (0..bytes.len()).step_by(61_007) {
                let mut part = vec![0; 100_000];
                let read = view.read(&node, &mut part, start as u64).unwrap();
                let end = bytes.len().min(start + 100_000);
                assert!(
                    part[..read] == bytes[start..end],
                    "{options:?} {path} {start}"
                );
            }
        }
        let link = find(&view, "link");
        assert_eq!(link.kind(), ErofsKind::Link);
        assert_eq!(view.link_target(&link).unwrap(), b"deep/er");
        let file = find(&view, "text");
        assert!(matches!(view.link_target(&file), Err(ErofsError::Link(_))));
        assert!(matches!(view.entries(&file), Err(ErofsError::Directory(_))));
    }
}

#[test]
fn compressed_files_are_listed_and_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let (model, path) = (
        temporary.path().join("model"),
        temporary.path().join("image"),
    );
    let files = foreign_model(&model);
    let paths = [path.to_str().unwrap(), model.to_str().unwrap()];
    run("mkfs.erofs", &[&["-zlz4"][..], &paths].concat());
    let image = fs::read(&path).unwrap();
    let view = ErofsView::open(&image[..]).unwrap();
    let text = find(&view, "text");
    assert_eq!(text.size() as usize, files["text"].len());
    let error = read_all(&view, &text).unwrap_err();
    let nid = text.nid();
    assert!(matches!(error, ErofsError::Compressed(inode) if inode == nid));
    assert!(error.to_string().contains("compressed"), "{error}");
    // What does not get smaller is as it was.
    assert!(read_all(&view, &find(&view, "deep/er/1")).unwrap() == files["deep/er/1"]);
}

#[test]
fn what_is_not_understood_is_refused() {
    let image = assemble(&ImagePlan::new(&list([(&b"f"[..], 1)])).unwrap());
    let with = |offset: usize, byte: u8| {
        let mut image = image.clone();
        image[1024 + offset] = byte;
        ErofsView::open(&image[..])
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    // The second byte of feature_incompat.
    assert!(
        with(81, 1).ends_with("compressed metadata"),
        "{}",
        with(81, 1)
    );
    assert!(with(81, 2).contains("what came later (0x200)"));
    assert!(with(0, 0).contains("no EROFS filesystem"));
    for length in [0, 1000, 1151, image.len() - 1] {
        let error = ErofsView::open(&image[..length]).map(|_| ()).unwrap_err();
        assert!(matches!(error, ErofsError::CutShort { .. }), "{error}");
    }
}

/// A chunked file can claim any size, and its table any place.
#[test]
fn chunks_of_a_hostile_inode() {
    let temporary = tempfile::tempdir().unwrap();
    let (model, path) = (
        temporary.path().join("model"),
        temporary.path().join("image"),
    );
    fs::create_dir(&model).unwrap();
    let mut file = fs::File::create(model.join("f")).unwrap();
    file.write_all(&content(1, 20_000)).unwrap();
    let paths = [path.to_str().unwrap(), model.to_str().unwrap()];
    run(
        "mkfs.erofs",
        &[&["--chunksize=4096", "-Eforce-inode-extended"][..], &paths].concat(),
    );
    let image = fs::read(&path).unwrap();
    let view = ErofsView::open(&image[..]).unwrap();
    let at = find(&view, "f").nid() as usize * 32
        + u32::from_le_bytes(image[1064..1068].try_into().unwrap()) as usize * 4096;
    let bent = |offset: usize, bytes: &[u8], from: u64| {
        let mut image = image.clone();
        image[at + offset..][..bytes.len()].copy_from_slice(bytes);
        let view = ErofsView::open(&image[..]).unwrap();
        let node = view.find([&b"f"[..]]).unwrap().unwrap();
        view.read(&node, &mut [0; 5000], from)
    };
    assert_eq!(bent(0, &[], 19_999).unwrap(), 1);
    // The size: the table would be larger than the image, and its end beyond 64 bits.
    for from in [1 << 40, u64::MAX - 6000, u64::MAX - 5] {
        let read = bent(8, &[0xff; 8], from);
        assert!(matches!(read, Err(ErofsError::Outside(_))), "{read:?}");
    }
    // Chunks as large as nothing is: there is one, and it ends beyond the image.
    assert!(bent(16, &[0x1f, 0], 0).is_ok());
    assert!(matches!(bent(16, &[0x1f, 0], 1 << 30), Ok(0)));
    // Blocks: the hole, and one that is not there.
    assert_eq!(bent(64, &[0xff; 4], 0).unwrap(), 5000);
    let far = bent(64, &[0xfe, 0xff, 0xff, 0xff], 0);
    assert!(matches!(far, Err(ErofsError::Outside(_))), "{far:?}");
}
