//! `metadata`: what the server fills in and what a client may not change; `rules` is what makes it invalid.

use api::Object;
use api::meta::{self, Meta};
use api::status::Status;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde_json::{Map, Value};

use crate::registry::Descriptor;

mod rules;

pub(crate) use rules::{of_create, of_update};

pub const ORPHAN: &str = "orphan";
pub const FOREGROUND: &str = "foregroundDeletion";

/// RFC 3339 with seconds, as metav1.Time.
pub fn time(now: Timestamp) -> String {
    const SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    SECONDS.timestamp_to_string(&now)
}

/// Fields of the system that a creating client cannot set. Whether there was a resourceVersion, which stays.
pub fn wipe_system_fields(object: &mut Object) -> bool {
    let versioned = object.resource_version().parse::<u64>().is_ok_and(|version| version != 0);
    let metadata = meta::metadata_mut(object);
    for key in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(key);
    }
    versioned
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
        let missing = unset(new, key)
            || (key != "deletionGracePeriodSeconds" && new[key] == "")
            || (key == "resourceVersion" && new[key] == "0");
        if missing && let Some(value) = old.get(key) {
            new.insert(key.into(), value.clone());
        }
    }
}

/// Whether a write to the status leaves the metadata as it is (upstream's strategies that call `ResetObjectMetaForStatus`).
pub fn is_kept_by_status(row: &Descriptor) -> bool {
    matches!(
        (row.info.group.as_str(), row.info.plural.as_str()),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies")
            | ("networking.k8s.io", "servicecidrs")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments")
    )
}

/// Puts back the metadata that clients write.
pub fn keep(new: &mut Object, old: &Object) {
    let old = old.metadata().cloned().unwrap_or_default();
    let new = meta::metadata_mut(new);
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        match old.get(key) {
            Some(value) => drop(new.insert(key.into(), value.clone())),
            None => drop(new.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn identity_is_carried_over() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "creationTimestamp": "t", "deletionTimestamp": "d",
            "resourceVersion": "7", "generation": 2, "finalizers": ["x/y"]}});
        let mut new = json!({"metadata": {"name": "a", "creationTimestamp": "z", "generation": 9, "uid": ""}});
        carry_over(&mut new, &old);
        assert_eq!(new["metadata"]["generation"], 2);
        assert_eq!(new["metadata"]["creationTimestamp"], "t");
        assert_eq!(new["metadata"]["resourceVersion"], "7");
        assert_eq!(new["metadata"]["uid"], "1");
    }

    #[test]
    fn what_clients_write_is_put_back() {
        let old = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"]}});
        let mut new = json!({"metadata": {"labels": {"a": "2"}, "annotations": {"b": "c"}, "resourceVersion": "7"}});
        keep(&mut new, &old);
        let expected = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x/y"], "resourceVersion": "7"}});
        assert_eq!(new, expected);
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
