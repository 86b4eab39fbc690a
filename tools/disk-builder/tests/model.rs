//! Scanning model directories: what is the same, what is left out, what is
//! refused.

#![allow(clippy::unwrap_used)] // All of this is tests.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::{
        fs::{FileExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::SystemTime,
};

use disk_builder::model::{
    Excludes, Model, Note, OutsideLink, ReadError, ScanError, ScanOptions, SourceFile,
};
use model_disk::{FileError, FileListError, ModelFile, PathError};
use tempfile::TempDir;

fn scan_without(directory: &Path, excludes: &[&str]) -> Result<Model, ScanError> {
    let excludes = Excludes::new(excludes.iter().copied()).unwrap();
    Model::scan(directory, &excludes.into())
}

fn scan(directory: &Path) -> Result<Model, ScanError> {
    scan_without(directory, &[])
}

/// Links may lead to this place.
fn scan_with(directory: &Path, outside: &Path) -> Result<Model, ScanError> {
    let options = ScanOptions {
        allow_outside: vec![outside.to_owned()],
        ..Excludes::new([""; 0]).unwrap().into()
    };
    Model::scan(directory, &options)
}

fn paths(model: &Model) -> Vec<String> {
    model
        .files()
        .iter()
        .map(|file| file.path.to_string())
        .collect()
}

fn write(directory: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A model directory with these files in it.
fn model(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("model");
    fs::create_dir(&directory).unwrap();
    write(&directory, files);
    (temporary, directory)
}

/// All of a model: what its image is a function of.
fn everything(model: &Model) -> Vec<(String, Vec<u8>)> {
    let read = |(index, file): (usize, &ModelFile)| {
        let source: SourceFile = model.open(index).unwrap();
        let mut bytes = vec![0; file.size as usize];
        source.file().read_exact_at(&mut bytes, 0).unwrap();
        (file.path.to_string(), bytes)
    };
    let all = model.files().iter().enumerate().map(read).collect();
    model.check_unchanged().unwrap();
    all
}

const FILES: [(&str, &str); 4] = [
    ("config.json", "{}"),
    ("model.safetensors", "weights"),
    ("onnx/model.onnx", "more weights"),
    ("onnx.txt", ""),
];

#[test]
fn a_clone_and_a_hub_cache_are_the_same() {
    let (_temporary, plain) = model(&FILES);
    let (_temporary, cache) = model(&[
        ("blobs/1", "{}"),
        ("blobs/2", "weights"),
        ("blobs/3", "more weights"),
        ("blobs/4", ""),
        ("elsewhere/unused", ""),
    ]);
    let snapshot = cache.join("snapshots/REV");
    fs::create_dir_all(snapshot.join("onnx")).unwrap();
    symlink("../../blobs/1", snapshot.join("config.json")).unwrap();
    symlink(cache.join("blobs/2"), snapshot.join("model.safetensors")).unwrap();
    symlink("../../../blobs/3", snapshot.join("onnx/model.onnx")).unwrap();
    symlink("../../blobs/4", snapshot.join("onnx.txt")).unwrap();
    symlink("snapshots/REV", cache.join("main")).unwrap();

    let expected = everything(&scan(&plain).unwrap());
    assert_eq!(expected.len(), 4);
    assert_eq!(everything(&scan(&snapshot).unwrap()), expected);
    assert_eq!(everything(&scan(&cache.join("main")).unwrap()), expected);
}

#[test]
fn what_does_not_matter() {
    let (_temporary, plain) = model(&FILES);
    let expected = everything(&scan(&plain).unwrap());

    let (_temporary, other) = model(&[]);
    for (path, text) in FILES.iter().rev() {
        write(&other, &[(path, text)]);
        let path = other.join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        File::open(&path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
    }
    fs::create_dir_all(other.join("empty/emptier")).unwrap();
    fs::set_permissions(other.join("onnx"), fs::Permissions::from_mode(0o1777)).unwrap();
    // A directory behind a link, and one file with two names.
    fs::rename(other.join("onnx"), other.join("../onnx-elsewhere")).unwrap();
    symlink("../onnx-elsewhere", other.join("onnx")).unwrap();
    fs::hard_link(other.join("config.json"), other.join("../config-too")).unwrap();
    let elsewhere = other.join("../onnx-elsewhere");
    let scanned = scan_with(&other, &elsewhere).unwrap();
    assert_eq!(everything(&scanned), expected);
    assert_eq!(scanned.notes(), []);
}

/// What a link brings that leads out of the model.
fn outside(result: Result<Model, ScanError>) -> Vec<(String, String)> {
    let Err(ScanError::Outside { links, .. }) = result else {
        panic!("{result:?}");
    };
    let pair = |link: OutsideLink| (link.path.to_string(), link.leads_to);
    links.into_iter().map(pair).collect()
}

/// Each of them, however many there are, to a file or to a directory, of which nothing is read.
#[test]
fn links_that_lead_out_of_the_model() {
    let (temporary, directory) = model(&[("file", ""), ("a/file", "")]);
    let top = temporary.path().canonicalize().unwrap();
    write(temporary.path(), &[("home/secret", ""), ("model-2/x", "")]);
    let links = [
        ("1", "../home/secret"),
        ("2", "a/../../home/secret"),
        ("3", "../home"),
        ("4", ".."),
        ("5", "/etc/passwd"),
        ("6", "../model-2/x"),
        // A link to a link.
        ("7", "6"),
        ("8", "/dev/zero"),
        ("9", "/proc/self/root/etc/passwd"),
    ];
    for (name, text) in links {
        symlink(text, directory.join(name)).unwrap();
    }
    // These stay inside.
    symlink("a/../file", directory.join("b")).unwrap();
    symlink(directory.join("a"), directory.join("c")).unwrap();
    symlink("../model/a/file", directory.join("d")).unwrap();
    symlink(
        "/proc/self/cwd/../../../../../../../../../..",
        directory.join("e"),
    )
    .unwrap();
    let place = |text: &str| top.join(text).to_str().unwrap().to_owned();
    let expected = [
        ("1", place("home/secret")),
        ("2", place("home/secret")),
        ("3", place("home")),
        ("4", place("")[..place("").len() - 1].to_owned()),
        ("5", "/etc/passwd".to_owned()),
        ("6", place("model-2/x")),
        ("7", place("model-2/x")),
        ("8", "/dev/zero".to_owned()),
        ("9", "/etc/passwd".to_owned()),
        ("e", "/".to_owned()),
    ];
    assert_eq!(
        outside(scan(&directory)),
        expected
            .clone()
            .map(|(name, place)| (name.to_owned(), place))
    );
    // One that is allowed is not named any more.
    let left = outside(scan_with(&directory, &temporary.path().join("home")));
    assert!(left.iter().all(|(_, place)| !place.contains("home")));
    assert_eq!(left.len(), expected.len() - 3);
    // Nothing outside that is a part of the name only.
    let left = outside(scan_with(&directory, &temporary.path().join("model")));
    assert_eq!(left.len(), expected.len());
}

#[test]
fn places_that_are_allowed() {
    let (temporary, directory) = model(&[("file", "1")]);
    write(temporary.path(), &[("more/a", "2"), ("more/b/c", "3")]);
    symlink("../more", directory.join("more")).unwrap();
    symlink("../more/a", directory.join("a")).unwrap();
    symlink("more", temporary.path().join("link")).unwrap();
    let by_link = temporary.path().join("link");
    let scanned = scan_with(&directory, &by_link).unwrap();
    assert_eq!(paths(&scanned), ["a", "file", "more/a", "more/b/c"]);
    fs::remove_file(directory.join("more")).unwrap();
    let scanned = scan_with(&directory, &temporary.path().join("more/a")).unwrap();
    assert_eq!(paths(&scanned), ["a", "file"]);
    fs::remove_file(directory.join("a")).unwrap();
    let scanned = scan_with(&directory, &by_link).unwrap();
    assert_eq!(
        scanned.notes(),
        [Note::UnusedAllowOutside { place: by_link }]
    );
    let missing = temporary.path().join("missing");
    let Err(ScanError::File(FileError { path, source, .. })) = scan_with(&directory, &missing)
    else {
        panic!("it is not there");
    };
    assert_eq!((path, source.raw_os_error()), (missing, Some(libc::ENOENT)));
}

/// A link that changes all the time leads to one place or is refused, and nothing of the other place
/// is taken in.
#[test]
fn links_that_change_while_they_are_followed() {
    let (temporary, directory) = model(&[("file", "inside")]);
    write(temporary.path(), &[("secret", "outside")]);
    let link = directory.join("link");
    symlink("file", &link).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let new = temporary.path().join("new");
            for text in ["../secret", "file"].iter().cycle() {
                symlink(text, &new).unwrap();
                fs::rename(&new, &link).unwrap();
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let mut both = [0, 0];
        while both.contains(&0) {
            match scan(&directory) {
                Err(ScanError::Outside { .. }) => both[0] += 1,
                Ok(model) => {
                    both[1] += 1;
                    // What is opened later is the same, or is no longer taken.
                    for _ in 0..100 {
                        if let Ok(file) = model.open(1) {
                            let mut bytes = [0; 6];
                            file.file().read_exact_at(&mut bytes, 0).unwrap();
                            assert_eq!(&bytes, b"inside");
                        }
                    }
                }
                // The directory is listed and looked at while its entries go.
                Err(other) => panic!("{other}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// As in `/proc`: what can be read is more than the size says.
#[test]
fn files_without_their_size() {
    let (_temporary, directory) = model(&[("empty", "")]);
    assert_eq!(paths(&scan(&directory).unwrap()), ["empty"]);
    symlink("/proc/self/status", directory.join("status")).unwrap();
    let result = scan_with(&directory, Path::new("/proc"));
    let Err(ScanError::Read(error @ ReadError::NoSize { bytes: 0, .. })) = result else {
        panic!("{result:?}");
    };
    let expected = "/status has more to read than the 0 bytes of its size: put a copy in its place";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn files_come_in_the_order_of_a_walk() {
    let (_temporary, directory) = model(&[("a.b", ""), ("a/z", ""), ("B", ""), ("a-", "")]);
    assert_eq!(paths(&scan(&directory).unwrap()), ["B", "a/z", "a-", "a.b"]);
}

#[test]
fn left_out() {
    let (_temporary, directory) = model(&[
        (".git/config", ""),
        (".gitattributes", ""),
        (".cache/huggingface/download/x.lock", ""),
        ("a/.git/kept", ""),
        ("onnx/model.onnx", ""),
        ("onnx/deep/er/model.bin", ""),
        ("model.bin", ""),
        ("model.h5", ""),
    ]);
    let all = [".gitattributes", "a/.git/kept", "model.bin", "model.h5"];
    let left = |excludes: &[&str]| paths(&scan_without(&directory, excludes).unwrap());
    let onnx = ["onnx/deep/er/model.bin", "onnx/model.onnx"];
    assert_eq!(left(&[]), [&all[..], &onnx].concat());
    assert_eq!(left(&["onnx"]), all);
    assert_eq!(left(&["onnx/"]), all);
    assert_eq!(left(&["onnx/*"]), all);
    assert_eq!(left(&["*/deep", "*.h5"]), [&all[..3], &onnx[1..]].concat());
    assert_eq!(
        left(&["**/*.bin"]),
        [&all[..2], &all[3..], &onnx[1..]].concat()
    );

    // What is left out may be anything.
    nix::unistd::mkfifo(&directory.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("nowhere", directory.join("dangling")).unwrap();
    assert_eq!(left(&["pipe", "dangling", "onnx"]), all);
}

#[test]
fn nothing_to_build() {
    let (_temporary, directory) = model(&[]);
    fs::create_dir_all(directory.join("a/b/c")).unwrap();
    let empty = |result| {
        matches!(
            result,
            Err(ScanError::List { source: FileListError::Empty, directory: named })
                if named == directory
        )
    };
    assert!(empty(scan(&directory)));
    write(&directory, &[(".git/config", ""), ("a/b/file", "")]);
    assert!(empty(scan_without(&directory, &["a"])));
}

#[test]
fn no_directory() {
    let (_temporary, directory) = model(&[("file", "")]);
    let file = directory.join("file");
    assert!(matches!(scan(&file), Err(ScanError::NotADirectory(path)) if path == file));
    let missing = directory.join("missing");
    let Err(ScanError::File(FileError { path, source, .. })) = scan(&missing) else {
        panic!("there is nothing");
    };
    assert_eq!(path, missing);
    assert_eq!(source.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn dangling_links() {
    for text in ["../blobs/missing", "file/below"] {
        let (_temporary, directory) = model(&[("file", "")]);
        symlink(text, directory.join("link")).unwrap();
        let Err(ScanError::DanglingLink { link, target, .. }) = scan(&directory) else {
            panic!("{text} is not there");
        };
        assert_eq!((link, target), (directory.join("link"), text.into()));
    }
}

#[test]
fn links_in_a_circle() {
    let (_temporary, directory) = model(&[]);
    symlink("b", directory.join("a")).unwrap();
    symlink("a", directory.join("b")).unwrap();
    let Err(ScanError::LinkLoop {
        link,
        target,
        source,
    }) = scan(&directory)
    else {
        panic!("the links lead nowhere");
    };
    assert_eq!((link, target), (directory.join("a"), "b".into()));
    assert_eq!(source.raw_os_error(), Some(libc::ELOOP));
}

#[test]
fn directories_within_themselves() {
    // To the directory itself, to one further up, and to one above the model, which is allowed.
    for (text, path, loops) in [
        (".", "a/b/link", "a/b"),
        ("..", "a/b/link", "a"),
        ("../..", "a/b/link", ""),
        ("../../..", "a/b/link/model", ""),
    ] {
        let (temporary, directory) = model(&[("a/b/file", "")]);
        symlink(text, directory.join("a/b/link")).unwrap();
        let Err(ScanError::DirectoryLoop {
            path: found,
            directory: same,
            link,
        }) = scan_with(&directory, temporary.path())
        else {
            panic!("{text} goes on for ever");
        };
        assert_eq!(found, directory.join(path), "{text}");
        assert_eq!(
            same.components().collect::<PathBuf>(),
            directory.join(loops).components().collect::<PathBuf>(),
            "{text}"
        );
        assert_eq!(link, directory.join("a/b/link"), "{text}");
    }
    // The same directory twice side by side is no loop.
    let (_temporary, directory) = model(&[("a/file", "")]);
    symlink("a", directory.join("b")).unwrap();
    assert_eq!(paths(&scan(&directory).unwrap()), ["a/file", "b/file"]);
}

#[test]
fn special_files_are_refused_unopened() {
    let refused = |make: &dyn Fn(&Path)| {
        let (temporary, directory) = model(&[("file", "")]);
        make(&directory.join("special"));
        // The same behind a link.
        for _ in 0..2 {
            let result = scan_with(&directory, temporary.path());
            let Err(ScanError::Special { path, kind }) = result else {
                panic!("only files and directories go onto a disk");
            };
            assert_eq!(path, directory.join("special"));
            let moved = directory.parent().unwrap().join("moved");
            if moved.exists() {
                return kind;
            }
            fs::rename(&path, &moved).unwrap();
            symlink(&moved, &path).unwrap();
        }
        panic!("the second round returns");
    };
    let mode = nix::sys::stat::Mode::S_IRWXU;
    assert_eq!(
        refused(&|path| nix::unistd::mkfifo(path, mode).unwrap()),
        "named pipe"
    );
    assert_eq!(
        refused(&|path| drop(UnixListener::bind(path).unwrap())),
        "socket"
    );
    let (_temporary, directory) = model(&[]);
    symlink("/dev/zero", directory.join("zero")).unwrap();
    assert!(matches!(
        scan_with(&directory, Path::new("/dev")),
        Err(ScanError::Special {
            kind: "character device",
            ..
        })
    ));
}

#[test]
fn unreadable_files_and_directories() {
    for (unreadable, mode) in [("file", 0o000), ("directory", 0o000)] {
        let (temporary, directory) = model(&[("file", ""), ("directory/file", "")]);
        for open in [temporary.path(), &directory] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let unreadable = directory.join(unreadable);
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(mode)).unwrap();
        // Root may read everything; this thread gives that up.
        let result = thread::scope(|scope| {
            let scan = scope.spawn(|| {
                nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
                scan(&directory)
            });
            scan.join().unwrap()
        });
        let Err(
            ScanError::File(FileError { path, source, .. })
            | ScanError::Read(ReadError::File(FileError { path, source, .. })),
        ) = result
        else {
            panic!("{} cannot be read", unreadable.display());
        };
        assert_eq!(path, unreadable);
        assert_eq!(source.raw_os_error(), Some(libc::EACCES));
    }
}

#[test]
fn files_that_change() {
    let changed = |result: Result<_, ReadError>, expected: &Path| match result {
        Err(ReadError::Changed(path)) => assert_eq!(path, expected),
        other => panic!("{other:?}"),
    };
    let (_temporary, directory) = model(&[("file", "12345")]);
    let path = directory.join("file");
    let scanned = scan(&directory).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    scanned.open(0).unwrap();
    scanned.check_unchanged().unwrap();

    let mut append = OpenOptions::new().append(true).open(&path).unwrap();
    append.write_all(b"6").unwrap();
    changed(scanned.open(0).map(drop), &path);
    changed(scanned.check_unchanged(), &path);
    // As many bytes as before, and the time of modification put back.
    append.set_len(5).unwrap();
    append.set_modified(modified).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    changed(scanned.open(0).map(drop), &path);
    changed(scanned.check_unchanged(), &path);

    // Another file with the same size and time, as behind a link that was changed.
    fs::write(directory.join("other"), "67890").unwrap();
    let other = File::open(directory.join("other")).unwrap();
    other.set_modified(modified).unwrap();
    fs::rename(directory.join("other"), &path).unwrap();
    changed(scanned.open(0).map(drop), &path);
    changed(scanned.check_unchanged(), &path);

    // Something else in its place; a pipe must not make this wait.
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = scanned.open(0).map(drop);
    assert!(matches!(error, Err(ReadError::NotAFile(named)) if named == path));
    changed(scanned.check_unchanged(), &path);
    fs::remove_file(&path).unwrap();
    for error in [scanned.open(0).map(drop), scanned.check_unchanged()] {
        assert!(matches!(error, Err(ReadError::File(error)) if error.path == path));
    }
}

/// What comes into a directory is missing on the disk.
#[test]
fn directories_that_change() {
    for (appears, changed) in [
        ("new", ""),
        ("a/new", "a"),
        ("a/b/new", "a/b"),
        ("empty/new", "empty"),
    ] {
        let (_temporary, directory) = model(&[("file", ""), ("a/b/file", "")]);
        fs::create_dir(directory.join("empty")).unwrap();
        let scanned = scan(&directory).unwrap();
        scanned.check_unchanged().unwrap();
        fs::write(directory.join(appears), "").unwrap();
        let Err(ReadError::Changed(path)) = scanned.check_unchanged() else {
            panic!("{appears} has come");
        };
        let path: PathBuf = path.components().collect();
        assert_eq!(
            path,
            directory.join(changed).components().collect::<PathBuf>()
        );
        // And what has come and gone may have been in place of another.
        fs::remove_file(directory.join(appears)).unwrap();
        scanned.check_unchanged().unwrap_err();
    }
    // What is left out may change.
    let (_temporary, directory) = model(&[("file", ""), ("left-out/file", "")]);
    let scanned = scan_without(&directory, &["left-out"]).unwrap();
    fs::write(directory.join("left-out/new"), "").unwrap();
    scanned.check_unchanged().unwrap();
    assert_eq!(paths(&scanned), ["file"]);
}

/// What a path leads to is not what the model is made of any more, once that is open.
#[test]
fn a_model_directory_that_is_replaced() {
    let (temporary, directory) = model(&[("file", "old")]);
    let scanned = scan(&directory).unwrap();
    fs::rename(&directory, temporary.path().join("away")).unwrap();
    write(&directory, &[("file", "new")]);
    let mut bytes = [0; 3];
    scanned
        .open(0)
        .unwrap()
        .file()
        .read_exact_at(&mut bytes, 0)
        .unwrap();
    assert_eq!(&bytes, b"old");
}

#[test]
fn a_deep_tree() {
    let (_temporary, directory) = model(&[]);
    let deep = "d/".repeat(1500) + "f";
    write(&directory, &[(&deep, "x")]);
    assert_eq!(paths(&scan(&directory).unwrap()), [deep]);
}

/// What file systems with longer names than EROFS would give.
#[test]
fn names_that_a_disk_cannot_hold() {
    let path = model_disk::RelativePath::new("n".repeat(256));
    assert_eq!(path, Err(PathError::NameTooLong(256)));
}

#[test]
fn messages_name_the_path_and_the_way_out() {
    let (_temporary, directory) = model(&[]);
    symlink("../blobs/1", directory.join("x")).unwrap();
    assert_eq!(
        scan(&directory).unwrap_err().to_string(),
        format!(
            "{}/x is a symbolic link to ../blobs/1, which is not there: is the download complete?",
            directory.display()
        )
    );
    fs::remove_file(directory.join("x")).unwrap();
    nix::unistd::mkfifo(&directory.join("x"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(
        scan(&directory).unwrap_err().to_string(),
        format!(
            "{}/x is a named pipe, and only files and directories go onto a disk: remove it or \
             leave it out with --exclude",
            directory.display()
        )
    );
}
