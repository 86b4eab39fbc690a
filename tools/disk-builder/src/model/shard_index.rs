//! The index of a model that is split into several files, as `*.index.json`: a JSON object whose
//! member `weight_map` has the name of the file for each tensor.

use std::{
    collections::BTreeSet,
    fmt,
    io::{BufReader, Read},
};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

/// How the names of these files end.
pub(super) const INDEX_END: &[u8] = b".index.json";

/// The most names that are kept: an index that names more files which are not there says the same.
const MAX_MISSING: usize = 10_000;

/// A larger one is not read. That of a trillion parameters has some ten MiB.
pub(super) const MAX_INDEX_BYTES: u64 = 256 << 20;

/// The files that an index names, without those that are there, in order. None where it is an
/// index of something else.
pub(super) fn missing(
    index: impl Read,
    is_there: impl Fn(&str) -> bool,
) -> Result<Vec<String>, serde_json::Error> {
    let mut missing = BTreeSet::new();
    let mut reader = serde_json::Deserializer::from_reader(BufReader::new(index));
    let read = Index(Shards {
        is_there: &is_there,
        missing: &mut missing,
    })
    .deserialize(&mut reader)
    .and_then(|()| reader.end());
    match read {
        Err(error) if !error.is_data() => Err(error),
        // It may be about anything.
        _ => Ok(missing.into_iter().collect()),
    }
}

/// The whole object.
struct Index<'a, F>(Shards<'a, F>);

/// The member with the names.
struct Shards<'a, F> {
    is_there: &'a F,
    missing: &'a mut BTreeSet<String>,
}

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for Index<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Index<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index of shards")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "weight_map" {
                map.next_value_seed(&mut self.0)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for &mut Shards<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for &mut Shards<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the files of the tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Tensors of one file mostly come one after the other.
        let mut last = String::new();
        while let Some(_tensor) = map.next_key::<IgnoredAny>()? {
            let name = map.next_value::<String>()?;
            if name != last {
                if self.missing.len() < MAX_MISSING && !(self.is_there)(&name) {
                    self.missing.insert(name.clone());
                }
                last = name;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_in(text: &str) -> Result<Vec<String>, serde_json::Error> {
        missing(text.as_bytes(), |name| name == "there")
    }

    #[test]
    fn each_name_once() {
        let text = r#"{"metadata": {"total_size": 7}, "weight_map": {
            "a": "there", "b": "2", "c": "2", "d": "there", "e": "1", "f": "2"}}"#;
        assert_eq!(missing_in(text).unwrap(), ["1", "2"]);
    }

    #[test]
    fn about_something_else() {
        for text in [
            "{}",
            "[1, 2]",
            r#"{"weight_map": 3}"#,
            r#"{"weight_map": {"a": 1}}"#,
        ] {
            assert_eq!(missing_in(text).unwrap(), [""; 0], "{text}");
        }
    }

    #[test]
    fn cut_off() {
        for text in [
            "",
            "{",
            r#"{"weight_map": {"a": "there", "#,
            "{} x",
            "version https",
        ] {
            missing_in(text).unwrap_err();
        }
    }

    #[test]
    fn no_more_names_than_that() {
        let names = (0..MAX_MISSING + 5).map(|number| format!("\"t{number}\": \"{number}\""));
        let text = format!(
            "{{\"weight_map\": {{{}}}}}",
            Vec::from_iter(names).join(",")
        );
        assert_eq!(missing_in(&text).unwrap().len(), MAX_MISSING);
    }
}
