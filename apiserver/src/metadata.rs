//! `metadata`: what the server fills in, what a client may not change, and what makes it invalid
//! (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).

use std::collections::BTreeMap;

use api::Object;
use api::field::{FieldError, Path};
use api::meta::{self, Meta};
use api::names;
use api::status::Status;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::registry::Descriptor;

pub const ORPHAN: &str = "orphan";
pub const FOREGROUND: &str = "foregroundDeletion";
const IMMUTABLE: &str = "field is immutable";

/// RFC 3339 with seconds, as metav1.Time.
pub fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Fields of the system that a creating client cannot set.
pub fn wipe_system_fields(object: &mut Object) {
    let metadata = meta::metadata_mut(object);
    for key in
        ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"]
    {
        metadata.remove(key);
    }
}

/// `namespace` is empty for cluster-wide requests and kinds.
pub fn match_namespace(object: &mut Object, namespace: &str) -> Result<(), Status> {
    let own = object.namespace();
    if own == namespace {
        Ok(())
    } else if own.is_empty() || namespace.is_empty() {
        let value = if namespace.is_empty() { Value::Null } else { namespace.into() };
        meta::set(object, "namespace", value);
        Ok(())
    } else {
        Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ))
    }
}

/// The object of a PUT or PATCH must be the one that the path names.
pub fn match_name(object: &Object, name: &str) -> Result<(), Status> {
    let own = object.name();
    if own == name {
        return Ok(());
    }
    if own.is_empty() {
        let why = "name must be provided";
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: {why}"
        )));
    }
    Err(Status::bad_request(format!("the name of the object ({own}) does not match the name on the URL ({name})")))
}

/// The name from `generateName` and five characters that cannot be read as words.
pub fn generate_name(base: &str, random: u64) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    const BASE_MAX: usize = 58;
    let mut base = base.to_owned();
    while base.len() > BASE_MAX {
        base.pop();
    }
    let mut rest = random;
    for _ in 0..5 {
        base.push(char::from(ALPHABET[(rest % 27) as usize]));
        rest /= 27;
    }
    base
}

/// A random UUID (version 4) of injected bits.
pub fn uid(high: u64, low: u64) -> String {
    uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid().to_string()
}

/// Removes owner references that say the same twice; tells whose.
pub fn dedup_owners(object: &mut Object) -> Option<String> {
    let owners = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut)?;
    let mut seen: Vec<Value> = Vec::with_capacity(owners.len());
    let mut duplicates = Vec::new();
    for owner in std::mem::take(owners) {
        if seen.contains(&owner) {
            duplicates.push(owner["uid"].as_str().unwrap_or_default().to_owned());
        } else {
            seen.push(owner);
        }
    }
    *owners = seen;
    let warning = "metadata.ownerReferences contains duplicate entries, API server dedups owner references in 1.20+, and \
                   may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed:";
    (!duplicates.is_empty()).then(|| format!("{warning} {}", duplicates.join(", ")))
}

/// Before an update is validated: what a client may leave out but not change is taken from the stored object.
pub fn carry_over(new: &mut Object, old: &Object) {
    let old = old.metadata().cloned().unwrap_or_default();
    let new = meta::metadata_mut(new);
    let unset = |map: &Map<String, Value>, key: &str| matches!(map.get(key), None | Some(Value::Null));
    for key in ["creationTimestamp", "deletionTimestamp", "generation"] {
        match old.get(key) {
            Some(value) => new.insert(key.into(), value.clone()),
            None if key == "generation" => new.remove(key),
            None => None,
        };
    }
    for key in ["uid", "deletionGracePeriodSeconds", "resourceVersion"] {
        let missing = unset(new, key) || (key != "deletionGracePeriodSeconds" && new[key] == "");
        if missing && let Some(value) = old.get(key) {
            new.insert(key.into(), value.clone());
        }
    }
    new.remove("selfLink");
}

/// Groups whose kinds upstream validates so; the others have no such rule.
const STANDARD_FINALIZERS_IN: [&str; 9] = [
    "",
    "apps",
    "autoscaling",
    "batch",
    "discovery.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

pub fn validate(row: &Descriptor, object: &Object) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let invalid = |key: &str, value: &str, messages: Vec<String>| {
        let path = path.child(key);
        messages.into_iter().map(move |message| FieldError::invalid(&path, value, message)).collect::<Vec<_>>()
    };
    let generate_name = object.generate_name();
    if !generate_name.is_empty() {
        let messages = names::for_prefix(row.name_rule, generate_name);
        errors.extend(invalid("generateName", generate_name, messages));
    }
    match object.name() {
        "" => errors.push(FieldError::required(&path.child("name"), "name or generateName is required")),
        name => errors.extend(invalid("name", name, (row.name_rule)(name))),
    }
    match (row.info.namespaced, object.namespace()) {
        (true, "") => errors.push(FieldError::required(&path.child("namespace"), "")),
        (true, namespace) => errors.extend(invalid("namespace", namespace, names::dns1123_label(namespace))),
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(&path.child("namespace"), "not allowed on this type")),
    }
    if object.generation() < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), object.generation(), detail));
    }
    errors.extend(names::validate_labels(&texts(object.labels()), &path.child("labels")));
    errors.extend(names::validate_annotations(&texts(object.annotations()), &path.child("annotations")));
    errors.extend(owner_errors(object.owner_references(), &path.child("ownerReferences")));
    errors.extend(finalizer_errors(object, &path.child("finalizers")));
    if STANDARD_FINALIZERS_IN.contains(&row.info.group.as_str()) && row.info.kind != "Event" {
        errors.extend(short_finalizer_errors(object, &path.child("finalizers")));
    }
    errors
}

/// Finalizers without a domain are Kubernetes' own.
fn short_finalizer_errors(object: &Object, path: &Path) -> Vec<FieldError> {
    const STANDARD: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
    let mut errors = Vec::new();
    for (index, finalizer) in object.finalizers().enumerate() {
        let messages = names::qualified_name(finalizer).into_iter();
        errors.extend(messages.map(|message| FieldError::invalid(&path.index(index), finalizer, message)));
        if !finalizer.contains('/') && !STANDARD.contains(&finalizer) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path.index(index), finalizer, detail));
        }
    }
    errors
}

fn texts(map: Option<&Map<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    map.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn owner_errors(owners: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for owner in owners {
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            errors.push(FieldError::invalid(
                &path.child("apiVersion"),
                text("apiVersion"),
                "version must not be empty",
            ));
        }
        for key in ["kind", "name", "uid"] {
            if text(key).is_empty() {
                errors.push(FieldError::invalid(&path.child(key), "", "must not be empty"));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), detail));
        }
        if owner["controller"] == true {
            let name = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and \
                         {name}"
                    );
                    errors.push(FieldError::invalid(path, owners.to_vec(), detail));
                }
                None => controller = Some(name),
            }
        }
    }
    errors
}

fn finalizer_errors(object: &Object, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for finalizer in object.finalizers() {
        let messages = names::qualified_name(finalizer).into_iter();
        errors.extend(messages.map(|message| FieldError::invalid(path, finalizer, message)));
    }
    let has = |wanted: &str| object.finalizers().any(|finalizer| finalizer == wanted);
    if has(ORPHAN) && has(FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, object.finalizers().collect::<Vec<_>>(), detail));
    }
    errors
}

/// What an update may not change.
pub fn validate_update(new: &Object, old: &Object) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    if old.deletion_timestamp().is_some() {
        let added = |finalizer: &&str| !old.finalizers().any(|own| own == *finalizer);
        let mut extra: Vec<&str> = new.finalizers().filter(added).collect();
        extra.sort_unstable();
        if !extra.is_empty() {
            let list: Vec<String> = extra.iter().map(|finalizer| format!("{finalizer:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), detail));
        }
    }
    for key in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let get = |object: &Object| {
            let value = object.metadata().and_then(|metadata| metadata.get(key)).cloned();
            value.filter(|value| *value != "" && !value.is_null())
        };
        let (now, before) = (get(new), get(old));
        if now != before {
            errors.push(FieldError::invalid(&path.child(key), now.unwrap_or_default(), IMMUTABLE));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use serde_json::json;

    fn texts_of(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn metadata_is_checked_on_create() {
        let registry = Registry::built_in();
        let row = registry.get("", "v1", "configmaps").unwrap();
        let check = |metadata: Value| texts_of(validate(row, &json!({"metadata": metadata})));
        assert_eq!(check(json!({"name": "a", "namespace": "b"})), Vec::<String>::new());
        let errors = check(json!({"finalizers": ["orphan", "foregroundDeletion"], "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1", "controller": true},
            {"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "2", "controller": true}]}));
        assert_eq!(
            errors,
            [
                "metadata.name: Required value: name or generateName is required",
                "metadata.namespace: Required value",
                "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
                "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",\"controller\":true,\"kind\":\"Pod\",\
                 \"name\":\"x\",\"uid\":\"1\"},{\"apiVersion\":\"v1\",\"controller\":true,\"kind\":\"Pod\",\"name\":\"\",\
                 \"uid\":\"2\"}]: Only one reference can have Controller set to true. Found \"true\" in references for \
                 Pod/x and Pod/",
                "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and \
                 foregroundDeletion cannot be both set",
            ]
        );
        assert!(check(json!({"name": "A_", "namespace": "b"}))[0].contains("a lowercase RFC 1123 subdomain"));
    }

    #[test]
    fn identity_does_not_change() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "creationTimestamp": "t", "deletionTimestamp": "d",
            "resourceVersion": "7", "generation": 2, "finalizers": ["x/y"]}});
        let mut new = json!({"metadata": {"name": "a", "creationTimestamp": "z", "generation": 9, "uid": ""}});
        carry_over(&mut new, &old);
        assert_eq!(new["metadata"]["generation"], 2);
        assert_eq!(new["metadata"]["creationTimestamp"], "t");
        assert_eq!(new["metadata"]["resourceVersion"], "7");
        assert_eq!(texts_of(validate_update(&new, &old)), Vec::<String>::new());
        let other = json!({"metadata": {"name": "b", "uid": "2", "creationTimestamp": "t", "deletionTimestamp": "d",
            "finalizers": ["x/z"]}});
        assert_eq!(
            texts_of(validate_update(&other, &old)),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
                 finalizers []string{\"x/z\"}",
                "metadata.name: Invalid value: \"b\": field is immutable",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
    }

    #[test]
    fn generated_names_are_short_enough() {
        let name = generate_name(&"a".repeat(80), u64::MAX);
        assert_eq!(name.len(), 63);
        assert_ne!(generate_name("a-", 1), generate_name("a-", 2));
        assert_eq!(uid(1, 2).len(), 36);
    }

    #[test]
    fn owners_are_deduplicated() {
        let mut object = json!({"metadata": {"ownerReferences": [{"uid": "1"}, {"uid": "1"}, {"uid": "2"}]}});
        assert!(dedup_owners(&mut object).is_some_and(|warning| warning.ends_with("observed: 1")));
        assert_eq!(object.owner_references().len(), 2);
        assert_eq!(dedup_owners(&mut object), None);
    }
}
