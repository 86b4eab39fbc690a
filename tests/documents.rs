//! What the documents say of this repository is so.
// A failure is a panic here, as in any test.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use clap::CommandFactory;
use model_disk::ExitCode;

/// All text of a folder's Rust files.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

/// The same of everything that holds code.
fn all_sources(root: &Path) -> String {
    let folders = ["crates", "fuzz", "src", "tests", "tools"];
    folders.map(|folder| sources(&root.join(folder))).concat()
}

/// The documents, with their names.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["", "crates/dm-verity", "deploy", "docs"];
    let files = folders.map(|folder| root.join(folder));
    let files = files
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_tests_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = all_sources(root);
    let mut checked = 0;
    for (document, content) in documents() {
        for name in quoted(&content) {
            // `group::name` of a privileged test, or `module::tests::name`.
            let Some((path, name)) = name.rsplit_once("::") else {
                continue;
            };
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            // Types begin with a capital letter.
            if name.is_empty() || !name.bytes().all(plain) || path.starts_with(char::is_uppercase) {
                continue;
            }
            assert!(
                text.contains(&format!("fn {name}()")),
                "{document} names {path}::{name}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} names were found");
}

/// Each promise, and each fault, has a test that exists: in the last column of its row.
#[test]
fn each_promise_names_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = all_sources(root);
    for (document, least) in [
        ("docs/security.md", 15),
        ("docs/faults.md", 45),
        ("docs/kubernetes.md", 25),
        ("docs/kernels.md", 20),
    ] {
        let content = fs::read_to_string(root.join(document)).unwrap();
        let mut rows = 0;
        let mut named_by_test = false;
        let lines: Vec<&str> = content.lines().collect();
        for (line, next) in lines.iter().zip(&lines[1..]) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let Some(last) = cells.last().filter(|_| line.starts_with("| ")) else {
                continue;
            };
            // The head of a table says what its last column is.
            if next.starts_with("|---") {
                named_by_test = *last == "test";
                continue;
            }
            if !named_by_test {
                continue;
            }
            let names = quoted(last).map(|name| name.rsplit("::").next().unwrap());
            let mut named = 0;
            for name in names {
                assert!(
                    text.contains(&format!("fn {name}()")),
                    "{document}: there is no test {name}: {line}"
                );
                named += 1;
            }
            assert!(named > 0, "{document}: no test is named: {line}");
            rows += 1;
        }
        assert!(rows >= least, "{document}: only {rows} rows");
    }
}

/// docs/kubernetes.md has each test of the node in its table, and quotes what that looks for in what
/// `kubectl describe` shows.
#[test]
fn the_scenarios_of_kubernetes_are_those_of_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/kubernetes");
    let content = fs::read_to_string(root.join("docs/kubernetes.md")).unwrap();
    let rows: Vec<Vec<&str>> = content
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").collect())
        .filter(|cells: &Vec<&str>| cells.len() == 4)
        .collect();
    let named: Vec<&str> = rows.iter().flat_map(|cells| quoted(cells[3])).collect();
    let mut tests = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let group = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let Some((_, list)) = text.split_once("TESTS: &[Test] = &[") else {
            continue;
        };
        let list = list.split_once("];").unwrap().0;
        for name in list.split('"').skip(1).step_by(2) {
            let name = format!("{group}::{name}");
            assert!(named.contains(&&*name), "no row has {name}");
            tests += 1;
        }
    }
    assert!(tests >= 25, "only {tests} tests were found");
    let code = sources(&folder);
    let mut quotes = 0;
    for quote in rows.iter().flat_map(|cells| quoted(cells[2])) {
        // In the head of the table, and what `kubectl get pods` says.
        if !["kubectl describe", "Terminating"].contains(&quote) {
            assert!(code.contains(quote), "no test looks for {quote:?}");
            quotes += 1;
        }
    }
    assert!(quotes >= 25, "only {quotes} quotes were found");
}

/// The strings of the programs, with `…` for what is put into them: comments and tests are left
/// out, and lines that go on are joined.
fn messages() -> Vec<String> {
    fn files(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["crates", "src", "tools/disk-builder/src"] {
        files(&root.join(folder), &mut texts);
    }
    let mut messages = Vec::new();
    for text in texts {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().map(str::trim_start);
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
        let code = lines.join("\n").replace("\\\n", "");
        for literal in code.split('"').filter(|literal| literal.contains(' ')) {
            let mut message = String::new();
            for (index, part) in literal.split('{').enumerate() {
                if index == 0 {
                    message += part;
                } else if let Some((_, rest)) = part.split_once('}') {
                    message.push('…');
                    message += rest;
                }
            }
            messages.push(message.replace("……", "…"));
        }
    }
    messages
}

/// The first column of the tables in docs/troubleshooting.md.
fn quoted_messages(document: &str) -> Vec<&str> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cell = row[2..].split(" | ").next().unwrap();
        cell.trim_matches('`').trim()
    })
    .collect()
}

/// Whether a message is in the sources: all of it, or its beginning.
fn is_said(messages: &[String], message: &str) -> bool {
    // What is put in at the end may stand for any number of things.
    let known = |known: &String| known.starts_with(message) && message.len() >= 12;
    messages.iter().any(known)
}

#[test]
fn the_messages_that_troubleshooting_quotes_are_said() {
    let messages = messages();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let document = fs::read_to_string(path).unwrap();
    let quoted = quoted_messages(&document);
    assert!(quoted.len() >= 35, "only {} were found", quoted.len());
    for message in quoted {
        assert!(is_said(&messages, message), "nothing says: {message}");
    }
    assert!(!is_said(&messages, "…: no such device or file, sorry"));
}

/// One table of exit codes: the README and the help of each program have it, and there is a part of
/// docs/troubleshooting.md for each code.
#[test]
fn exit_codes_are_those_of_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let (readme, troubleshooting) = (read("README.md"), read("docs/troubleshooting.md"));
    let help = disk_mounter::cli::MounterArguments::command()
        .render_long_help()
        .to_string();
    // Wherever its lines end.
    let help: Vec<_> = help.split_whitespace().collect();
    assert!(help.join(" ").contains(&ExitCode::help()), "{help:?}");
    for code in ExitCode::ALL {
        let number = code as u8;
        let row = format!("\n| {number} | {} |\n", code.meaning());
        assert!(readme.contains(&row), "the README has no {row}");
        let heading = format!("\n## Exit code {number}: ");
        assert!(number == 0 || troubleshooting.contains(&heading));
    }
    assert_eq!(readme.matches("\n| 7 |").count(), 0);
}

/// The headings of a document, as links name them.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        title
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    })
}

#[test]
fn the_files_that_documents_link_to_exist() {
    let mut checked = 0;
    for (document, content) in documents() {
        let folder = Path::new(&document).parent().unwrap();
        for link in content.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = match target {
                "" => Path::new(&document).to_owned(),
                target => folder.join(target),
            };
            assert!(path.exists(), "{document} links to {target}");
            if !anchor.is_empty() {
                let text = fs::read_to_string(path).unwrap();
                assert!(
                    anchors(&text).any(|known| known == anchor),
                    "{document} links to {link}, and there is no such heading"
                );
            }
            checked += 1;
        }
    }
    assert!(checked >= 3, "only {checked} links were found");
}

/// docs/architecture.md names what is there.
#[test]
fn the_architecture_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let code = all_sources(root);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let (mut paths, mut items) = (0, 0);
    for name in quoted(&text).filter(|name| name.bytes().all(plain)) {
        if name.contains('/') {
            assert!(root.join(name).exists(), "there is no {name}");
            paths += 1;
        } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) && name != "Makefile" {
            assert!(code.contains(name), "no source has {name}");
            items += 1;
        }
    }
    assert!(
        paths >= 30 && items >= 5,
        "only {paths} paths, {items} items"
    );
}

/// The front page of each library tells what its modules are for.
#[test]
fn front_pages_name_all_modules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tools/disk-builder/src"].map(|folder| root.join(folder)) {
        let page = fs::read_to_string(folder.join("lib.rs")).unwrap();
        let page: String = page
            .lines()
            .filter(|line| line.starts_with("//!"))
            .collect();
        let mut modules = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let module = entry.unwrap().path().with_extension("");
            let module = module.file_name().unwrap().to_str().unwrap().to_owned();
            if ["lib", "main", "fuzzing"].contains(&module.as_str()) {
                continue;
            }
            let words = |byte: char| !byte.is_alphanumeric() && byte != '_';
            let named = page.split(words).any(|word| word == module);
            assert!(named, "{}: {module} is not named", folder.display());
            modules += 1;
        }
        assert!(modules >= 6, "only {modules} modules");
    }
}

/// One name for one thing: no two types of the libraries and programs share one.
#[test]
fn names_of_types_are_unique() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeMap::<String, usize>::new();
    for line in all_sources(root).lines() {
        // Of items, and of those that are in a module of tests or within a function.
        let line = line.trim_start().trim_start_matches("pub ");
        let line = line.rsplit_once("pub(").map_or(line, |(_, rest)| {
            rest.split_once(") ").map_or(rest, |(_, item)| item)
        });
        let mut words = line.split(|byte: char| !byte.is_alphanumeric() && byte != '_');
        if let (Some("struct" | "enum" | "trait" | "union"), Some(name)) =
            (words.next(), words.next())
        {
            *names.entry(name.to_owned()).or_default() += 1;
        }
    }
    assert!(names.len() > 200, "only {} names", names.len());
    let shared: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

/// `make test` has each target of tests: none is forgotten.
#[test]
fn every_tier_is_in_make_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
    let (_, rest) = makefile.split_once("\nTIERS := ").unwrap();
    let (tiers, _) = rest.split_once("\ntest:").unwrap();
    let targets = makefile.lines().filter_map(|line| line.split_once(':'));
    let targets = targets.filter(|(name, _)| name.starts_with("test-"));
    // That one is made of others.
    let targets = targets.filter(|(name, _)| *name != "test-kernels");
    let missing: Vec<_> = targets.filter(|(name, _)| !tiers.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(tiers.matches("test-").count() > 8, "{tiers}");
}

/// The kernels of `testvm` are those that `make test-kernels` takes, and each has a column.
#[test]
fn the_kernels_are_the_same_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let source = read("tools/testvm/src/kernel.rs");
    let names = source.split("#[value(name = \"").skip(1);
    let kernels: Vec<_> = names.map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(kernels.len() >= 3, "{kernels:?}");

    let makefile = read("Makefile");
    let line = format!("KERNELS := {}", kernels.join(" "));
    assert!(makefile.lines().any(|other| other == line), "{line}");
    let head = format!("| since Linux | {} | test |", kernels.join(" | "));
    assert_eq!(read("docs/kernels.md").matches(&head).count(), 2, "{head}");
}

/// docs/fuzzing.md has the ledger and its sum, and no target is missing there.
#[test]
fn the_executions_of_fuzzing_add_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let ledger = read("fuzz/executions.tsv");
    let (head, rows) = ledger.split_once('\n').unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split('\t').collect()).collect();
    let sum: u64 = rows.iter().map(|row| row[2].parse::<u64>().unwrap()).sum();

    let mut expected = vec![format!("| {} |", head.replace('\t', " | "))];
    expected.push("|---|---|---|---|---|---|---|".to_owned());
    expected.extend(rows.iter().map(|row| format!("| {} |", row.join(" | "))));
    expected.push(format!("| all | | {sum} | | | | |"));
    let document = read("docs/fuzzing.md");
    let table = document.lines().filter(|line| line.starts_with('|'));
    let table: Vec<String> = table.map(|line| line.replace([',', '`'], "")).collect();
    assert_eq!(table, expected);

    let targets = fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap();
    let targets: BTreeSet<String> = targets
        .map(|entry| entry.unwrap().path().with_extension(""))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let run: BTreeSet<String> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(run, targets);
}

/// What is run is added to what was run before with the same sanitizer, and the document follows.
#[test]
fn a_run_of_a_fuzz_target_is_added() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let (script, ledger, document) = (
        "tools/scripts/fuzz-ledger.sh",
        folder.path().join("fuzz/executions.tsv"),
        folder.path().join("docs/fuzzing.md"),
    );
    for name in ["tools/scripts", "fuzz", "docs"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    fs::copy(root.join(script), folder.path().join(script)).unwrap();
    fs::write(&ledger, "the head\nverify\tnone\t7\t8\t9\tonce\tc0\n").unwrap();
    fs::write(&document, "before\n\n| target | …\n| all | …\n\nafter\n").unwrap();
    for run in [
        "disk none 999000 10 5 c1",
        "disk none 1000 12 6 c2",
        "disk address 1 11 4 c3",
    ] {
        let mut script = Command::new(folder.path().join(script));
        assert!(script.args(run.split(' ')).status().unwrap().success());
    }

    let ledger = fs::read_to_string(ledger).unwrap();
    let rows: Vec<Vec<&str>> = ledger
        .lines()
        .map(|row| row.split('\t').collect())
        .collect();
    let date = rows[1][5];
    assert_eq!(date.len(), "2026-01-31".len());
    let expected = [
        vec!["the head"],
        vec!["disk", "address", "1", "11", "4", date, "c3"],
        vec!["disk", "none", "1000000", "12", "6", date, "c2"],
        vec!["verify", "none", "7", "8", "9", "once", "c0"],
    ];
    assert_eq!(rows, expected);
    let document = fs::read_to_string(document).unwrap();
    assert!(
        document.starts_with("before\n\n| target | sanitizer |"),
        "{document}"
    );
    let row = format!("\n| `disk` | none | 1,000,000 | 12 | 6 | {date} | c2 |\n");
    assert!(document.contains(&row), "{document}");
    assert!(
        document.ends_with("\n| all | | 1,000,008 | | | | |\n\nafter\n"),
        "{document}"
    );
}
