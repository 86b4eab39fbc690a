//! What `hash` prints.

use std::fmt;

use dm_verity::RootHash;
use model_disk::VeritysetupFields;
use serde_json::Value;
use uuid::Uuid;

use super::TreePlan;

/// A tree that has been made. As text it has the labels of `veritysetup format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashReport {
    /// The tree and its place.
    pub plan: TreePlan,
    /// Its top.
    pub root_hash: RootHash,
    /// The UUID, where there is a superblock.
    pub uuid: Option<Uuid>,
}

impl HashReport {
    /// As a JSON object. Numbers are bytes or counts.
    pub fn to_json(&self) -> Value {
        let mut fields = self.fields().to_json();
        fields.insert("root_hash".to_owned(), self.root_hash.to_string().into());
        fields.insert("hash_offset".to_owned(), self.plan.area.offset().into());
        fields.into()
    }

    fn fields(&self) -> VeritysetupFields<'_> {
        VeritysetupFields::new(&self.plan.params, self.uuid)
    }
}

impl fmt::Display for HashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fields())?;
        writeln!(f, "Root hash:      \t{}", self.root_hash)
    }
}
