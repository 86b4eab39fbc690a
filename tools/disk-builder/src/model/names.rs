//! What the name of a file tells of it. No I/O.

/// Directories that tools keep beside what they download. Those at the top that are left out always
/// do not come here.
const TOOL_DIRECTORIES: [&[u8]; 4] = [b".huggingface", b"._____temp", b".git", b".locks"];

/// How the names of files end that are not all there yet: of the hub's own client, of browsers,
/// curl, wget and aria2.
const PARTIAL_ENDS: [&[u8]; 6] = [
    b".incomplete",
    b".part",
    b".partial",
    b".crdownload",
    b".download",
    b".aria2",
];

/// Whole names of files with secrets: tokens of hubs, clouds, registries and Git.
const SECRET_NAMES: [&[u8]; 10] = [
    b".env",
    b".netrc",
    b".npmrc",
    b".pypirc",
    b".git-credentials",
    b".dockerconfigjson",
    b"credentials",
    b"kubeconfig",
    b"stored_tokens",
    b"token",
];

/// How names of private keys end.
const SECRET_ENDS: [&[u8]; 4] = [b".pem", b".key", b".p12", b".pfx"];

/// What is told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameSign {
    /// A download left it behind.
    Leftover,
    /// It looks like a secret.
    Secret,
}

impl NameSign {
    /// That of a file with this path in the model, one of those `names` after the other.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut last: &[u8] = b"";
        for name in names {
            if TOOL_DIRECTORIES.contains(&last) {
                return Some(Self::Leftover);
            }
            last = name;
        }
        let ends = |with: &[&[u8]]| with.iter().any(|end| last.ends_with(end));
        if ends(&PARTIAL_ENDS) {
            Some(Self::Leftover)
        } else if SECRET_NAMES.contains(&last)
            || ends(&SECRET_ENDS)
            || last.starts_with(b".env.")
            || is_ssh_key(last)
        {
            Some(Self::Secret)
        } else {
            None
        }
    }
}

/// As ssh-keygen(1) names private keys; public ones and tables of identifiers have a `.`.
fn is_ssh_key(name: &[u8]) -> bool {
    name.starts_with(b"id_") && !name.contains(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(path: &str) -> Option<NameSign> {
        NameSign::of(path.split('/').map(str::as_bytes))
    }

    #[test]
    fn leftovers() {
        for path in [
            "model.safetensors.incomplete",
            "a/b.part",
            "x.crdownload",
            "x.aria2",
            ".huggingface/download/x.metadata",
            "a/.git/config",
            "._____temp/model.bin",
            // A secret of no use.
            "key.pem.part",
        ] {
            assert_eq!(sign(path), Some(NameSign::Leftover), "{path}");
        }
    }

    #[test]
    fn secrets() {
        for path in [
            ".env",
            "a/.env.local",
            "id_rsa",
            "id_ed25519",
            "ssh/id_work",
            "tls/server.pem",
            ".netrc",
            "token",
            "a/server.key",
        ] {
            assert_eq!(sign(path), Some(NameSign::Secret), "{path}");
        }
    }

    #[test]
    fn models() {
        for path in [
            "tokenizer.json",
            "token.json",
            "tokens",
            "id_rsa.pub",
            "id_to_label.json",
            "environment.yaml",
            ".gitattributes",
            "git/config",
            "part",
            "model.partial.safetensors",
            "pytorch_model-00001-of-00002.bin",
            "huggingface/x",
        ] {
            assert_eq!(sign(path), None, "{path}");
        }
    }
}
