//! A tree in the words of `veritysetup format` and `veritysetup dump`.

use std::fmt;

use serde_json::{Map, Value, json};

use dm_verity::{Superblock, TreeLayout, VerityParams, fec::FecLayout};

/// Parameters of a tree and its UUID as `LABEL: TAB VALUE` lines, so that scripts written for
/// `veritysetup` can read them, or as the fields of a JSON object.
#[derive(Clone, Copy, Debug)]
pub struct VeritysetupFields<'a> {
    params: &'a VerityParams,
    uuid: Option<::uuid::Uuid>,
    fec: Option<&'a FecLayout>,
}

impl<'a> VeritysetupFields<'a> {
    /// Those of a tree; without a superblock it has no UUID.
    pub fn new(params: &'a VerityParams, uuid: Option<::uuid::Uuid>) -> Self {
        Self {
            params,
            uuid,
            fec: None,
        }
    }

    /// The same with what covers the tree.
    #[must_use]
    pub fn with_fec(self, layout: &'a FecLayout) -> Self {
        Self {
            fec: Some(layout),
            ..self
        }
    }

    /// The fields of a JSON object. Numbers are bytes or counts.
    pub fn to_json(&self) -> Map<String, Value> {
        let params = self.params;
        let fields = [
            ("uuid", json!(self.uuid.map(|uuid| uuid.to_string()))),
            ("hash_type", json!(1)),
            ("data_blocks", json!(params.data_blocks())),
            ("data_block_size", json!(params.data_block_size().get())),
            ("hash_blocks", json!(TreeLayout::new(params).blocks())),
            ("hash_block_size", json!(params.hash_block_size().get())),
            ("hash_algorithm", json!(params.algorithm().name())),
            ("salt", json!(params.salt().to_string())),
        ];
        let fec = self.fec.map(|fec| {
            [
                ("fec_roots", json!(fec.roots().get())),
                ("fec_blocks", json!(fec.parity_blocks())),
            ]
        });
        let fields = fields.into_iter().chain(fec.into_iter().flatten());
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

impl<'a> From<&'a Superblock> for VeritysetupFields<'a> {
    fn from(superblock: &'a Superblock) -> Self {
        Self::new(&superblock.params, Some(superblock.uuid))
    }
}

/// Eight lines, and two of FEC.
impl fmt::Display for VeritysetupFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.params;
        let uuid = self.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        writeln!(f, "UUID:            \t{uuid}")?;
        writeln!(f, "Hash type:       \t1")?;
        writeln!(f, "Data blocks:     \t{}", params.data_blocks())?;
        writeln!(f, "Data block size: \t{}", params.data_block_size())?;
        writeln!(f, "Hash blocks:     \t{}", TreeLayout::new(params).blocks())?;
        writeln!(f, "Hash block size: \t{}", params.hash_block_size())?;
        writeln!(f, "Hash algorithm:  \t{}", params.algorithm())?;
        if let Some(fec) = self.fec {
            writeln!(f, "FEC RS roots:   \t{}", fec.roots())?;
            writeln!(f, "FEC blocks:     \t{}", fec.parity_blocks())?;
        }
        writeln!(f, "Salt:            \t{}", params.salt())
    }
}
