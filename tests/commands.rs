//! The commands in the documents do what the documents say: those that need no kernel with
//! dm-verity are run here. See `test_support::documents` for the others.
// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use test_support::documents::{blocks, script};

/// Blocks that no test runs: the document, how the block begins, and why.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "make demo\nmake test\n",
        "CI runs the second, and a test within it would run itself; CI or a person the first",
    ),
    (
        "README.md",
        "make install ",
        "`make test-packages` runs it, under another PREFIX",
    ),
    (
        "README.md",
        "kubectl apply -k deploy/kubernetes/workload\n",
        "needs a cluster; `make test-kubernetes` applies these manifests",
    ),
    (
        "docs/packaging.md",
        "make install ",
        "`make test-packages` runs it, under another DESTDIR",
    ),
    (
        "docs/packaging.md",
        "make dist\n",
        "`make test-packages` runs it, and compares what two folders give",
    ),
    (
        "docs/packaging.md",
        "make dist SIGN_KEY=",
        "`make test-packages` runs it, with a key of its own",
    ),
    (
        "docs/packaging.md",
        "ssh-keygen -Y verify ",
        "`make test-packages` runs it, and on changed releases",
    ),
    (
        "docs/packaging.md",
        "make audit\n",
        "CI runs it; `make test-audit` runs its script",
    ),
    (
        "docs/packaging.md",
        "git clone ",
        "fetches the database from the network; `make test-audit` refreshes from one that it makes",
    ),
    (
        "docs/publishing.md",
        "git clone ",
        "fetches a model from the network",
    ),
    (
        "docs/auditing.md",
        "git clone ",
        "fetches a model from the network",
    ),
    (
        "docs/publishing.md",
        "disk-builder build hf://",
        "fetches a model from the network; the tests of disk-builder do from a hub of their own",
    ),
    (
        "docs/auditing.md",
        "test \"$(disk-builder root-hash hf://",
        "fetches a model from the network; the tests of disk-builder do from a hub of their own",
    ),
    (
        "docs/auditing.md",
        "disk-builder root-hash --files-from ",
        "fetches from the network; the tests of disk-builder do from a server of their own",
    ),
    ("docs/kubernetes.md", "kubectl get pod ", "needs a cluster"),
    (
        "docs/troubleshooting.md",
        "modprobe ",
        "loads modules into the kernel of the machine; the virtual machine has them at its start",
    ),
    (
        "deploy/README.md",
        "kubectl label namespace ",
        "needs a cluster",
    ),
    (
        "deploy/README.md",
        "make image\n",
        "`make test-deploy` makes the images, and more",
    ),
    ("deploy/README.md", "skopeo copy ", "needs a registry"),
    (
        "deploy/README.md",
        "ctr -n k8s.io images import ",
        "`make test-deploy` runs it, in a containerd of its own",
    ),
    (
        "deploy/README.md",
        "kubectl apply -k deploy/kubernetes/workload\n",
        "needs a cluster; `make test-kubernetes` applies these manifests",
    ),
    (
        "deploy/README.md",
        "kubectl kustomize deploy/kubernetes/contrast ",
        "needs Contrast; `make test-deploy` renders and checks these manifests",
    ),
    (
        "deploy/README.md",
        "kubectl apply -k deploy/kubernetes/build\n",
        "needs a cluster; `make test-kubernetes` applies these manifests",
    ),
];

/// The documents with blocks that `tests/privileged/commands.rs` runs.
const WITH_KERNEL: &[&str] = &[
    "README.md",
    "docs/auditing.md",
    "docs/correction.md",
    "docs/fuse.md",
    "docs/other-disks.md",
    "docs/publishing.md",
];

/// Programs whose commands may stand in marked blocks only.
const PROGRAMS: &[&str] = &[
    "cargo",
    "contrast",
    "disk-builder",
    "disk-mounter",
    "git",
    "kubectl",
    "skopeo",
    "veritysetup",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents by their paths.
fn documents() -> Vec<(String, String)> {
    let mut documents = Vec::new();
    for folder in ["", "docs/", "deploy/"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                let text = fs::read_to_string(root().join(folder).join(&name)).unwrap();
                documents.push((format!("{folder}{name}"), text));
            }
        }
    }
    documents
}

/// A folder with a model, a disk of it, and the manifests.
fn scratch(path: &Path, builder: &Path) -> String {
    let model = path.join("model");
    fs::create_dir_all(model.join("1_Pooling")).unwrap();
    fs::write(model.join("README.md"), "# A model\n").unwrap();
    fs::write(model.join("config.json"), "{}\n").unwrap();
    fs::write(model.join("1_Pooling/config.json"), "{}\n").unwrap();
    let weights: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(model.join("model.safetensors"), weights).unwrap();
    symlink(root().join("deploy"), path.join("deploy")).unwrap();
    let built = Command::new(builder)
        .args(["build", "model", "--output", "disk.img", "--quiet"])
        .current_dir(path)
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let printed = String::from_utf8(built.stdout).unwrap();
    let root_hash = printed
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .unwrap();
    root_hash.trim().to_owned()
}

/// The folder with the programs.
fn programs() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_disk-mounter")).parent();
    let folder = folder.unwrap().to_owned();
    assert!(
        folder.join("disk-builder").exists(),
        "disk-builder is not built: `cargo test --workspace` does that"
    );
    folder
}

#[test]
fn the_commands_do_what_they_say() {
    let programs = programs();
    let path = env::var("PATH").unwrap();
    let path = format!("{}:{path}", programs.display());
    let mut commands = 0;
    for (document, text) in documents() {
        let script = script(&text, "sh");
        if script.is_empty() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let root_hash = scratch(folder.path(), &programs.join("disk-builder"));
        let script = script.replace("ROOT_HASH", &root_hash);
        let output = Command::new("sh")
            .args(["-eux", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{document}: {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        commands += script.lines().count();
    }
    assert!(commands >= 20, "only {commands} lines were run");
}

/// Where a block of text follows one of commands, it is all that they print, to the last byte.
#[test]
fn the_commands_print_what_the_documents_show() {
    let programs = programs();
    let path = env::var("PATH").unwrap();
    let path = format!("{}:{path}", programs.display());
    let mut shown = 0;
    for (document, text) in documents() {
        let blocks = blocks(&text);
        let mut pairs = blocks.windows(2).map(|pair| (&pair[0], &pair[1]));
        if !pairs.any(|(commands, text)| commands.info == "sh" && text.info == "text") {
            continue;
        }
        // What one block sets, the next one knows.
        let commands = blocks.iter().filter(|block| block.info == "sh");
        let script = commands.map(|block| format!("{}printf '\\0'\n", block.text));
        let folder = tempfile::tempdir().unwrap();
        let root_hash = scratch(folder.path(), &programs.join("disk-builder"));
        let script = script.collect::<String>().replace("ROOT_HASH", &root_hash);
        let output = Command::new("sh")
            .args(["-eu", "-c", &format!("exec 2>&1\n{script}")])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{document}: {said}");
        let mut said = said.split('\0');
        for (index, block) in blocks.iter().enumerate() {
            if block.info != "sh" {
                continue;
            }
            let said = said.next().unwrap();
            if let Some(text) = blocks.get(index + 1).filter(|next| next.info == "text") {
                assert_eq!(said, text.text, "{document}: {}", block.text);
                shown += 1;
            }
        }
    }
    assert!(shown >= 2, "only {shown} blocks show what commands print");
}

#[test]
fn every_block_says_where_it_is_run() {
    for (document, text) in documents() {
        for block in blocks(&text) {
            let mut words = block.info.split(' ');
            let first_lines = || {
                let mut words = block.text.lines().map(|line| line.split(' ').next());
                words.find(|word| word.is_some_and(|word| PROGRAMS.contains(&word)))
            };
            match (words.next(), words.next(), words.next()) {
                (Some("sh"), None | Some("elsewhere"), None) => {}
                (Some("sh"), Some("kernel" | "sidecar"), None) => assert!(
                    WITH_KERNEL.contains(&document.as_str()),
                    "{document} is unknown to tests/privileged/commands.rs"
                ),
                (Some("" | "dockerfile" | "json" | "mermaid" | "text" | "yaml"), None, None) => {
                    assert_eq!(
                        first_lines(),
                        None,
                        "{document}: a command in a block that is not marked: {}",
                        block.text
                    )
                }
                _ => panic!("{document}: what is ```{}?", block.info),
            }
        }
    }
}

#[test]
fn every_block_that_is_not_run_has_its_reason() {
    let mut known: BTreeSet<_> = ELSEWHERE
        .iter()
        .map(|(name, start, _)| (*name, *start))
        .collect();
    for (document, text) in documents() {
        for block in blocks(&text) {
            if block.info != "sh elsewhere" {
                continue;
            }
            let entry = ELSEWHERE
                .iter()
                .find(|(name, start, _)| *name == document && block.text.starts_with(start));
            let Some((name, start, reason)) = entry else {
                panic!(
                    "{document}: no test runs this, for no known reason: {}",
                    block.text
                )
            };
            assert!(!reason.is_empty());
            known.remove(&(*name, *start));
        }
    }
    assert!(known.is_empty(), "no document has {known:?}");
}

/// What can be checked of commands that are not run.
#[test]
fn commands_name_what_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let (mut targets, mut folders) = (0, 0);
    for (document, text) in documents() {
        for block in blocks(&text) {
            for line in block.text.lines() {
                let mut words = line.split_ascii_whitespace();
                match words.next() {
                    Some("make") => {
                        let target = words.next().unwrap();
                        let rule = |line: &str| {
                            let targets = line.split_once(':').map(|(targets, _)| targets);
                            targets.is_some_and(|all| all.split(' ').any(|one| one == target))
                        };
                        assert!(makefile.lines().any(rule), "{document}: make {target}");
                        targets += 1;
                    }
                    Some("kubectl") => {
                        for word in words.filter(|word| word.starts_with("deploy/")) {
                            let file = root().join(word).join("kustomization.yaml");
                            assert!(file.exists(), "{document}: {line}");
                            folders += 1;
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(targets >= 4 && folders >= 4, "{targets}, {folders}");
}
