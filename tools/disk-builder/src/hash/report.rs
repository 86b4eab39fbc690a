//! What `hash` prints.

use std::fmt;

use disk_mounter::verity::RootHash;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Plan;

/// A tree that has been made. As text it has the labels of `veritysetup format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashReport {
    /// The tree and its place.
    pub plan: Plan,
    /// Its top.
    pub root_hash: RootHash,
    /// The UUID, where there is a superblock.
    pub uuid: Option<Uuid>,
}

impl HashReport {
    /// As a JSON object. Numbers are bytes or counts.
    pub fn to_json(&self) -> Value {
        let params = &self.plan.params;
        json!({
            "root_hash": self.root_hash.to_string(),
            "hash_type": 1,
            "data_blocks": params.data_blocks(),
            "data_block_size": params.data_block_size().get(),
            "hash_blocks": self.plan.layout.blocks(),
            "hash_block_size": params.hash_block_size().get(),
            "hash_offset": self.plan.area.offset(),
            "hash_algorithm": params.algorithm().name(),
            "salt": params.salt().to_string(),
            "uuid": self.uuid.map(|uuid| uuid.to_string()),
        })
    }
}

impl fmt::Display for HashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = &self.plan.params;
        let uuid = self.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        writeln!(f, "UUID:            \t{uuid}")?;
        writeln!(f, "Hash type:       \t1")?;
        writeln!(f, "Data blocks:     \t{}", params.data_blocks())?;
        writeln!(f, "Data block size: \t{}", params.data_block_size())?;
        writeln!(f, "Hash blocks:     \t{}", self.plan.layout.blocks())?;
        writeln!(f, "Hash block size: \t{}", params.hash_block_size())?;
        writeln!(f, "Hash algorithm:  \t{}", params.algorithm())?;
        writeln!(f, "Salt:            \t{}", params.salt())?;
        writeln!(f, "Root hash:      \t{}", self.root_hash)
    }
}
