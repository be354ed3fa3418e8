//! Validation of `env`, `envFrom` and the references of the downward API.

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::super::quantities::parse_at;
use super::super::selectors::label_name;
use super::paths;

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The fields that a downward API volume can show.
pub const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields that are known, though not everywhere allowed.
const KNOWN_FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

const RESOURCE_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const BYTE_DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub fn env(at: &Cursor, errors: &mut Errors) {
    for variable in at.items() {
        let name = variable.child("name");
        if name.str().is_empty() {
            errors.required(&name);
        } else {
            errors.messages(&name, names::env_var_name(name.str()));
        }
        value_from(&variable, errors);
    }
}

fn value_from(variable: &Cursor, errors: &mut Errors) {
    let source = variable.child("valueFrom");
    if !source.is_set() {
        return;
    }
    let mut sources = 0;
    for name in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let reference = source.child(name);
        if !reference.is_set() {
            continue;
        }
        sources += 1;
        match name {
            "fieldRef" => field_reference(&reference, &ENV_FIELDS, errors),
            "resourceFieldRef" => resource_reference(&reference, false, errors),
            "fileKeyRef" => file_key(&reference, errors),
            _ => key_reference(&reference, errors),
        }
    }
    if sources == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid_as(&source, "", detail);
    } else if !variable.text("value").is_empty() {
        errors.invalid_as(&source, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        errors.invalid_as(&source, "", "may not have more than one field specified at a time");
    }
}

/// An ObjectFieldSelector that may name the fields `allowed` (sorted), or one label or annotation by subscript.
pub fn field_reference(at: &Cursor, allowed: &[&str], errors: &mut Errors) {
    let (version, path) = (at.child("apiVersion"), at.child("fieldPath"));
    if version.str().is_empty() {
        return errors.required(&version);
    }
    if path.str().is_empty() {
        return errors.required(&path);
    }
    let convert = |reason: String| format!("error converting fieldPath: {reason}");
    if version.str() != "v1" {
        return errors.invalid(&path, convert(format!("unsupported pod version: {}", version.str())));
    }
    if let Some((name, subscript)) = subscripted(path.str()) {
        let key = at.child("fieldPath");
        match name {
            "metadata.annotations" => {
                let subscript = subscript.to_lowercase();
                for message in names::qualified_name(&subscript) {
                    errors.invalid_as(at, subscript.as_str(), message);
                }
            }
            "metadata.labels" => {
                for message in names::qualified_name(subscript) {
                    errors.invalid_as(at, subscript, message);
                }
            }
            _ => errors.invalid(&key, convert(format!("field label does not support subscript: {}", path.str()))),
        }
        return;
    }
    let name = if path.str() == "spec.host" { "spec.nodeName" } else { path.str() };
    if !KNOWN_FIELDS.contains(&name) {
        errors.invalid(&path, convert(format!("field label not supported: {name}")));
    } else if !allowed.contains(&name) {
        errors.push(api::field::FieldError::not_supported(&path.path(), name, allowed));
    }
}

/// `metadata.labels['a']` as its two parts.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(name, _)| !name.is_empty())
}

/// A ResourceFieldSelector; in a volume it has to name its container.
pub fn resource_reference(at: &Cursor, in_volume: bool, errors: &mut Errors) {
    let resource = at.child("resource");
    let name = resource.str();
    let huge_pages = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if in_volume && at.text("containerName").is_empty() {
        errors.required(&at.child("containerName"));
    } else if name.is_empty() {
        errors.required(&resource);
    } else if !RESOURCE_FIELDS.contains(&name) && !huge_pages {
        errors.not_supported(&resource, &RESOURCE_FIELDS);
    }
    divisor(at, name, huge_pages, errors);
}

fn divisor(at: &Cursor, resource: &str, huge_pages: bool, errors: &mut Errors) {
    let at = at.child("divisor");
    let Some(divisor) = parse_at(&at).map(|divisor| divisor.to_string()).filter(|divisor| divisor != "0") else {
        return;
    };
    let kind = match resource {
        "limits.cpu" | "requests.cpu" => {
            if divisor != "1" && divisor != "1m" {
                errors.invalid_as(&at, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
            }
            return;
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if huge_pages => "hugepages",
        _ => return,
    };
    if !BYTE_DIVISORS.contains(&divisor.as_str()) {
        let all = BYTE_DIVISORS.join(", ");
        errors.invalid_as(&at, resource, format!("only divisor's values {all} are supported with the {kind} resource"));
    }
}

fn key_reference(at: &Cursor, errors: &mut Errors) {
    let (name, key) = (at.child("name"), at.child("key"));
    errors.messages(&name, names::dns1123_subdomain(name.str()));
    if key.str().is_empty() {
        errors.required(&key);
    } else {
        errors.messages(&key, names::config_map_key(key.str()));
    }
}

fn file_key(at: &Cursor, errors: &mut Errors) {
    let (key, volume, path) = (at.child("key"), at.child("volumeName"), at.child("path"));
    if key.str().is_empty() {
        errors.required(&key);
    } else {
        errors.messages(&key, names::env_var_name(key.str()));
    }
    if volume.str().is_empty() {
        errors.required(&volume);
    } else {
        errors.messages(&volume, names::dns1123_label(volume.str()));
    }
    if path.str().is_empty() {
        errors.required(&path);
    } else {
        paths::no_backsteps(&path, path.str(), errors);
    }
}

pub fn env_from(at: &Cursor, errors: &mut Errors) {
    for source in at.items() {
        let prefix = source.child("prefix");
        if !prefix.str().is_empty() {
            errors.messages(&prefix, names::env_var_name(prefix.str()));
        }
        let references = [source.child("configMapRef"), source.child("secretRef")];
        let mut sources = 0;
        for reference in references.iter().filter(|reference| reference.is_set()) {
            sources += 1;
            let name = reference.child("name");
            if name.str().is_empty() {
                errors.required(&name);
            } else {
                errors.messages(&name, names::for_prefix(names::dns1123_subdomain, name.str()));
            }
        }
        match sources {
            0 => errors.invalid_as(at, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => errors.invalid_as(at, "", "may not have more than one field specified at a time"),
        }
    }
}

/// The names in `readinessGates`.
pub fn readiness_gates(at: &Cursor, errors: &mut Errors) {
    for gate in at.items() {
        label_name(&gate.child("conditionType"), errors);
    }
}
