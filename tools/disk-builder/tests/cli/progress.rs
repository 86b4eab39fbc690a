//! What a terminal shows of the work.

use std::process::Command;

use crate::{
    model_dir::model,
    program::{Ended, WorkFolder},
};

/// Runs `disk-builder` at a terminal; what it prints and says comes in one stream.
fn at_a_terminal(place: &WorkFolder, arguments: &str) -> String {
    let program = env!("CARGO_BIN_EXE_disk-builder");
    let output = Command::new("script")
        .args(["-qec", &format!("{program} {arguments}"), "/dev/null"])
        .current_dir(place.path(""))
        .output();
    Ended::of(output.expect("script is needed: install the package bsdutils")).ok()
}

#[test]
fn one_line_is_left() {
    let place = WorkFolder::new();
    model(&place, "model");
    let shown = at_a_terminal(&place, "build model --output disk");
    assert_eq!(shown.matches(" MiB in ").count(), 1, "{shown}");
    let quiet = at_a_terminal(&place, "build model --output quiet --quiet");
    assert!(quiet.starts_with("UUID: "), "{quiet}");
    let root = place.run("root-hash model").ok();
    let shown = at_a_terminal(&place, &format!("verify disk --root-hash {}", root.trim()));
    assert_eq!(shown.matches(" MiB in ").count(), 1, "{shown}");
}

#[test]
fn nothing_without_a_terminal() {
    let place = WorkFolder::new();
    model(&place, "model");
    let ended = place.run("build model --output disk");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}
