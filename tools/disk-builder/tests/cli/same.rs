//! The root hash is a function of paths and bytes alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use nix::unistd::{Gid, Uid, chown, getgroups};
use proptest::prelude::*;

use crate::{
    model_dir::{files, model, root_hash, write},
    program::{WorkFolder, data},
};

/// All files and directories below a directory.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut all = vec![directory.to_owned()];
    let mut next = 0;
    while next < all.len() {
        if all[next].is_dir() {
            let entries = fs::read_dir(&all[next]).unwrap();
            all.extend(entries.map(|entry| entry.unwrap().path()));
        }
        next += 1;
    }
    all
}

/// Files of a hub cache: a snapshot full of links into `blobs`. Gives the snapshot's path.
fn hub_cache(cache: &Path, files: &[(&str, Vec<u8>)]) -> PathBuf {
    let snapshot = cache.join("snapshots/REV");
    for (number, (path, bytes)) in files.iter().enumerate() {
        let link = snapshot.join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let blob = format!("blobs/{number}");
        write(cache, &[(&blob, bytes.clone())]);
        let up = "../".repeat(1 + path.split('/').count());
        symlink(format!("{up}{blob}"), link).unwrap();
    }
    snapshot
}

/// Root may give files to anybody; others to another of their groups.
fn change_owner(path: &Path) {
    let (user, group) = if Uid::effective().is_root() {
        (Some(Uid::from_raw(12345)), Gid::from_raw(54321))
    } else {
        (None, *getgroups().unwrap().last().unwrap())
    };
    chown(path, user, Some(group)).unwrap();
}

fn change_attributes(path: &Path) {
    let status = Command::new("python3")
        .args([
            "-c",
            "import os, sys; os.setxattr(sys.argv[1], 'user.x', b'1')",
        ])
        .arg(path)
        .status();
    assert!(
        status.expect("python3 is needed").success(),
        "{}",
        path.display()
    );
}

#[test]
fn what_must_not_matter() {
    let place = WorkFolder::on_disk();
    let expected = {
        model(&place, "plain");
        root_hash(&place, "plain")
    };
    type Change = fn(&Path);
    let ways: [(&str, Change); 9] = [
        ("mode", |directory| {
            for path in walk(directory) {
                let mode = if path.is_dir() { 0o1777 } else { 0o4755 };
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
        }),
        ("read-only", |directory| {
            for path in walk(directory).into_iter().filter(|path| path.is_file()) {
                fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
            }
        }),
        ("times", |directory| {
            for (path, hours) in walk(directory).iter().zip(1..) {
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * hours);
                File::open(path).unwrap().set_modified(time).unwrap();
            }
        }),
        ("owner", |directory| {
            walk(directory).iter().for_each(|path| change_owner(path));
        }),
        ("attributes", |directory| {
            walk(directory)
                .iter()
                .for_each(|path| change_attributes(path));
        }),
        ("hard-links", |directory| {
            for (number, path) in walk(directory).iter().enumerate() {
                if path.is_file() {
                    fs::hard_link(path, format!("{}-{number}", directory.display())).unwrap();
                }
            }
        }),
        ("empty-directories", |directory| {
            fs::create_dir_all(directory.join("a/b/c")).unwrap();
            fs::create_dir_all(directory.join("onnx/deep/z")).unwrap();
        }),
        ("order", |directory| {
            fs::remove_dir_all(directory).unwrap();
            let mut files = files();
            files.reverse();
            write(directory, &files);
        }),
        ("directory-link", |directory| {
            let moved = directory.with_extension("moved");
            fs::rename(directory.join("onnx"), &moved).unwrap();
            symlink(moved, directory.join("onnx")).unwrap();
        }),
    ];
    for (name, change) in ways {
        change(&model(&place, name));
        let arguments = match name {
            "directory-link" => format!("{name} --allow-outside {name}.moved"),
            _ => name.to_owned(),
        };
        assert_eq!(root_hash(&place, &arguments), expected, "{name}");
    }

    let snapshot = hub_cache(&place.path("hub"), &files());
    symlink(&snapshot, place.path("link")).unwrap();
    for path in ["hub/snapshots/REV", "link", "./plain/", "plain/../plain"] {
        assert_eq!(root_hash(&place, path), expected, "{path}");
    }
    // Files that come into being under another umask.
    let made = Command::new("sh")
        .args(["-c", "umask 077 && cp -r plain umask"])
        .current_dir(place.path(""))
        .status();
    assert!(made.unwrap().success());
    assert_eq!(root_hash(&place, "umask"), expected);
}

#[test]
fn one_disk_for_any_number_of_threads_and_any_name() {
    let place = WorkFolder::new();
    let directory = model(&place, "model");
    // Several runs of the engine.
    write(&directory, &[("large", data(40 << 20, 9))]);
    let expected = root_hash(&place, "model");
    place.run("build model --output 0").ok();
    let disk = place.read("0");
    for threads in ["1", "2", "7"] {
        let arguments = format!("model --threads {threads}");
        assert_eq!(root_hash(&place, &arguments), expected);
        place
            .run(&format!("build {arguments} --output {threads} --source s"))
            .ok();
        assert!(place.read(threads) == disk, "{threads}");
    }
}

#[test]
fn what_must_matter() {
    let place = WorkFolder::new();
    model(&place, "plain");
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("renamed", |directory| {
            fs::rename(directory.join("onnx.txt"), directory.join("onnx.tx")).unwrap();
        }),
        ("moved", |directory| {
            fs::rename(directory.join("onnx.txt"), directory.join("onnx/onnx.txt")).unwrap();
        }),
        ("byte", |directory| {
            let file = OpenOptions::new()
                .write(true)
                .open(directory.join("model.safetensors"))
                .unwrap();
            let byte = files()[2].1[1_000_000] ^ 1;
            file.write_all_at(&[byte], 1_000_000).unwrap();
        }),
        ("swapped", |directory| {
            let path = directory.join("model.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            let other = bytes.iter().position(|byte| *byte != bytes[0]).unwrap();
            bytes.swap(0, other);
            fs::write(path, bytes).unwrap();
        }),
        ("longer", |directory| {
            // The zero was there before, as padding.
            let path = directory.join("onnx.txt");
            let bytes = [fs::read(&path).unwrap(), vec![0]].concat();
            fs::write(path, bytes).unwrap();
        }),
        ("empty", |directory| {
            fs::write(directory.join("more"), b"").unwrap()
        }),
        ("less", |directory| {
            fs::remove_file(directory.join("empty")).unwrap()
        }),
    ];
    let mut roots = BTreeSet::from([root_hash(&place, "plain")]);
    for (name, change) in changes {
        change(&model(&place, name));
        assert!(roots.insert(root_hash(&place, name)), "{name}");
    }
}

/// How a file comes into a model directory.
#[derive(Clone, Copy, Debug)]
enum BuildMethod {
    Plain,
    Link,
    HardLink,
    Sparse,
}

/// Small models: names that sort around `.` and `/`, few enough to share directories.
fn any_model() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let path = prop::collection::vec("[!.a]{1,2}|[-0b][.]?", 1..4).prop_map(|names| {
        let names = names.into_iter().map(|name| format!("{name}x"));
        names.collect::<Vec<_>>().join("/")
    });
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        (1usize..20_000, any::<u64>()).prop_map(|(size, seed)| data(size, seed)),
        (1usize..400_000).prop_map(|size| vec![0; size]),
    ];
    let any = prop::collection::btree_map(path, content, 1..8);
    any.prop_filter("a file is no directory", |files| {
        files.keys().all(|one| {
            let inside = format!("{one}/");
            !files.keys().any(|other| other.starts_with(&inside))
        })
    })
}

fn any_way() -> impl Strategy<Value = BuildMethod> {
    prop_oneof![
        Just(BuildMethod::Plain),
        Just(BuildMethod::Link),
        Just(BuildMethod::HardLink),
        Just(BuildMethod::Sparse)
    ]
}

fn place_file(directory: &Path, elsewhere: &Path, path: &str, bytes: &[u8], way: BuildMethod) {
    let target = directory.join(path);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let blob = elsewhere.join(path.replace('/', "-slash-"));
    match way {
        BuildMethod::Plain => fs::write(target, bytes).unwrap(),
        BuildMethod::Link => {
            fs::write(&blob, bytes).unwrap();
            symlink(blob, target).unwrap();
        }
        BuildMethod::HardLink => {
            fs::write(&blob, bytes).unwrap();
            fs::hard_link(blob, target).unwrap();
        }
        BuildMethod::Sparse => {
            let file = File::create(target).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            for (block, offset) in bytes.chunks(4096).zip((0..).step_by(4096)) {
                if block.iter().any(|byte| *byte != 0) {
                    file.write_all_at(block, offset).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One model, put together in any ways and in any order, has one root hash; and another one
    /// when anything of it is another.
    #[test]
    fn any_model_in_any_way(
        files in any_model(),
        ways in prop::collection::vec(any_way(), 8),
        seed in any::<u64>(),
        changed in any::<prop::sample::Index>(),
    ) {
        let place = WorkFolder::new();
        let build = |name: &str, files: &BTreeMap<String, Vec<u8>>, twisted: bool| {
            let elsewhere = place.path(&format!("{name}-elsewhere"));
            fs::create_dir(&elsewhere).unwrap();
            let mut all: Vec<_> = files.iter().zip(&ways).collect();
            if twisted {
                let length = all.len();
                all.rotate_left(seed as usize % length);
                if seed % 2 == 0 {
                    all.reverse();
                }
            }
            for ((path, bytes), way) in all {
                let way = if twisted { *way } else { BuildMethod::Plain };
                place_file(&place.path(name), &elsewhere, path, bytes, way);
            }
            let outside = format!("--allow-outside {name}-elsewhere");
            root_hash(&place, &format!("{name} {outside} --threads {}", 1 + seed % 7))
        };
        let root = build("plain", &files, false);
        prop_assert_eq!(&build("twisted", &files, true), &root);

        let mut other = files.clone();
        let path = changed.get(&files.keys().collect::<Vec<_>>()).to_string();
        let bytes = other.get_mut(&path).unwrap();
        match seed % 3 {
            0 => bytes.push(0),
            1 if !bytes.is_empty() => {
                let at = changed.index(bytes.len());
                bytes[at] ^= 0x80;
            }
            _ => {
                let bytes = other.remove(&path).unwrap();
                other.insert(format!("{path}x"), bytes);
            }
        }
        prop_assert_ne!(build("other", &other, false), root);
    }
}
