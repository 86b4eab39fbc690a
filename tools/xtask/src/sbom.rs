//! The bill of materials of a program, as CycloneDX 1.5 in JSON.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cyclonedx_bom::{
    external_models::{date_time::DateTime, spdx::SpdxExpression, uri::Purl},
    models::{
        bom::{Bom, SpecVersion, UrnUuid},
        component::{Classification, Component, Components},
        dependency::{Dependencies, Dependency},
        hash::{Hash, HashAlgorithm, HashValue, Hashes},
        license::{LicenseChoice, Licenses},
        metadata::Metadata,
        property::{Properties, Property},
    },
    validation::Validate,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    crates::crates,
    date::Date,
    files,
    libraries::libraries,
    parts::{Key, LinkedPart, Parts},
};

/// The bill of a program's file, which was built for a target. The same sources, compiler and C
/// library give the same bill, to the byte.
pub(crate) fn bill(program: &Path, target: &str, date: Date) -> Result<String> {
    let name = program.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} names no program", program.display()))?;
    let digest = hex::encode(Sha256::digest(files::read(program)?));
    let (own, mut parts) = crates(name, target)?;
    let libraries = libraries()?;
    if let Some(first) = parts.get_mut(&own) {
        first.needs.extend(libraries.keys().cloned());
    }
    parts.extend(libraries);
    describe(&own, &parts, &digest, target, date)
}

/// The bill of what consists of parts, of which one is its own.
fn describe(own: &Key, parts: &Parts, digest: &str, target: &str, date: Date) -> Result<String> {
    let first = parts.get(own).context("a program has a crate of its own")?;
    let mut program = component(first, Classification::Application)?;
    program.hashes = Some(sha256(digest));
    let others = parts.iter().filter(|(key, _)| *key != own);
    let components: Result<Vec<Component>> = others
        .map(|(_, part)| component(part, Classification::Library))
        .collect();
    let mut bill = Bom {
        spec_version: SpecVersion::V1_5,
        serial_number: None,
        metadata: Some(Metadata {
            timestamp: Some(DateTime::try_from(date.iso()?)?),
            component: Some(program),
            properties: Some(Properties(vec![Property::new("target", target)])),
            ..Metadata::default()
        }),
        components: Some(Components(components?)),
        dependencies: Some(Dependencies(dependencies(parts))),
        ..Bom::default()
    };
    // Every bill has a number of its own; this one's follows from what it says.
    let number = Uuid::new_v5(&Uuid::NAMESPACE_URL, json(&bill)?.as_bytes());
    bill.serial_number = Some(UrnUuid::from(number));
    let valid = bill.validate_version(SpecVersion::V1_5);
    if !valid.passed() {
        bail!("the bill of materials is not valid: {valid:?}");
    }
    json(&bill)
}

fn component(part: &LinkedPart, kind: Classification) -> Result<Component> {
    let license = SpdxExpression::try_from(part.license.clone())
        .with_context(|| format!("the license of {} {}", part.name, part.version))?;
    let reference = Some(part.purl.clone());
    let mut described = Component::new(kind, &part.name, &part.version, reference);
    described.licenses = Some(Licenses(vec![LicenseChoice::Expression(license)]));
    described.purl = part.purl.parse::<Purl>().ok();
    described.hashes = part.sha256.as_deref().map(sha256);
    Ok(described)
}

fn sha256(digest: &str) -> Hashes {
    Hashes(vec![Hash {
        alg: HashAlgorithm::SHA_256,
        content: HashValue(digest.into()),
    }])
}

/// What each part uses itself.
fn dependencies(parts: &Parts) -> Vec<Dependency> {
    let dependencies = |part: &LinkedPart| {
        let needs = part.needs.iter().filter_map(|need| parts.get(need));
        let mut needs: Vec<String> = needs.map(|need| need.purl.clone()).collect();
        needs.sort();
        Dependency {
            dependency_ref: part.purl.clone(),
            dependencies: needs,
        }
    };
    parts.values().map(dependencies).collect()
}

fn json(bill: &Bom) -> Result<String> {
    let mut text = Vec::new();
    bill.clone().output_as_json_v1_5(&mut text)?;
    Ok(String::from_utf8(text)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn part(name: &str, sha256: Option<&str>, needs: &[Key]) -> LinkedPart {
        LinkedPart {
            name: name.into(),
            version: "1.0.0".into(),
            license: "MIT OR Apache-2.0".into(),
            purl: format!("pkg:cargo/{name}@1.0.0"),
            sha256: sha256.map(str::to_owned),
            texts: Vec::new(),
            needs: needs.iter().cloned().collect::<BTreeSet<_>>(),
        }
    }

    #[test]
    fn a_bill_says_what_is_linked_and_what_needs_it() {
        let (digest, checksum) = ("a".repeat(64), "b".repeat(64));
        let crypto = part("crypto", Some(&checksum), &[]);
        let program = part("program", None, &[crypto.key()]);
        let own = program.key();
        let parts: Parts = [program, crypto].map(|part| (part.key(), part)).into();
        let date = Date::or_1970().unwrap();
        let describe = || describe(&own, &parts, &digest, "some-target", date).unwrap();
        let text = describe();
        assert_eq!(text, describe());

        let bill: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bill["specVersion"], "1.5");
        assert_eq!(
            bill["metadata"]["component"]["hashes"][0]["content"],
            digest
        );
        assert_eq!(bill["metadata"]["properties"][0]["value"], "some-target");
        let components = bill["components"].as_array().unwrap();
        let [component] = components.as_slice() else {
            panic!("{components:?}");
        };
        assert_eq!(component["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(component["hashes"][0]["content"], checksum);
        let needs = json!([
            {"ref": "pkg:cargo/crypto@1.0.0"},
            {"ref": "pkg:cargo/program@1.0.0", "dependsOn": ["pkg:cargo/crypto@1.0.0"]},
        ]);
        assert_eq!(bill["dependencies"][1], needs[1]);
        assert_eq!(bill["dependencies"][0]["ref"], needs[0]["ref"]);
    }
}
