//! What is not there, not meant, or not for everybody.

use test_support::{
    http::HttpReply,
    hub::{COMMIT, MODEL},
};

use super::{HubPlace, files};

#[test]
fn what_is_not_there() {
    let place = HubPlace::new(&files());
    for (address, said) in [
        (
            "hf://org/other",
            "api/models/org/other/revision/main is not there (Repository not found)",
        ),
        (
            &format!("hf://{MODEL}@v9"),
            "revision/v9 is not there (Revision not found)",
        ),
    ] {
        place.run(&format!("root-hash {address}")).refused(4, said);
    }
    // Nobody answers.
    let mut nowhere = place.builder(&format!("root-hash hf://{MODEL}"));
    nowhere.env("HF_ENDPOINT", "http://127.0.0.1:1");
    let ended = crate::program::Ended::of(nowhere.output().unwrap());
    ended.refused(
        1,
        "cannot fetch http://127.0.0.1:1/api/models/org/model/revision/main: ",
    );
}

#[test]
fn what_is_not_for_everybody() {
    let place = HubPlace::faulty(&files(), |request, path, reply| {
        // The storage knows who asks by the address.
        let is_storage = request.target.contains("Signature");
        match (request.header("authorization"), path) {
            _ if is_storage => reply,
            (None, _) => HttpReply::bytes(401, "").with("X-Error-Message", "Who are you?"),
            (_, Some("config.json")) => {
                HttpReply::bytes(403, "").with("X-Error-Message", "You are not\ton the list")
            }
            _ => reply,
        }
    });
    let arguments = format!("build hf://{MODEL}@{COMMIT} --output disk");
    let said = "is for those who say who they are (Who are you?): set HF_TOKEN";
    place.run(&arguments).refused(6, said);
    let mut known = place.builder(&arguments);
    let ended = crate::program::Ended::of(known.env("HF_TOKEN", "hf_x").output().unwrap());
    ended.refused(
        6,
        "config.json is not for the owner of this token (You are not\\ton the list): accept",
    );
    assert_eq!(place.place.names(), ["model"]);
}

#[test]
fn nothing_is_fetched_where_that_is_said() {
    let place = HubPlace::new(&files());
    let mut offline = place.builder(&format!("root-hash hf://{MODEL}"));
    let ended = crate::program::Ended::of(offline.env("HF_HUB_OFFLINE", "1").output().unwrap());
    ended.refused(
        6,
        "HF_HUB_OFFLINE is set, so that hf://org/model@main is not fetched",
    );
    assert!(place.server.hub.requests().is_empty());
}

#[test]
fn what_is_not_meant() {
    let place = HubPlace::new(&files());
    for (arguments, said) in [
        ("root-hash hf://org", "is not there"),
        (
            "root-hash hf://a/b/c",
            "a model on the hub is hf://ORG/MODEL",
        ),
        (
            "root-hash hf://datasets/a/b",
            "no datasets, spaces, kernels or buckets",
        ),
        ("root-hash", "MODEL_DIR"),
        ("root-hash model --files-from list", "cannot be used with"),
    ] {
        let ended = place.run(arguments);
        assert!(ended.stderr.contains(said), "{ended:?}");
        let expected = if arguments.ends_with("org") { 4 } else { 2 };
        assert_eq!(ended.code, Some(expected), "{ended:?}");
    }
    place.place.write("list", b"https://x/a 5 abc\n");
    let list = place.run("root-hash --files-from list");
    list.refused(
        2,
        "line 1 of list is not URL BYTES SHA256 [PATH]: there is no SHA-256",
    );
    place
        .run("root-hash --files-from none")
        .refused(4, "cannot read none");
}

/// A hub that is not what it says must not lead anywhere.
#[test]
fn answers_of_no_use() {
    for (json, code, said) in [
        ("{", 1, "is answered with what is no description of a model"),
        (r#"{"sha": "../.."}"#, 1, "which is no commit"),
        (
            r#"{"sha": "1123456789abcdef0123456789abcdef01234567"}"#,
            3,
            "and not the one that was asked for",
        ),
    ] {
        let place = HubPlace::faulty(&files(), move |request, _, reply| {
            if request.target.contains("/revision/") {
                HttpReply::bytes(200, json)
            } else {
                reply
            }
        });
        place
            .run(&format!("root-hash hf://{MODEL}@{COMMIT}"))
            .refused(code, said);
    }
    for (json, said) in [
        (
            r#"[{"type": "file", "path": "../x", "size": 1, "oid": "ce013625030ba8dba906f756967f9e9ca394464a"}]"#,
            "cannot go onto a disk",
        ),
        (
            r#"[{"type": "file", "path": "x", "size": 1, "oid": "1"}]"#,
            "neither a SHA-256 nor a Git id",
        ),
        ("[]", "there is no file to put onto a disk"),
    ] {
        let place = HubPlace::faulty(&files(), move |request, _, reply| {
            if request.target.contains("/tree/") {
                HttpReply::bytes(200, json)
            } else {
                reply
            }
        });
        place
            .run(&format!("root-hash hf://{MODEL}@{COMMIT}"))
            .refused(1, said);
    }
}
