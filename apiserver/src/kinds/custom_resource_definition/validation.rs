//! What makes a CustomResourceDefinition invalid (`apis/apiextensions/validation`).
//!
//! Upstream checks the internal form, in which what all versions say alike stands at the top of the spec: paths in messages
//! are of that form.

use std::collections::BTreeSet;

use api::Object;
use api::field::{FieldError, Path};
use api::names;
use serde_json::Value;

use super::{conversion, schema, version};

/// `old` is the definition before an update.
pub(super) fn validate(definition: &Object, old: Option<&Object>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(spec(&Path::new("spec"), &definition["spec"], old));
    if let Some(old) = old {
        immutable(&definition["spec"], old, &mut errors);
    }
    errors.extend(status(definition));
    errors.extend(stored_versions(definition));
    errors.extend(approval(definition, old));
    if definition["spec"]["preserveUnknownFields"] == true {
        let path = Path::new("spec").child("preserveUnknownFields");
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&path, true, detail));
    }
    errors
}

/// What a definition must be called.
pub(super) fn name(definition: &Object) -> String {
    let spec = &definition["spec"];
    format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"))
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn spec(path: &Path, spec: &Value, old: Option<&Object>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let group = text(spec, "group");
    let wrong = names::dns1123_subdomain(group);
    let at = path.child("group");
    if group.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(&at, group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(&at, group, "should be a domain with at least one dot"));
    }
    match text(spec, "scope") {
        "Cluster" | "Namespaced" => {}
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        other => errors.push(FieldError::not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"])),
    }
    let versions = Versions::read(path, spec, old);
    errors.extend(versions.without_schema());
    if spec["preserveUnknownFields"] == true && versions.have_defaults() {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    versions.each(&mut errors);
    versions.together(path, &mut errors);
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], key).is_empty() {
            errors.push(FieldError::required(&path.child("names").child(key), ""));
        }
    }
    errors.extend(self::names(&path.child("names"), &spec["names"]));
    versions.shared(path, &mut errors);
    let strategy = text(&spec["conversion"], "strategy");
    if spec["preserveUnknownFields"] == true && strategy != "None" {
        let at = path.child("conversion").child("strategy");
        errors.push(FieldError::invalid(&at, strategy, "must be None if spec.preserveUnknownFields is true"));
    }
    errors.extend(conversion::validate(&path.child("conversion"), &spec["conversion"]));
    errors
}

/// The versions of a definition. What all of them say alike is checked once, after everything else.
struct Versions<'v> {
    path: Path,
    list: &'v Value,
    all: &'v [Value],
    old: Option<&'v Object>,
}

/// What versions may say alike, and what that is called where it is said once.
const SCHEMA: (&str, &str) = ("schema", "validation");
const SUBRESOURCES: (&str, &str) = ("subresources", "subresources");
const COLUMNS: (&str, &str) = ("additionalPrinterColumns", "additionalPrinterColumns");
const SELECTABLE: (&str, &str) = ("selectableFields", "selectableFields");

impl<'v> Versions<'v> {
    fn read(path: &Path, spec: &'v Value, old: Option<&'v Object>) -> Self {
        let all = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self { path: path.child("versions"), list: &spec["versions"], all, old }
    }

    fn is_shared(&self, (key, _): (&str, &str)) -> bool {
        self.all.iter().all(|version| version[key] == self.all[0][key])
    }

    fn without_schema(&self) -> impl Iterator<Item = FieldError> {
        let without =
            self.all.iter().enumerate().filter(|(_, version)| !version["schema"]["openAPIV3Schema"].is_object());
        without.map(|(index, _)| {
            FieldError::required(&self.path.index(index).child("schema").child("openAPIV3Schema"), "")
        })
    }

    fn have_defaults(&self) -> bool {
        let has_default = |schema: &Value| !schema["default"].is_null();
        self.all.iter().any(|version| schema::has(&version["schema"]["openAPIV3Schema"], &has_default))
    }

    fn each(&self, errors: &mut Vec<FieldError>) {
        for (index, version) in self.all.iter().enumerate() {
            let at = self.path.index(index);
            let name = text(version, "name");
            let wrong = names::dns1035_label(name);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&at.child("name"), name, wrong.join(",")));
            }
            errors.extend(version::deprecation(&at, version));
            if !self.is_shared(SCHEMA) {
                self.schema(&at.child("schema"), version, has_status(version), errors);
            }
            if !self.is_shared(SUBRESOURCES) {
                errors.extend(version::subresources(&at.child("subresources"), &version["subresources"]));
            }
            if !self.is_shared(COLUMNS) {
                let columns = &version["additionalPrinterColumns"];
                errors.extend(version::columns(&at.child("additionalPrinterColumns"), columns));
            }
            if !self.is_shared(SELECTABLE) && is_filled(&version["selectableFields"]) {
                if self.is_shared(SCHEMA) || !version["schema"]["openAPIV3Schema"].is_object() {
                    let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
                    errors.push(FieldError::invalid(&at.child(SELECTABLE.1), "", detail));
                } else {
                    errors.extend(selectable(&at, version));
                }
            }
        }
    }

    /// What they are beside one another. Upstream has the name of the first one at the top as well.
    fn together(&self, spec: &Path, errors: &mut Vec<FieldError>) {
        let shown = || self.list.clone();
        let seen: BTreeSet<&str> = self.all.iter().map(|version| text(version, "name")).collect();
        if seen.len() != self.all.len() {
            errors.push(FieldError::invalid(&self.path, shown(), "must contain unique version names"));
        }
        if self.all.iter().filter(|version| version["storage"] == true).count() != 1 {
            let detail = "must have exactly one version marked as storage version";
            errors.push(FieldError::invalid(&self.path, shown(), detail));
        }
        let first = self.all.first().map(|version| text(version, "name")).filter(|name| !name.is_empty());
        if let Some((first, wrong)) = first.map(|name| (name, names::dns1035_label(name)))
            && !wrong.is_empty()
        {
            errors.push(FieldError::invalid(&spec.child("version"), first, wrong.join(",")));
        }
    }

    /// What all say alike.
    fn shared(&self, path: &Path, errors: &mut Vec<FieldError>) {
        let Some(first) = self.all.first() else { return };
        if self.is_shared(SCHEMA) {
            let has_status = self.all.iter().any(has_status);
            self.schema(&path.child(SCHEMA.1), first, has_status, errors);
        }
        if self.is_shared(SUBRESOURCES) {
            errors.extend(version::subresources(&path.child(SUBRESOURCES.1), &first["subresources"]));
        }
        if self.is_shared(COLUMNS) {
            errors.extend(version::columns(&path.child(COLUMNS.1), &first["additionalPrinterColumns"]));
        }
        if self.is_shared(SELECTABLE) && is_filled(&first["selectableFields"]) {
            if self.is_shared(SCHEMA) && first["schema"].is_object() {
                errors.extend(selectable(path, first));
            } else {
                let detail = "may only be set when validations.schema is included";
                errors.push(FieldError::invalid(&path.child(SELECTABLE.1), "", detail));
            }
        }
    }

    fn schema(&self, path: &Path, version: &Value, has_status: bool, errors: &mut Vec<FieldError>) {
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_object() {
            let unchanged = self.old.is_some_and(|old| is_unchanged(version, old));
            errors.extend(schema::validate(path, schema, has_status, unchanged));
        }
    }
}

fn has_status(version: &Value) -> bool {
    version["subresources"]["status"].is_object()
}

fn is_filled(list: &Value) -> bool {
    list.as_array().is_some_and(|list| !list.is_empty())
}

/// `of` is what has the fields.
fn selectable(of: &Path, version: &Value) -> Vec<FieldError> {
    let schema = &version["schema"]["openAPIV3Schema"];
    let unreadable = schema::unreadable(schema);
    let unreadable = unreadable.map(|why| FieldError::invalid(&of.child("schema.openAPIV3Schema"), "", why));
    let mut errors: Vec<FieldError> = unreadable.into_iter().collect();
    errors.extend(version::selectable(&of.child(SELECTABLE.1), &version["selectableFields"], schema));
    errors
}

/// The schema of a version is as it was.
fn is_unchanged(version: &Value, old: &Object) -> bool {
    let mut before = old["spec"]["versions"].as_array().into_iter().flatten();
    before.any(|before| before["name"] == version["name"] && before["schema"] == version["schema"])
}

fn names(path: &Path, names: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in ["plural", "singular"] {
        let name = text(names, key);
        let wrong = names::dns1035_label(name);
        if !name.is_empty() && !wrong.is_empty() {
            errors.push(FieldError::invalid(&path.child(key), name, wrong.join(",")));
        }
    }
    for key in ["kind", "listKind"] {
        let name = text(names, key);
        let wrong = names::dns1035_label(&name.to_lowercase());
        if !name.is_empty() && !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errors.push(FieldError::invalid(&path.child(key), name, detail));
        }
    }
    let each = |key: &str, errors: &mut Vec<FieldError>| {
        for (index, name) in names[key].as_array().into_iter().flatten().filter_map(Value::as_str).enumerate() {
            let wrong = names::dns1035_label(name);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&path.child(key).index(index), name, wrong.join(",")));
            }
        }
    };
    let kind = text(names, "kind");
    each("shortNames", &mut errors);
    if !kind.is_empty() && kind == text(names, "listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, detail));
    }
    each("categories", &mut errors);
    errors
}

fn immutable(spec: &Value, old: &Object, errors: &mut Vec<FieldError>) {
    let conditions = old["status"]["conditions"].as_array().into_iter().flatten();
    let established =
        conditions.into_iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    let path = Path::new("spec");
    let mut keep = |path: Path, now: &Value, before: &Value| {
        if now != before {
            errors.push(FieldError::invalid(&path, now.clone(), "field is immutable"));
        }
    };
    let old = &old["spec"];
    if established {
        keep(path.child("scope"), &spec["scope"], &old["scope"]);
        keep(path.child("names").child("kind"), &spec["names"]["kind"], &old["names"]["kind"]);
    }
    keep(path.child("group"), &spec["group"], &old["group"]);
    keep(path.child("names").child("plural"), &spec["names"]["plural"], &old["names"]["plural"]);
}

pub(super) fn status(definition: &Object) -> Vec<FieldError> {
    names(&Path::new("status").child("acceptedNames"), &definition["status"]["acceptedNames"])
}

fn stored_versions(definition: &Object) -> Vec<FieldError> {
    let path = Path::new("status").child("storedVersions");
    let stored = definition["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    if stored.is_empty() {
        return vec![FieldError::invalid(&path, Value::Null, "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let mut left: Vec<&Value> = stored.iter().collect();
    for version in definition["spec"]["versions"].as_array().into_iter().flatten() {
        let is_stored = left.contains(&&version["name"]);
        if version["storage"] == true && !is_stored {
            let detail = format!("must have the storage version {}", text(version, "name"));
            errors.push(FieldError::invalid(&path, stored.clone(), detail));
        }
        left.retain(|name| **name != version["name"]);
    }
    let gone = stored.iter().enumerate().filter(|(_, name)| left.contains(name));
    errors.extend(gone.map(|(index, name)| {
        let shown = name.as_str().unwrap_or_default();
        let detail = format!(
            "missing from spec.versions; {shown} was previously a storage version, and must remain in spec.versions until a \
             storage migration ensures no data remains persisted in {shown} and removes {shown} from status.storedVersions"
        );
        FieldError::invalid(&path.index(index), name.clone(), detail)
    }));
    errors
}

const APPROVED: &str = "api-approved.kubernetes.io";

/// Groups of the community want to be asked.
fn approval(definition: &Object, old: Option<&Object>) -> Option<FieldError> {
    let group = text(&definition["spec"], "group");
    let protected = ["k8s.io", "kubernetes.io"];
    if !protected.iter().any(|domain| group == *domain || group.ends_with(&format!(".{domain}"))) {
        return None;
    }
    let said = |definition: &Object| text(&definition["metadata"]["annotations"], APPROVED).to_owned();
    let is_url =
        |text: &str| text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    let fine = |said: &str| said.starts_with("unapproved") || is_url(said);
    let now = said(definition);
    let state = |said: &str| (said.is_empty(), fine(said));
    if fine(&now) || old.is_some_and(|old| state(&said(old)) == state(&now)) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(APPROVED);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let must = format!("protected groups must have approval annotation {APPROVED:?}");
    Some(if now.is_empty() {
        FieldError::required(&path, format!("{must}, {see}"))
    } else {
        let detail = format!("{must} with either a URL or a reason starting with \"unapproved\", {see}");
        FieldError::invalid(&path, now, detail)
    })
}
