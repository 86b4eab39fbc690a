//! The provenance of a release: what was made, and from what, as a statement of in-toto with SLSA's
//! predicate. Nothing in it depends on the time or the machine.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    child::{command, text},
    date::{Date, VARIABLE},
    files::read,
    libraries::libraries,
    revision::Revision,
    source,
};

/// Who makes a release when nobody is named.
pub(crate) const UNNAMED_BUILDER: &str = "urn:disk-mounter:builder:unnamed";
/// What docs/packaging.md describes.
const BUILD_TYPE: &str = "urn:disk-mounter:make-dist:1";

/// The name of a file and its SHA-256.
pub(crate) type FileDigest = (String, String);

/// Says of files that they were made from a revision of the sources for a target, by a builder.
pub(crate) fn statement(
    files: &[FileDigest],
    target: &str,
    revision: &Revision,
    builder: &str,
) -> Result<String> {
    ensure!(
        builder.contains(':'),
        "a builder is named by a URI, not by {builder}"
    );
    let mut resources = vec![revision.resource()];
    let lock = read(&source::root()?.join("Cargo.lock"))?;
    resources.push(json!({
        "name": "Cargo.lock",
        "uri": "urn:disk-mounter:sources:Cargo.lock",
        "digest": {"sha256": hex::encode(Sha256::digest(lock))},
    }));
    let compiler = text(&mut command("rustc", ["--version"]))?;
    resources.extend(libraries()?.values().map(|library| {
        let mut resource = json!({"name": library.name, "uri": library.purl});
        if library.purl.starts_with("pkg:generic/rust") {
            resource["annotations"] = json!({"compiler": compiler.trim()});
        }
        resource
    }));
    let statement = describe(
        files,
        target,
        resources,
        builder,
        &Date::of_the_sources()?.epoch(),
    );
    Ok(serde_json::to_string_pretty(&statement)? + "\n")
}

fn describe(
    files: &[FileDigest],
    target: &str,
    resources: Vec<Value>,
    builder: &str,
    epoch: &str,
) -> Value {
    let subject = |(name, digest): &FileDigest| json!({"name": name, "digest": {"sha256": digest}});
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": files.iter().map(subject).collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": "make dist", "target": target},
                "internalParameters": {VARIABLE: epoch},
                "resolvedDependencies": resources,
            },
            "runDetails": {"builder": {"id": builder}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_what_was_made_and_by_whom() {
        let files = [("file".to_owned(), "ab".to_owned())];
        let statement = describe(&files, "some-target", vec![json!(1)], "urn:someone", "0");
        assert_eq!(
            statement["subject"],
            json!([{"name": "file", "digest": {"sha256": "ab"}}])
        );
        let definition = &statement["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["target"], "some-target");
        assert_eq!(definition["resolvedDependencies"], json!([1]));
        let run = json!({"builder": {"id": "urn:someone"}});
        assert_eq!(statement["predicate"]["runDetails"], run);
    }
}
