//! The licences and notices of what is linked into programs.

use anyhow::Result;

use crate::{crates::crates, files, libraries::libraries, parts::LinkedPart};

/// What stands between two texts.
const RULE: &str =
    "================================================================================";

/// All of them, for programs that were built for a target.
pub(crate) fn notices(target: &str, programs: &[String]) -> Result<String> {
    let mut linked = libraries()?;
    for program in programs {
        let (_, parts) = crates(program, target)?;
        linked.extend(parts);
    }
    let others: Vec<&LinkedPart> = linked.values().filter(|part| !part.is_own()).collect();
    let mut lines = vec![
        format!(
            "What is linked into {}, besides this project's own work:",
            programs.join(" and ")
        ),
        String::new(),
    ];
    lines.extend(others.iter().map(|part| {
        let (name, version, license) = (&part.name, &part.version, &part.license);
        format!("    {name} {version}: {license}")
    }));
    for (text, titles) in texts(&others)? {
        lines.extend([String::new(), RULE.into()]);
        lines.extend(titles);
        lines.extend([RULE.into(), String::new(), text]);
    }
    Ok(lines.join("\n") + "\n")
}

/// Each text once, with all files that say it.
fn texts(linked: &[&LinkedPart]) -> Result<Vec<(String, Vec<String>)>> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for part in linked {
        for path in &part.texts {
            let text = plain(&files::read(path)?);
            let file = path.file_name().unwrap_or_default().display();
            let title = format!("{} {}: {file}", part.name, part.version);
            match found.iter_mut().find(|(known, _)| *known == text) {
                Some((_, titles)) => titles.push(title),
                None => found.push((text, vec![title])),
            }
        }
    }
    Ok(found)
}

/// A text as it is on Unix, whatever its author's system.
fn plain(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.replace("\r\n", "\n").replace('\r', "\n").trim().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_text_stands_once() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            files::put(&path, files::READABLE, content).unwrap();
            path
        };
        let texts_of = [
            vec![
                put("a/LICENSE", b"One\r\ntext\r\n"),
                put("a/NOTICE", b"\xff"),
            ],
            vec![put("b/COPYING", b"\nOne\ntext")],
        ];
        let [one, other] = texts_of.map(|texts| LinkedPart {
            name: "part".into(),
            version: texts.len().to_string(),
            license: String::new(),
            purl: String::new(),
            sha256: None,
            texts,
            needs: BTreeSet::new(),
        });
        let shared = vec!["part 2: LICENSE".into(), "part 1: COPYING".into()];
        let expected = [
            ("One\ntext".to_owned(), shared),
            ("\u{fffd}".to_owned(), vec!["part 2: NOTICE".into()]),
        ];
        assert_eq!(texts(&[&one, &other]).unwrap(), expected);
    }
}
