//! Where a webhook is (`k8s.io/apiserver/pkg/util/webhook`), and which reviews it reads: of admission and of conversion.

use std::collections::BTreeSet;

use api::field::{FieldError, Path};
use api::names;
use serde_json::Value;

use super::cursor::{field, text};

const FORM: &str = "; desired format: https://host[/path]";

pub fn client(path: &Path, config: &Value, errors: &mut Vec<FieldError>) {
    let (url, service) = (field(config, "url").as_str(), field(config, "service"));
    match (url, service.is_object()) {
        (Some(_), true) | (None, false) => {
            errors.push(FieldError::required(path, "exactly one of url or service is required"));
        }
        (Some(url), false) => webhook_url(&path.child("url"), url, errors),
        (None, true) => webhook_service(&path.child("service"), service, errors),
    }
}

fn webhook_service(path: &Path, service: &Value, errors: &mut Vec<FieldError>) {
    // Upstream's callers mix up which is which: a name that is missing is said of the namespace.
    for (key, said) in [("namespace", "name"), ("name", "namespace")] {
        if text(service, key).is_empty() {
            errors.push(FieldError::required(&path.child(said), ""));
        }
    }
    let port = field(service, "port").as_i64().unwrap_or(443);
    if let Some(why) = names::port_number(port) {
        errors.push(FieldError::invalid(&path.child("port"), port, format!("port is not valid: {why}")));
    }
    let at = path.child("path");
    let url_path = text(service, "path");
    let mut invalid = |why: String| errors.push(FieldError::invalid(&at, url_path, why));
    match url_path {
        "" | "/" => {}
        "//" => invalid("segment[0] may not be empty".to_owned()),
        _ => {
            if !url_path.starts_with('/') {
                invalid("must start with a '/'".to_owned());
            }
            let rest = url_path.char_indices().nth(1).map_or("", |(second, _)| &url_path[second..]);
            for (index, segment) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
                match segment {
                    "" => invalid(format!("segment[{index}] may not be empty")),
                    _ => names::dns1123_subdomain(segment)
                        .into_iter()
                        .for_each(|why| invalid(format!("segment[{index}]: {why}"))),
                }
            }
        }
    }
}

fn webhook_url(path: &Path, url: &str, errors: &mut Vec<FieldError>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        errors.push(FieldError::invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || scheme.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
    }
    if let Some((user, _)) = authority.rsplit_once('@') {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    if let Some((_, fragment)) = url.split_once('#').filter(|(_, fragment)| !fragment.is_empty()) {
        errors.push(FieldError::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if let Some((_, query)) = url.split_once('?') {
        let query = query.split('#').next().unwrap_or_default();
        errors.push(FieldError::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

/// `missing` is what is said about none.
pub fn review_versions(path: &Path, versions: &[Value], missing: &str, errors: &mut Vec<FieldError>) {
    if versions.is_empty() {
        return errors.push(FieldError::required(path, missing));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid(&path.index(index), version, "duplicate version"));
            continue;
        }
        let wrong = names::dns1035_label(version).into_iter();
        errors.extend(wrong.map(|why| FieldError::invalid(&path.index(index), version, why)));
    }
    if !seen.contains("v1") && !seen.contains("v1beta1") {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, versions.to_vec(), detail));
    }
}
