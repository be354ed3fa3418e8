//! What makes `metadata` invalid (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`), and how often a status says so.
//!
//! Upstream checks metadata generically and again in most kinds' own validation, each in its own place. Clients read the first
//! message and count causes, so the order and the repetitions are upstream's: [`of_create`] and [`of_update`] put together what
//! is found once.

use std::collections::BTreeMap;

use api::Object;
use api::field::{FieldError, Path};
use api::meta::Meta;
use api::names;
use serde_json::{Map, Value};

use super::{FOREGROUND, ORPHAN};
use crate::registry::Descriptor;

/// The generic rules speak only when the kind has nothing to say.
pub(crate) fn of_create(
    row: &Descriptor,
    new: &Object,
    (kind, kind_create): (Vec<FieldError>, Vec<FieldError>),
    managers: Vec<FieldError>,
) -> Vec<FieldError> {
    let found = Found::in_object(row, new, None, managers);
    let order = match (row.info.group.as_str(), row.info.kind.as_str()) {
        ("", "Event") | ("policy", _) => "KD",
        ("events.k8s.io", _) => "KMD",
        _ => "MKD",
    };
    let mut errors = found.in_order(order, kind, kind_create);
    if errors.is_empty() {
        errors.extend(found.object(&found.any_name));
    }
    errors
}

pub(crate) fn of_update(
    row: &Descriptor,
    subresource: &str,
    (new, old): (&Object, &Object),
    (kind, kind_change): (Vec<FieldError>, Vec<FieldError>),
    managers: Vec<FieldError>,
) -> Vec<FieldError> {
    let found = Found::in_object(row, new, Some(old), managers);
    let mut errors: Vec<FieldError> = found.object(&found.any_name).chain(found.change()).collect();
    errors.extend(found.in_order(order_of_update(row, subresource), kind, kind_change));
    errors
}

/// What a kind's validation of an update consists of: the rules for all metadata (M), for changes of metadata (C), those of the
/// kind (K), and those of the kind for changes (D).
fn order_of_update(row: &Descriptor, subresource: &str) -> &'static str {
    match (row.info.group.as_str(), row.info.plural.as_str(), subresource) {
        ("certificates.k8s.io", ..) => "MKDC",
        ("", "pods", "ephemeralcontainers" | "resize") => "CMKD",
        (
            "policy" | "flowcontrol.apiserver.k8s.io" | "admissionregistration.k8s.io" | "storage.k8s.io",
            _,
            "status",
        )
        | ("batch", "cronjobs", "status")
        | ("policy", ..)
        | ("", "events", _) => "KD",
        (_, _, "status" | "finalize" | "binding") => "CKD",
        ("admissionregistration.k8s.io" | "discovery.k8s.io" | "flowcontrol.apiserver.k8s.io", ..)
        | ("", "limitranges", _)
        | ("storage.k8s.io", "volumeattachments", _) => "MKD",
        ("storage.k8s.io", "csinodes", _) => "MKMKD",
        ("rbac.authorization.k8s.io" | "node.k8s.io", ..)
        | ("", "nodes" | "namespaces", _)
        | ("batch", "jobs", _)
        | ("networking.k8s.io", "ipaddresses", _)
        | ("resource.k8s.io", "resourceclaimtemplates", _)
        | ("storage.k8s.io", "csistoragecapacities" | "storageclasses", _) => "MKCD",
        ("resource.k8s.io", "resourceclaims" | "deviceclasses", _) => "MCKD",
        ("events.k8s.io", ..) => "KCD",
        ("", "services", _) | ("apps", "daemonsets", _) => "CDK",
        ("", "configmaps" | "secrets", _) | ("storage.k8s.io", "volumeattributesclasses", _) => "CDMK",
        ("", "persistentvolumes", _) => "MKMD",
        ("", "podtemplates" | "replicationcontrollers" | "resourcequotas", _) => "CKD",
        ("networking.k8s.io", "networkpolicies", _) => "MKCD",
        ("networking.k8s.io", "ingressclasses", _) => "CDMK",
        ("" | "apiregistration.k8s.io", ..)
        | ("apps", "controllerrevisions", _)
        | ("networking.k8s.io", "ingresses", _) => "CMKD",
        _ => "CKD",
    }
}

/// Kinds whose own validation knows Kubernetes' finalizers. The others have rules of `apimachinery` alone.
fn knows_finalizers(row: &Descriptor) -> bool {
    let group = row.info.group.as_str();
    let plain = ["admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"];
    row.custom.is_none() && !plain.contains(&group) && !["coordination.k8s.io", "node.k8s.io"].contains(&group)
}

/// The errors of one object's metadata, each found once.
struct Found {
    /// Of the name, as any object may have it, and as the kind wants it.
    any_name: Vec<FieldError>,
    name: Vec<FieldError>,
    place: Vec<FieldError>,
    maps: Vec<FieldError>,
    finalizers: Vec<FieldError>,
    managers: Vec<FieldError>,
    standard_finalizers: Vec<FieldError>,
    changes: Vec<FieldError>,
}

impl Found {
    fn in_object(row: &Descriptor, new: &Object, old: Option<&Object>, managers: Vec<FieldError>) -> Self {
        let path = Path::new("metadata");
        let mut maps = names::validate_labels(&texts(new.labels()), &path.child("labels"));
        maps.extend(names::validate_annotations(&texts(new.annotations()), &path.child("annotations")));
        maps.extend(owners(new.owner_references(), &path.child("ownerReferences")));
        let finalizers_path = path.child("finalizers");
        let standard = if knows_finalizers(row) { standard_finalizers(new, &finalizers_path) } else { Vec::new() };
        Self {
            any_name: name(&names::path_segment, &|prefix| names::for_prefix(names::path_segment, prefix), new, &path),
            name: of_kind(row, new, &path),
            place: place(row, new, &path),
            maps,
            finalizers: finalizers(new, &finalizers_path),
            managers,
            standard_finalizers: standard,
            changes: old.map(|old| changes(new, old, &path)).unwrap_or_default(),
        }
    }

    /// All of it, with one of the rules for names.
    fn object<'a>(&'a self, name: &'a [FieldError]) -> impl Iterator<Item = FieldError> + 'a {
        [name, &self.place, &self.maps, &self.finalizers, &self.managers].into_iter().flatten().cloned()
    }

    fn change(&self) -> impl Iterator<Item = FieldError> {
        [&self.changes, &self.maps, &self.managers].into_iter().flatten().cloned()
    }

    fn in_order(&self, order: &str, kind: Vec<FieldError>, kind_change: Vec<FieldError>) -> Vec<FieldError> {
        let mut kind_change = Some(kind_change);
        let mut errors = Vec::new();
        for part in order.chars() {
            match part {
                'M' => errors.extend(self.object(&self.name).chain(self.standard_finalizers.iter().cloned())),
                'C' => errors.extend(self.change().chain(self.standard_finalizers.iter().cloned())),
                'D' => errors.extend(kind_change.take().unwrap_or_default()),
                _ => errors.extend(kind.iter().cloned()),
            }
        }
        errors
    }
}

fn invalid(path: &Path, value: &str, messages: Vec<String>) -> impl Iterator<Item = FieldError> {
    messages.into_iter().map(move |message| FieldError::invalid(path, value, message))
}

/// As the kind wants its names.
fn of_kind(row: &Descriptor, object: &Object, path: &Path) -> Vec<FieldError> {
    let of_name = |name: &str| row.strategy.wrong_name(object, name, (row.name_rule)(name));
    let of_prefix = |prefix: &str| {
        let found = names::for_prefix(row.name_rule, prefix);
        if checks_prefix(row) { row.strategy.wrong_name(object, prefix, found) } else { Vec::new() }
    };
    name(&of_name, &of_prefix, object, path)
}

type Rule<'a> = &'a dyn Fn(&str) -> Vec<String>;

fn name(rule: Rule<'_>, of_prefix: Rule<'_>, object: &Object, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let prefix = object.generate_name();
    if !prefix.is_empty() {
        errors.extend(invalid(&path.child("generateName"), prefix, of_prefix(prefix)));
    }
    errors.extend(of_name(rule, object, path));
    errors
}

fn of_name(rule: Rule<'_>, object: &Object, path: &Path) -> Vec<FieldError> {
    let at = path.child("name");
    match object.name() {
        "" => vec![FieldError::required(&at, "name or generateName is required")],
        name => invalid(&at, name, rule(name)).collect(),
    }
}

/// Whether the kind's own validation looks at `generateName`: what upstream has moved to declarations does not.
fn checks_prefix(row: &Descriptor) -> bool {
    !matches!(
        (row.info.group.as_str(), row.info.kind.as_str()),
        ("", "ReplicationController") | ("resource.k8s.io", "DeviceClass")
    )
}

fn place(row: &Descriptor, object: &Object, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = path.child("namespace");
    match (row.info.namespaced, object.namespace()) {
        (true, "") => errors.push(FieldError::required(&at, "")),
        (true, namespace) => errors.extend(invalid(&at, namespace, names::dns1123_label(namespace))),
        (false, "") => {}
        (false, _) => errors.push(FieldError::forbidden(&at, "not allowed on this type")),
    }
    if object.generation() < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("generation"), object.generation(), detail));
    }
    errors
}

fn texts(map: Option<&Map<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    map.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn owners(owners: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for owner in owners {
        let text = |key: &str| owner[key].as_str().unwrap_or_default();
        let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            let (path, detail) = (path.child("apiVersion"), "version must not be empty");
            errors.push(FieldError::invalid(&path, text("apiVersion"), detail));
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

fn finalizers(object: &Object, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for finalizer in object.finalizers() {
        errors.extend(invalid(path, finalizer, names::qualified_name(finalizer)));
    }
    let has = |wanted: &str| object.finalizers().any(|finalizer| finalizer == wanted);
    if has(ORPHAN) && has(FOREGROUND) {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, object.finalizers().collect::<Vec<_>>(), detail));
    }
    errors
}

/// Finalizers without a domain are Kubernetes' own.
fn standard_finalizers(object: &Object, path: &Path) -> Vec<FieldError> {
    let unknown =
        |finalizer: &&str| !finalizer.contains('/') && !["kubernetes", ORPHAN, FOREGROUND].contains(finalizer);
    let unknown = object.finalizers().enumerate().filter(|(_, finalizer)| unknown(finalizer));
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    unknown.map(|(index, finalizer)| FieldError::invalid(&path.index(index), finalizer, detail)).collect()
}

/// What an update may not change.
fn changes(new: &Object, old: &Object, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.deletion_timestamp().is_some() {
        let added = |finalizer: &&str| !old.finalizers().any(|own| own == *finalizer);
        let mut extra: Vec<&str> = new.finalizers().filter(added).collect();
        extra.sort_unstable();
        extra.dedup();
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
            errors.push(FieldError::invalid(&path.child(key), now.unwrap_or_default(), "field is immutable"));
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
        let check =
            |metadata: Value| texts_of(of_create(row, &json!({"metadata": metadata}), Default::default(), Vec::new()));
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

    /// `N` a bad name, `L` a bad label, `U` another uid, `F` a finalizer of nobody, `K` and `D` what the kind says.
    #[test]
    fn kinds_repeat_what_is_wrong_with_metadata() {
        let registry = Registry::built_in();
        let cases = [
            ("", "configmaps", "", "", "NLFK"),
            ("policy", "poddisruptionbudgets", "", "", "K"),
            ("", "events", "", "", "K"),
            ("node.k8s.io", "runtimeclasses", "", "", "NLK"),
            ("", "configmaps", "old", "", "LULULFDNLFK"),
            ("apps", "deployments", "old", "", "LULULFKD"),
            ("rbac.authorization.k8s.io", "roles", "old", "", "LULFKULFD"),
            ("policy", "poddisruptionbudgets", "old", "", "LULKD"),
            ("", "services", "old", "", "LULULFDK"),
            ("", "pods", "old", "status", "LULULFKD"),
        ];
        for (group, plural, old, subresource, expected) in cases {
            let row = registry.get(group, "v1", plural).unwrap();
            let namespace = if row.info.namespaced { json!("b") } else { Value::Null };
            let with = |name: &str, uid: &str| {
                json!({"metadata": {"name": name, "namespace": namespace, "uid": uid, "labels": {"a b": ""},
                    "finalizers": ["x"]}})
            };
            let said = |what: &str| vec![FieldError::required(&Path::new(what), "")];
            let errors = match old {
                "" => of_create(row, &with("A%", "1"), (said("K"), Vec::new()), Vec::new()),
                _ => {
                    let (mut new, old) = (with("a", "2"), with("a", "1"));
                    new["metadata"]["generateName"] = "A_".into();
                    of_update(row, subresource, (&new, &old), (said("K"), said("D")), Vec::new())
                }
            };
            let letter = |error: &FieldError| match error.path.as_str() {
                "metadata.name" | "metadata.generateName" => 'N',
                "metadata.labels" => 'L',
                "metadata.uid" => 'U',
                "metadata.finalizers[0]" => 'F',
                "K" => 'K',
                "D" => 'D',
                _ => '?',
            };
            let mut letters: Vec<char> = errors.iter().map(letter).collect();
            letters.dedup();
            assert_eq!(letters.into_iter().collect::<String>(), expected, "{plural} {subresource}");
        }
    }

    #[test]
    fn identity_does_not_change() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "creationTimestamp": "t", "deletionTimestamp": "d",
            "finalizers": ["x/y"]}});
        let other = json!({"metadata": {"name": "b", "uid": "2", "creationTimestamp": "t", "deletionTimestamp": "d",
            "finalizers": ["x/z"]}});
        assert_eq!(texts_of(changes(&old, &old, &Path::new("metadata"))), Vec::<String>::new());
        assert_eq!(
            texts_of(changes(&other, &old, &Path::new("metadata"))),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
                 finalizers []string{\"x/z\"}",
                "metadata.name: Invalid value: \"b\": field is immutable",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
    }
}
