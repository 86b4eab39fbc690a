//! The whole program on little data: the figures are worth nothing, but everything
//! has to work, and all programs have to agree.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use assert_cmd::assert::OutputAssertExt;
use serde_json::Value;

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bench"))
}

/// A program under test. Cargo puts it beside this package's own when it builds the
/// whole workspace; a test of this package alone has to make it.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name(name);
    if !path.exists() {
        let arguments = ["build", "--quiet", "--package", name];
        Command::new(env!("CARGO"))
            .args(arguments)
            .assert()
            .success();
    }
    path
}

#[test]
fn all_comparisons_run() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let json = directory.path().join("new/results.json");
    let output = bench()
        // The others are slow without optimisation.
        .env("DM_VERITY_SHA256_BACKEND", "portable")
        .args(["run", "--quick", "--size", "4M", "--rounds", "1", "--dir"])
        .arg(directory.path())
        .arg("--builder")
        .arg(program("disk-builder"))
        .arg("--mounter")
        .arg(program("disk-mounter"))
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");

    let table = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 17);
    for section in sections {
        let title = section["title"].as_str().unwrap();
        assert!(table.contains(&format!("### {title}\n")), "{table}");
        let ratios = section["ratios"].as_array().unwrap();
        // Who may not make filesystems is told so.
        let notes = section["notes"].to_string();
        assert!(
            !ratios.is_empty() || notes.contains("was not measured"),
            "{title}"
        );
        for ratio in ratios {
            assert!(ratio["ratio"].as_f64().unwrap() > 0.0, "{ratio}");
        }
    }
    // Nothing but the results is left.
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let shown = bench().arg("show").arg(&json).assert().success();
    assert_eq!(String::from_utf8_lossy(&shown.get_output().stdout), table);
}

#[test]
fn a_program_that_gets_it_wrong_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("disk-builder");
    let script = "#!/bin/sh\n: >\"$4\"\nprintf 'Root hash: \\t%064d\\n' 0\n";
    fs::write(&bad, script).unwrap();
    Command::new("chmod").arg("+x").arg(&bad).assert().success();
    let output = bench()
        .args([
            "run", "--only", "hash", "--size", "4M", "--rounds", "1", "--dir",
        ])
        .arg(directory.path())
        .arg("--builder")
        .arg(&bad)
        .arg("--mounter")
        .arg(&bad)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("one of them is wrong"), "{message}");
    assert!(output.stdout.is_empty(), "{message}");
}
