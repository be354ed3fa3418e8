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
    if old.is_none() {
        let spec = &definition["spec"];
        let wanted = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
        let name = text(&definition["metadata"], "name");
        for (key, name) in [("generateName", text(&definition["metadata"], "generateName")), ("name", name)] {
            if name != wanted && (key == "name" || !name.is_empty()) {
                let path = Path::new("metadata").child(key);
                errors.push(FieldError::invalid(&path, name, "must be spec.names.plural+\".\"+spec.group"));
            }
        }
    }
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
    versions(path, spec, old, &mut errors);
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], key).is_empty() {
            errors.push(FieldError::required(&path.child("names").child(key), ""));
        }
    }
    errors.extend(self::names(&path.child("names"), &spec["names"]));
    errors.extend(conversion::validate(&path.child("conversion"), &spec["conversion"]));
    errors
}

fn versions(path: &Path, spec: &Value, old: Option<&Object>, errors: &mut Vec<FieldError>) {
    let none = Vec::new();
    let all = spec["versions"].as_array().unwrap_or(&none);
    let at = path.child("versions");
    let same = |key: &str| all.iter().all(|version| version[key] == all[0][key]);
    let mut seen = BTreeSet::new();
    for (index, one) in all.iter().enumerate() {
        let at = at.index(index);
        if !one["schema"]["openAPIV3Schema"].is_object() {
            errors.push(FieldError::required(&at.child("schema").child("openAPIV3Schema"), ""));
        }
        let name = text(one, "name");
        let wrong = names::dns1035_label(name);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&at.child("name"), name, wrong.join(",")));
        }
        seen.insert(name);
        errors.extend(version::deprecation(&at, one));
    }
    // What is the same everywhere is checked and told once.
    let places = |key: &str, top: &str| -> Vec<(Path, usize)> {
        match all.len() {
            0 => Vec::new(),
            _ if same(key) => vec![(path.child(top), 0)],
            count => (0..count).map(|index| (at.index(index).child(key), index)).collect(),
        }
    };
    for (path, index) in places("schema", "validation") {
        let has_status = match same("schema") {
            true => all.iter().any(|version| version["subresources"]["status"].is_object()),
            false => all[index]["subresources"]["status"].is_object(),
        };
        let schema = &all[index]["schema"]["openAPIV3Schema"];
        if schema.is_object() {
            let unchanged = old.is_some_and(|old| is_unchanged(&all[index], old));
            errors.extend(schema::validate(&path, schema, has_status, unchanged));
        }
    }
    for (path, index) in places("subresources", "subresources") {
        errors.extend(version::subresources(&path, &all[index]["subresources"]));
    }
    for (path, index) in places("additionalPrinterColumns", "additionalPrinterColumns") {
        errors.extend(version::columns(&path, &all[index]["additionalPrinterColumns"]));
    }
    for (path, index) in places("selectableFields", "selectableFields") {
        errors.extend(version::selectable(
            &path,
            &all[index]["selectableFields"],
            &all[index]["schema"]["openAPIV3Schema"],
        ));
    }
    if seen.len() != all.len() {
        errors.push(FieldError::invalid(&at, spec["versions"].clone(), "must contain unique version names"));
    }
    if all.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&at, spec["versions"].clone(), detail));
    }
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
    let mut each = |key: &str| {
        for (index, name) in names[key].as_array().into_iter().flatten().filter_map(Value::as_str).enumerate() {
            let wrong = names::dns1035_label(name);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&path.child(key).index(index), name, wrong.join(",")));
            }
        }
    };
    each("shortNames");
    each("categories");
    let kind = text(names, "kind");
    if !kind.is_empty() && kind == text(names, "listKind") {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, detail));
    }
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
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let known: Vec<&Value> = versions.map(|version| &version["name"]).collect();
    let gone = stored.iter().enumerate().filter(|(_, name)| !known.contains(name));
    gone.map(|(index, name)| {
        let shown = name.as_str().unwrap_or_default();
        let detail = format!(
            "missing from spec.versions; {shown} was previously a storage version, and must remain in spec.versions until a \
             storage migration ensures no data remains persisted in {shown} and removes {shown} from status.storedVersions"
        );
        FieldError::invalid(&path.index(index), name.clone(), detail)
    })
    .collect()
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
