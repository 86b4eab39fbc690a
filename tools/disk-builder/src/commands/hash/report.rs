//! What `hash` prints.

use std::fmt;

use dm_verity::RootHash;
use model_disk::VeritysetupFields;
use serde_json::Value;
use uuid::Uuid;

use super::TreePlan;
#[cfg(feature = "hub")]
use crate::remote::RemoteReport;

/// A tree that has been made. As text it has the labels of `veritysetup format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashReport {
    /// The tree and its place.
    pub plan: TreePlan,
    /// Its top.
    pub root_hash: RootHash,
    /// The UUID, where there is a superblock.
    pub uuid: Option<Uuid>,
    /// What `build` shares with the model; none of `hash`.
    pub reflinks: Option<Reflinks>,
    /// What `build` has fetched, where the model is not on this machine.
    #[cfg(feature = "hub")]
    pub remote: Option<RemoteReport>,
}

/// Blocks of a disk that are blocks of the model's files too, and take no space of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reflinks {
    /// How many bytes are shared.
    pub bytes: u64,
    /// Why the other large files were copied, where some were.
    pub refused: Option<String>,
}

impl HashReport {
    /// As a JSON object. Numbers are bytes or counts. `not_reflinked` is the reason, or null.
    pub fn to_json(&self) -> Value {
        let mut fields = self.fields().to_json();
        fields.insert("root_hash".to_owned(), self.root_hash.to_string().into());
        fields.insert("hash_offset".to_owned(), self.plan.area.offset().into());
        if let Some(fec) = &self.plan.fec {
            fields.insert("fec_offset".to_owned(), fec.area.offset().into());
        }
        if let Some(reflinks) = &self.reflinks {
            fields.insert("reflinked_bytes".to_owned(), reflinks.bytes.into());
            fields.insert("not_reflinked".to_owned(), reflinks.refused.clone().into());
        }
        #[cfg(feature = "hub")]
        if let Some(remote) = &self.remote {
            remote.add_to(&mut fields);
        }
        fields.into()
    }

    fn fields(&self) -> VeritysetupFields<'_> {
        let fec = self.plan.fec.as_ref();
        let fields = VeritysetupFields::new(&self.plan.params, self.uuid);
        fec.map_or(fields, |fec| fields.with_fec(&fec.layout))
    }
}

impl fmt::Display for HashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fields())?;
        writeln!(f, "Root hash:      \t{}", self.root_hash)
    }
}
