//! The kinds that CustomResourceDefinitions bring. They go the way of all kinds; what a definition says about one is in its row.
//!
//! [`definition`] turns a CustomResourceDefinition into rows of the registry, one for each served version. [`CustomKind`] is what
//! such a row has beside a built-in one: schemas, columns, the paths of its scale. `strategy` has the rules of its objects, `load`
//! is the way from and to what is stored, `converter` is the webhook that some versions are converted by, [`rules`] are rules in CEL.
//!
//! Objects in flight are in the version of the request and are stored in the storage version. Without conversion the two differ
//! in `apiVersion` and in what their schemas know.

mod converter;
mod definition;
mod kept;
mod load;
mod numbers;
pub(crate) mod rules;
mod scale;
mod strategy;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use api::gvk::GroupVersionKind;
use api::schema::SchemaSet;
use api::structural::{Structural, Validator, types};
use api::table::CustomColumn;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use converter::Converter;
pub use definition::Definition;
use kept::Kept;
pub use scale::{Member, ScalePaths};

/// What all versions of a definition share.
pub struct Common {
    /// The version in which objects are stored.
    storage_version: String,
    /// Of all versions, also of those that are not served any more.
    schemas: BTreeMap<String, Structural>,
    /// The webhook that converts versions; without one they differ by name alone.
    converter: Option<Converter>,
    /// Objects written after this revision are as the schemas want them.
    settled: u64,
    terminating: AtomicBool,
    /// These rows are not the definition's any more.
    replaced: CancellationToken,
}

/// A custom resource in one version.
pub struct CustomKind {
    gvk: GroupVersionKind,
    common: Arc<Common>,
    types: OnceLock<SchemaSet>,
    validator: OnceLock<Validator>,
    rules: OnceLock<Option<rules::Rules>>,
    columns: Vec<CustomColumn>,
    deprecation: Option<String>,
    scale: Option<ScalePaths>,
    /// `openAPIV3Schema`, for documents.
    schema: Value,
    /// What the webhook has converted into this version.
    kept: Mutex<Kept>,
}

impl CustomKind {
    pub fn gvk(&self) -> &GroupVersionKind {
        &self.gvk
    }

    /// Made when it is first asked for, as the validator: most kinds of most operators are never written to.
    pub fn types(&self) -> &SchemaSet {
        self.types.get_or_init(|| types::schema_set(&self.gvk, self.structural()))
    }

    fn validator(&self) -> &Validator {
        self.validator.get_or_init(|| Validator::new(&self.schema))
    }

    /// `None` when the schema has no rules.
    fn rules(&self) -> Option<&rules::Rules> {
        self.rules.get_or_init(|| rules::Rules::read(&self.schema)).as_ref()
    }

    pub fn columns(&self) -> &[CustomColumn] {
        &self.columns
    }

    /// What a `Warning` header says to everybody who uses this version.
    pub fn deprecation(&self) -> Option<&str> {
        self.deprecation.as_deref()
    }

    pub fn scale(&self) -> Option<&ScalePaths> {
        self.scale.as_ref()
    }

    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The definition is being deleted: nothing new may be created.
    pub fn is_terminating(&self) -> bool {
        self.common.terminating.load(Ordering::Acquire)
    }

    /// Ends when the definition says something else about the kind, or is gone.
    pub async fn replaced(&self) {
        self.common.replaced.cancelled().await;
    }

    /// Whether the definition names a version, served or not.
    pub fn has_version(&self, version: &str) -> bool {
        self.common.schemas.contains_key(version)
    }

    fn structural(&self) -> &Structural {
        static OPEN: LazyLock<Structural> = LazyLock::new(Structural::default);
        self.common.schemas.get(&self.gvk.version).unwrap_or(&OPEN)
    }
}
