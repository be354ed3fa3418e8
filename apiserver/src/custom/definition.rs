//! A CustomResourceDefinition as rows.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use api::Object;
use api::discovery::compare_versions;
use api::gvk::GroupVersionKind;
use api::structural::{Structural, default};
use api::table::CustomColumn;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::strategy::CustomStrategy;
use super::{Common, Converter, CustomKind, Kept, ScalePaths};
use crate::registry::{Descriptor, Held, Selectable, row, version_hash};

/// One definition and its rows.
pub struct Definition {
    /// What the rows were made from: `spec` and `status.acceptedNames`.
    spec: Value,
    names: Value,
    common: Arc<Common>,
    /// One for each served version; none until the definition is established.
    pub rows: Vec<Arc<Descriptor>>,
    /// The resource's part of keys.
    pub storage: String,
    /// Fields that objects can be selected by, in any version.
    pub selectable: Held<[Selectable]>,
}

impl Definition {
    /// The rows of a definition that was stored at `revision`; `None` when it is not served. When it says what `before` says,
    /// its rows stay.
    pub fn read(definition: &Object, revision: u64, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        if !condition(definition, "Established") {
            return None;
        }
        let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
        let made = match before {
            Some(before) if before.spec == *spec && before.names == *names => before.clone(),
            _ => Arc::new(Self::make(spec, names, revision)?),
        };
        made.common.terminating.store(condition(definition, "Terminating"), Ordering::Release);
        Some(made)
    }

    fn make(spec: &Value, names: &Value, revision: u64) -> Option<Self> {
        let versions = spec["versions"].as_array()?;
        let group = spec["group"].as_str()?;
        let storage_version = versions.iter().find(|version| version["storage"] == true)?["name"].as_str()?;
        let schemas =
            versions.iter().filter_map(|version| Some((version["name"].as_str()?.to_owned(), schema(version))));
        let common = Arc::new(Common {
            storage_version: storage_version.to_owned(),
            schemas: schemas.collect(),
            converter: Converter::read(&spec["conversion"]),
            settled: revision,
            terminating: AtomicBool::new(false),
            replaced: CancellationToken::new(),
        });
        let selectable: Arc<[Selectable]> = selectable(versions).into();
        let mut served: Vec<&Value> = versions.iter().filter(|version| version["served"] == true).collect();
        served.sort_by(|a, b| compare_versions(name(a), name(b)));
        let rows = served.into_iter().filter_map(|version| Reading { spec, names, version }.row(&common, &selectable));
        let (spec, names) = (spec.clone(), names.clone());
        let storage = format!("{group}/{}", names["plural"].as_str()?);
        Some(Self { spec, names, rows: rows.collect(), common, storage, selectable: Held::Shared(selectable) })
    }

    /// Watches of these rows end.
    pub fn replace(&self) {
        self.common.replaced.cancel();
    }
}

fn name(version: &Value) -> &str {
    version["name"].as_str().unwrap_or_default()
}

fn condition(definition: &Object, kind: &str) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn schema(version: &Value) -> Structural {
    let mut schema = Structural::read(&version["schema"]["openAPIV3Schema"]);
    default::prune_defaults(&mut schema);
    schema
}

/// The schema as documents have it, with the fields that can be selected by.
fn documented(version: &Value) -> Value {
    let mut schema = version["schema"]["openAPIV3Schema"].clone();
    let fields: Vec<Value> = paths(version).map(|path| json!({"fieldPath": path})).collect();
    if schema.is_object() && !fields.is_empty() {
        schema["x-kubernetes-selectable-fields"] = fields.into();
    }
    schema
}

/// Of all versions, each once; those of one parent stand together.
fn selectable(versions: &[Value]) -> Vec<Selectable> {
    let paths = versions.iter().flat_map(paths).collect::<std::collections::BTreeSet<String>>();
    let field =
        |path: String| Selectable { name: Cow::Owned(path.clone()), path: Cow::Owned(path), default: "", or: "" };
    paths.into_iter().map(field).collect()
}

fn paths(version: &Value) -> impl Iterator<Item = String> {
    let fields = version["selectableFields"].as_array().into_iter().flatten();
    fields.filter_map(|field| Some(field["jsonPath"].as_str()?.trim_start_matches('.').to_owned()))
}

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// One version of a definition.
struct Reading<'a> {
    spec: &'a Value,
    names: &'a Value,
    version: &'a Value,
}

impl Reading<'_> {
    fn row(&self, common: &Arc<Common>, selectable: &Arc<[Selectable]>) -> Option<Arc<Descriptor>> {
        let (names, version) = (self.names, self.version);
        let group = self.spec["group"].as_str()?;
        let (kind, plural) = (names["kind"].as_str()?, names["plural"].as_str()?);
        let gvk = GroupVersionKind::new(group, name(version), kind);
        let mut descriptor = row(group, name(version), kind, plural);
        let texts = |key: &str| {
            let texts = names[key].as_array().into_iter().flatten();
            texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let info = &mut descriptor.info;
        info.singular = names["singular"].as_str()?.to_owned();
        info.list_kind = names["listKind"].as_str()?.to_owned();
        info.short_names = texts("shortNames");
        info.categories = texts("categories");
        info.namespaced = self.spec["scope"] == "Namespaced";
        let stored = self.spec["versions"].as_array().into_iter().flatten().find(|version| version["storage"] == true);
        info.storage_version_hash = stored.map(|stored| version_hash(group, name(stored), kind));
        descriptor.generation = true;
        descriptor.unconditional_update = false;
        descriptor.selectable = Held::Shared(selectable.clone());
        let subresources = &version["subresources"];
        if subresources["scale"].is_object() {
            descriptor = descriptor.scale();
        }
        if subresources["status"].is_object() {
            descriptor = descriptor.status();
        }
        // Discovery tells them in another order than of what is built in (upstream).
        descriptor.info.verbs = VERBS.map(str::to_owned).to_vec();
        let columns = version["additionalPrinterColumns"].as_array().map(Vec::as_slice).unwrap_or_default();
        let custom = Arc::new(CustomKind {
            gvk,
            types: OnceLock::new(),
            validator: OnceLock::new(),
            rules: OnceLock::new(),
            common: common.clone(),
            // Upstream falls back to the default as well.
            columns: CustomColumn::from_crd(columns).or_else(|_| CustomColumn::from_crd(&[])).unwrap_or_default(),
            deprecation: self.deprecation(),
            scale: ScalePaths::read(&subresources["scale"]),
            schema: documented(version),
            kept: Mutex::new(Kept::default()),
        });
        descriptor.strategy = Held::Shared(Arc::new(CustomStrategy::new(custom.clone())));
        descriptor.custom = Some(custom);
        Some(Arc::new(descriptor))
    }

    fn deprecation(&self) -> Option<String> {
        if self.version["deprecated"] != true {
            return None;
        }
        if let Some(own) = self.version["deprecationWarning"].as_str() {
            return Some(own.to_owned());
        }
        let (group, kind) = (self.spec["group"].as_str()?, self.spec["names"]["kind"].as_str()?);
        let own = name(self.version);
        let versions = self.spec["versions"].as_array().into_iter().flatten();
        let better = versions
            .filter(|version| version["served"] == true && version["deprecated"] != true)
            .map(name)
            .filter(|version| compare_versions(version, own).is_lt())
            .min_by(|a, b| compare_versions(a, b));
        let instead = better.map(|version| format!("; use {group}/{version} {kind}")).unwrap_or_default();
        Some(format!("{group}/{own} {kind} is deprecated{instead}"))
    }
}
