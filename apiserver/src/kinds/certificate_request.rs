//! CertificateSigningRequest: what is asked for is fixed; `approval` changes the conditions, `status` all but the approval.

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::names;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::pem::Pem;

use super::cursor::{Cursor, Errors, field, list, text};
use super::edit::{copy, default_to, get_mut, list_mut};
use super::equality::same;
use crate::front::pki::PkiError;
use crate::front::requests;
use crate::strategy::Strategy;

const APPROVAL: [&str; 2] = ["Approved", "Denied"];
/// These are true or absent.
const TRUE_ONLY: [&str; 3] = ["Approved", "Denied", "Failed"];
const MIN_SECONDS: i64 = 600;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

#[derive(Debug)]
pub struct CertificateRequest;

impl Strategy for CertificateRequest {
    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        copy(new, old, "spec");
    }

    fn prepare_for_subresource(&self, subresource: &str, new: &mut Object, old: &Object) {
        copy(new, old, "spec");
        if subresource == "approval" {
            let conditions = new["status"]["conditions"].take();
            copy(new, old, "status");
            if let Some(status) = get_mut(new, "status").and_then(Value::as_object_mut) {
                // None is what they are then: validation says whether some may go.
                status.remove("conditions");
                if !conditions.is_null() {
                    status.insert("conditions".to_owned(), conditions);
                }
            }
        } else {
            keep_approval(new, old);
        }
    }

    /// Conditions without times were made now; one that has the status it had keeps the time of that.
    fn stamp(&self, new: &mut Object, old: Option<&Object>, now: &str) {
        const TRANSITION: &str = "lastTransitionTime";
        let Some(status) = get_mut(new, "status") else { return };
        for condition in list_mut(status, "conditions") {
            default_to(condition, "lastUpdateTime", now);
            let same = |other: &&Value| ["type", "status"].iter().all(|key| text(other, key) == text(condition, key));
            let before = old.into_iter().flat_map(|old| list(field(old, "status"), "conditions"));
            let known = before.filter(same).map(|other| text(other, TRANSITION)).find(|time| !time.is_empty());
            default_to(condition, TRANSITION, known.unwrap_or(now));
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let request = spec.child("request");
        if let Err(error) = is_request(request.str()) {
            errors.invalid(&request, error.to_string());
        }
        let usages = spec.child("usages");
        if usages.is_empty() {
            errors.required(&usages);
        }
        let mut seen = BTreeSet::new();
        for usage in usages.items() {
            errors.one_of_if_set(&usage, &USAGES);
            if !seen.insert(usage.str()) {
                errors.duplicate(&usage);
            }
        }
        signer(&spec.child("signerName"), &mut errors);
        let seconds = spec.child("expirationSeconds");
        if seconds.int().is_some_and(|seconds| seconds < MIN_SECONDS) {
            errors.invalid(&seconds, "may not specify a duration less than 600 seconds (10 minutes)");
        }
        let status = Cursor::root(new, "status");
        conditions(&status.child("conditions"), &mut errors);
        certificate(&status.child("certificate"), &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let status = Cursor::root(new, "status");
        let at = status.child("conditions");
        conditions(&at, &mut errors);
        let certificates = (text(field(old, "status"), "certificate"), status.child("certificate"));
        // What was there before is let be.
        if chain_error(certificates.0).is_none() {
            certificate(&certificates.1, &mut errors);
        }
        let counts = |kind: &str| (of_type(old, kind).len(), of_type(new, kind).len());
        for (kind, (before, after)) in TRUE_ONLY.map(|kind| (kind, counts(kind))) {
            if after < before {
                errors.forbidden(&at, format!("updates may not remove a condition of type {kind:?}"));
            }
        }
        for (kind, (before, after)) in APPROVAL.map(|kind| (kind, counts(kind))) {
            if subresource != "approval" && after > before {
                errors.forbidden(&at, format!("updates may not add a condition of type {kind:?}"));
            }
        }
        let (before, at) = certificates;
        if !before.is_empty() && before != at.str() {
            errors.forbidden(&at, "updates may not modify existing certificate content");
        }
        errors.into_vec()
    }
}

/// PEM of a PKCS#10 request whose signature is good, in base64 as bytes are in JSON.
fn is_request(encoded: &str) -> Result<(), PkiError> {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    requests::CertificateRequest::read(&decoded.unwrap_or_default()).map(drop)
}

fn certificate(at: &Cursor, errors: &mut Errors) {
    if let Some(why) = chain_error(at.str()) {
        errors.invalid_as(at, "<certificate data>", why);
    }
}

/// Why the bytes are not certificates in PEM, one after the other.
fn chain_error(encoded: &str) -> Option<String> {
    const LABEL: &str = "CERTIFICATE";
    let bytes = STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty())?;
    let mut found = false;
    for block in Pem::iter_from_buffer(&bytes).filter_map(Result::ok) {
        if block.label != LABEL {
            return Some(format!("only {LABEL} PEM blocks are allowed, found {:?}", block.label));
        }
        if block.parse_x509().is_err() {
            return Some("x509: malformed certificate".to_owned());
        }
        found = true;
    }
    (!found).then(|| format!("must contain at least one {LABEL} PEM block"))
}

/// `domain/path`.
fn signer(at: &Cursor, errors: &mut Errors) {
    let Some((domain, path)) = at.str().split_once('/') else {
        if at.str().is_empty() {
            errors.required(at);
        } else {
            errors.invalid(at, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        }
        return;
    };
    if !domain.contains('.') {
        errors.invalid(at, "should be a domain with at least two segments separated by dots");
    }
    for message in names::dns1123_subdomain(domain).into_iter().chain(names::dns1123_subdomain(path)) {
        errors.invalid(at, message);
    }
}

fn conditions(at: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for condition in at.items() {
        let (kind, status) = (condition.child("type"), condition.child("status"));
        if kind.str().is_empty() {
            errors.required(&kind);
        }
        let allowed: &[&str] = if TRUE_ONLY.contains(&kind.str()) { &["True"] } else { &["False", "True", "Unknown"] };
        errors.one_of(&status, allowed);
        if APPROVAL.contains(&kind.str()) && APPROVAL.iter().any(|other| *other != kind.str() && seen.contains(other)) {
            errors.invalid_as(at, kind.str(), "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind.str()) {
            errors.duplicate(&kind);
        }
    }
}

fn of_type<'v>(request: &'v Value, kind: &str) -> Vec<&'v Value> {
    let all = list(field(request, "status"), "conditions").iter();
    all.filter(|condition| text(condition, "type") == kind).collect()
}

/// Conditions of approval stay what they were where there are as many as before.
fn keep_approval(new: &mut Object, old: &Object) {
    for kind in APPROVAL {
        let before: Vec<Value> = of_type(old, kind).into_iter().cloned().collect();
        if before.len() != of_type(new, kind).len() {
            continue;
        }
        let conditions = new["status"]["conditions"].as_array_mut().into_iter().flatten();
        for (condition, kept) in conditions.filter(|condition| text(condition, "type") == kind).zip(before) {
            if !same(condition, &kept) {
                *condition = kept;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_request_is_a_request_to_a_signer() {
        let (_, pem) = requests::CertificateRequest::make(&Default::default()).unwrap();
        let pem = STANDARD.encode(pem);
        let good = json!({"spec": {"request": pem, "signerName": "example.com/a", "usages": ["client auth"]}});
        assert_eq!(CertificateRequest.validate(&good), []);
        let bad = json!({"spec": {"request": "", "signerName": "a", "usages": ["x"], "expirationSeconds": 1}});
        let errors = words(&CertificateRequest.validate(&bad));
        let places: Vec<&str> = errors.iter().filter_map(|error| error.split(": ").next()).collect();
        assert_eq!(places, ["spec.request", "spec.usages[0]", "spec.signerName", "spec.expirationSeconds"]);
    }

    #[test]
    fn only_the_approval_approves() {
        let old = json!({"spec": {"a": 1}, "status": {"certificate": "c"}});
        let approved = json!([{"type": "Approved", "status": "True"}]);
        let mut new = json!({"spec": {"a": 2}, "status": {"certificate": "d", "conditions": approved}});
        let by_status = words(&CertificateRequest.validate_subresource("status", &new, &old));
        let expected = [
            "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"",
            "status.certificate: Forbidden: updates may not modify existing certificate content",
        ];
        assert_eq!(by_status, expected);
        CertificateRequest.prepare_for_subresource("approval", &mut new, &old);
        assert_eq!(new, json!({"spec": {"a": 1}, "status": {"certificate": "c", "conditions": approved}}));
        assert_eq!(CertificateRequest.validate_subresource("approval", &new, &old), []);
        let both = json!({"status": {"conditions": [
            {"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"},
        ]}});
        let errors = words(&CertificateRequest.validate_subresource("approval", &both, &json!({})));
        assert!(errors[0].ends_with("Approved and Denied conditions are mutually exclusive"), "{errors:?}");
    }
}
