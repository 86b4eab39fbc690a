//! Words for a shell.

/// A word that a POSIX shell reads back as exactly these bytes. They may be any
/// but NUL, which no argument can hold.
pub(crate) fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word {
        match byte {
            // Nothing can stand for a quote between quotes: leave them for it.
            b'\'' => quoted.extend_from_slice(br"'\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    /// What a shell makes of the quoted words, each with a NUL after it.
    fn read_back(words: &[Vec<u8>]) -> Vec<u8> {
        let mut shell = Command::new("sh")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut script = b"printf '%s\\0'".to_vec();
        for word in words {
            script.push(b' ');
            script.extend(quote(word));
        }
        script.push(b'\n');
        shell.stdin.take().unwrap().write_all(&script).unwrap();
        shell.wait_with_output().unwrap().stdout
    }

    fn expected(words: &[Vec<u8>]) -> Vec<u8> {
        words
            .iter()
            .flat_map(|w| [w, &b"\0"[..]].concat())
            .collect()
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (1..=255).collect();
        let words = [all, vec![], b"''".to_vec(), b"\n\\'\"$(x)`x`*".to_vec()];
        assert_eq!(read_back(&words), expected(&words));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_words_come_back(words in prop::collection::vec(prop::collection::vec(1..=255u8, 0..20), 1..5)) {
            prop_assert_eq!(read_back(&words), expected(&words));
        }
    }
}
