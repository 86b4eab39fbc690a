//! A manifest in the hands of a parser. It may be hostile: nothing of it is kept that grows with its
//! length, and what nobody asks for is passed over.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::MapAccessDeserializer,
    },
};

use super::DiskSummary;
use crate::ModelFile;

/// Reads the schema and what stands there of the disk. Each of the files is handed over as soon as it
/// is read.
pub(super) struct ReadFields<'v>(pub(super) &'v mut dyn FnMut(ModelFile));

impl<'de> DeserializeSeed<'de> for ReadFields<'_> {
    type Value = (u32, DiskSummary);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadFields<'_> {
    type Value = (u32, DiskSummary);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut fields = FieldsOfDisk {
            map,
            visit: self.0,
            schema: None,
            has_files: false,
        };
        let disk = DiskSummary::deserialize(MapAccessDeserializer::new(&mut fields))?;
        let schema = fields.schema.ok_or(A::Error::missing_field("schema"))?;
        if !fields.has_files {
            return Err(A::Error::missing_field("files"));
        }
        Ok((schema, disk))
    }
}

/// The members of the object but for those that are no fields of a [`DiskSummary`] and are read.
struct FieldsOfDisk<'v, A> {
    map: A,
    visit: &'v mut dyn FnMut(ModelFile),
    schema: Option<u32>,
    has_files: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for FieldsOfDisk<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            match key.as_str() {
                "schema" if self.schema.is_some() => {
                    return Err(A::Error::duplicate_field("schema"));
                }
                "schema" => self.schema = Some(self.map.next_value()?),
                "files" if self.has_files => return Err(A::Error::duplicate_field("files")),
                "files" => {
                    self.has_files = true;
                    self.map.next_value_seed(EachFile(self.visit))?;
                }
                _ => return seed.deserialize(key.into_deserializer()).map(Some),
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// Hands over each file of a list.
struct EachFile<'v>(&'v mut dyn FnMut(ModelFile));

impl<'de> DeserializeSeed<'de> for EachFile<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EachFile<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut files: A) -> Result<(), A::Error> {
        while let Some(file) = files.next_element()? {
            (self.0)(file);
        }
        Ok(())
    }
}
