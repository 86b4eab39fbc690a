//! No panic is reachable from input: every place in the programs that could panic is known, with
//! the reason why it does not. A new one fails here, until it is gone or has its reason.
//!
//! Text is all that is looked at: calls and macros that panic, and indexing. What text does not
//! show (arithmetic, memory) the fuzzers try, with overflow checks.

// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What is looked through: folders of the programs' sources.
const FOLDERS: [&str; 2] = ["src", "tools/disk-builder/src"];

/// Not looked through line by line: the SHA-256 kernels. They index arrays, whose lengths the
/// compiler knows, by constants; no input but whole blocks gets there. They have their own fuzz
/// target.
const KERNELS: &str = "src/verity/sha256/";

/// Files with lines that could panic: how many lines, and why none of them does.
const KNOWN: &[(&str, usize, &str)] = &[
    ("src/erofs/inode.rs", 1, "the first bytes of an array"),
    (
        "src/mounter/cli.rs",
        1,
        "the command is in the line that is parsed",
    ),
    (
        "src/mounter/device_mapper/mapping.rs",
        1,
        "a mapping is given away open only",
    ),
    (
        "src/mounter/device_mapper/name.rs",
        1,
        "the length of a digest in hex is fixed",
    ),
    (
        "src/mounter/mount/mod.rs",
        2,
        "the length of a digest is fixed",
    ),
    (
        "src/mounter/mountinfo.rs",
        1,
        "three digits have just been found there",
    ),
    (
        "src/mounter/prefetch.rs",
        1,
        "no more is wanted than the buffer holds",
    ),
    (
        "src/mounter/sidecar.rs",
        1,
        "the signals are always the first source",
    ),
    (
        "src/mounter/uevent.rs",
        1,
        "the kernel tells how much of the buffer it filled",
    ),
    (
        "src/sys/mount_api.rs",
        1,
        "the kernel tells how much of the buffer it filled",
    ),
    (
        "src/mounter/watch.rs",
        1,
        "a thread that does not panic sends its result",
    ),
    (
        "src/sys/credentials.rs",
        1,
        "capabilities have numbers below 64",
    ),
    (
        "src/sys/window.rs",
        6,
        "a slot is an index that was found in the array",
    ),
    (
        "src/units.rs",
        4,
        "the last character is one of ASCII, and so one byte",
    ),
    (
        "src/verity/digest.rs",
        2,
        "digests fit into 64 bytes; another length is the caller's fault, as is documented",
    ),
    (
        "src/verity/geometry_salt.rs",
        1,
        "names of algorithms fit into 32 bytes",
    ),
    (
        "src/verity/hasher.rs",
        1,
        "the caller's fault, as is documented",
    ),
    (
        "src/verity/superblock.rs",
        4,
        "the salt's size has been checked; names and salts fit; NUL was found within",
    ),
    ("src/verity/uuid.rs", 1, "the length of a digest is fixed"),
    (
        "tools/disk-builder/src/build/source.rs",
        2,
        "the part of an extent that lies in what is asked for",
    ),
    (
        "tools/disk-builder/src/engine/blocks.rs",
        1,
        "grown by as much just before",
    ),
    (
        "tools/disk-builder/src/engine/buffer.rs",
        1,
        "grown to that length just before",
    ),
    (
        "tools/disk-builder/src/engine/hash.rs",
        3,
        "levels and units of its own layout",
    ),
    (
        "tools/disk-builder/src/engine/source.rs",
        1,
        "no more is read than is asked for",
    ),
    (
        "tools/disk-builder/src/engine/verify.rs",
        4,
        "levels and blocks of its own layout",
    ),
    (
        "tools/disk-builder/src/hash/target.rs",
        1,
        "a hash block holds a superblock",
    ),
    (
        "tools/disk-builder/src/image/directory.rs",
        1,
        "no more entries fit than there are",
    ),
    (
        "tools/disk-builder/src/image/plan.rs",
        8,
        "places in its own tree, which has a root",
    ),
    (
        "tools/disk-builder/src/image/superblock.rs",
        3,
        "an image has a first block",
    ),
    (
        "tools/disk-builder/src/image/tree.rs",
        3,
        "places in itself; the root stays open",
    ),
    (
        "tools/disk-builder/src/image/uuid.rs",
        1,
        "the length of a digest is fixed",
    ),
    (
        "tools/disk-builder/src/model/file_list.rs",
        1,
        "a list without files is refused before",
    ),
    (
        "tools/disk-builder/src/model/exclude.rs",
        1,
        "the default patterns come first",
    ),
    (
        "tools/disk-builder/src/model/mod.rs",
        2,
        "a file's place in the list that the model was made with",
    ),
    (
        "tools/disk-builder/src/new_file.rs",
        1,
        "no more than the name has",
    ),
    (
        "tools/disk-builder/src/verify/damage.rs",
        1,
        "the place where a search has found it",
    ),
    (
        "tools/disk-builder/src/verify/verified.rs",
        1,
        "the place where a search has found it",
    ),
];

#[test]
fn every_line_that_could_panic_is_known() {
    let found = find();
    let mut wrong = Vec::new();
    for (file, lines) in &found {
        let known = KNOWN.iter().find(|(known, ..)| known == file);
        let count = known.map_or(0, |(_, count, _)| *count);
        if count != lines.len() {
            wrong.push(format!(
                "{file}: {} lines could panic, {count} are known:\n    {}",
                lines.len(),
                lines.join("\n    ")
            ));
        }
    }
    for (file, ..) in KNOWN {
        if !found.contains_key(*file) {
            wrong.push(format!("{file}: nothing could panic there any more"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The lines that could panic, by file.
fn find() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut looked_at = 0;
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            if name.starts_with(KERNELS) || !name.ends_with(".rs") {
                continue;
            }
            looked_at += 1;
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<String> = without_tests(&text, name)
                .lines()
                .enumerate()
                .filter(|(_, line)| could_panic(line))
                .map(|(index, line)| format!("{}: {}", index + 1, line.trim()))
                .collect();
            if !lines.is_empty() {
                found.insert(name.to_owned(), lines);
            }
        }
    }
    assert!(looked_at > 60, "only {looked_at} files were found");
    found
}

/// A file up to its tests, which come last.
fn without_tests<'a>(text: &'a str, name: &str) -> &'a str {
    let Some((code, tests)) = text.split_once("#[cfg(test)]\nmod tests {") else {
        return text;
    };
    let end = tests.find("\n}\n").unwrap();
    assert_eq!(
        end + 3,
        tests.len(),
        "{name}: code after the tests is not looked at"
    );
    code
}

/// Whether a line of code could panic.
fn could_panic(line: &str) -> bool {
    const CALLS: [&str; 18] = [
        ".unwrap()",
        ".unwrap_err()",
        ".expect(",
        ".expect_err(",
        "panic!",
        "unreachable!",
        "todo!",
        "unimplemented!",
        "assert!",
        "assert_eq!",
        "assert_ne!",
        ".split_at(",
        ".split_at_mut(",
        "copy_from_slice(",
        "clone_from_slice(",
        ".swap_remove(",
        // Where there is no thread to be had; `thread::Builder` says so.
        "thread::spawn(",
        "scope.spawn(",
    ];
    let code = line.split("//").next().unwrap_or(line);
    // Known when it is compiled.
    if code.trim_start().starts_with("const _: () = assert!") {
        return false;
    }
    CALLS.iter().any(|call| code.contains(call)) || indexes(code)
}

/// Whether something is indexed: a bracket right after a name or another bracket. The whole range
/// is no risk.
fn indexes(code: &str) -> bool {
    code.match_indices('[').any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | ']' | '?'))
            && !code[at..].starts_with("[..]")
    })
}

#[test]
fn what_is_found() {
    for line in [
        "let x = y.unwrap();",
        "    .expect(\"reason\")",
        "None => unreachable!(),",
        "assert!(a == b);",
        "let x = bytes[0];",
        "let x = &bytes[1..];",
        "f()[3]",
        "x[0][1]",
        "a.copy_from_slice(b);",
        "let (a, b) = x.split_at(7);",
        "thread::spawn(|| work());",
        "scope.spawn(|| work());",
    ] {
        assert!(could_panic(line), "{line}");
    }
    for line in [
        "",
        "// panic!",
        "let x = y.unwrap_or(7); // x[0]",
        "let x: [u8; 4] = [0; 4];",
        "#[derive(Debug)]",
        "fn f(x: &[u8]) -> Vec<[u8; 2]> {",
        "vec![0; 4]",
        "&whole[..]",
        "const _: () = assert!(size_of::<X>() == 4);",
        "thread::Builder::new().spawn(|| work())?;",
    ] {
        assert!(!could_panic(line), "{line}");
    }
}

#[test]
fn tests_are_left_out_and_nothing_else() {
    let text = "code\n#[cfg(test)]\nmod tests {\n    x\n}\n";
    assert_eq!(without_tests(text, "a"), "code\n");
    assert_eq!(
        without_tests("#[cfg(test)]\nmod tests;\nx", "a"),
        "#[cfg(test)]\nmod tests;\nx"
    );
    let hidden = std::panic::catch_unwind(|| {
        without_tests("#[cfg(test)]\nmod tests {\n}\nfn f() {\n}\n", "a").len()
    });
    assert!(hidden.is_err());
}
