//! Validation of probes and lifecycle hooks.

use api::names;

use super::super::cursor::{Cursor, Errors};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Probe,
    Hook,
}

/// The three probes of a container that may have them.
pub fn probes(container: &Cursor, grace: Option<i64>, errors: &mut Errors) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.child(name);
        if !probe.is_set() {
            continue;
        }
        self::probe(&probe, grace, errors);
        if name == "readinessProbe" {
            let own_grace = probe.child("terminationGracePeriodSeconds");
            if own_grace.is_set() {
                errors.invalid(&own_grace, "must not be set for readinessProbes");
            }
        } else if probe.number("successThreshold") != Some(1) {
            let threshold = probe.child("successThreshold");
            errors.invalid_as(&threshold, threshold.int().unwrap_or_default(), "must be 1");
        }
    }
}

fn probe(at: &Cursor, grace: Option<i64>, errors: &mut Errors) {
    handler(at, Purpose::Probe, grace, errors);
    for name in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        errors.not_negative(&at.child(name));
    }
    let own_grace = at.child("terminationGracePeriodSeconds");
    if own_grace.int().is_some_and(|seconds| seconds <= 0) {
        errors.invalid(&own_grace, "must be greater than 0");
    }
}

pub fn lifecycle(container: &Cursor, grace: Option<i64>, os: Option<&str>, errors: &mut Errors) {
    let lifecycle = container.child("lifecycle");
    for name in ["postStart", "preStop"] {
        let hook = lifecycle.child(name);
        if hook.is_set() {
            handler(&hook, Purpose::Hook, grace, errors);
        }
    }
    let signal = lifecycle.child("stopSignal");
    if signal.is_set() && os.is_none() {
        errors.forbidden(&signal, "may not be set for containers with empty `spec.os.name`");
    }
}

fn handler(at: &Cursor, purpose: Purpose, grace: Option<i64>, errors: &mut Errors) {
    let kinds = match purpose {
        Purpose::Probe => ["exec", "httpGet", "tcpSocket", "grpc"],
        Purpose::Hook => ["exec", "httpGet", "tcpSocket", "sleep"],
    };
    let mut found = false;
    for kind in kinds {
        let action = at.child(kind);
        if !action.is_set() {
            continue;
        }
        if found {
            errors.forbidden(&action, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match kind {
            "exec" => {
                if action.child("command").is_empty() {
                    errors.required(&action.child("command"));
                }
            }
            "httpGet" => http_get(&action, errors),
            "sleep" => sleep(&action, grace, errors),
            _ => port(&action.child("port"), errors),
        }
    }
    if !found {
        errors.required_because(at, "must specify a handler type");
    }
}

fn http_get(at: &Cursor, errors: &mut Errors) {
    let scheme = at.child("scheme");
    if at.text("path").is_empty() {
        errors.required(&at.child("path"));
    }
    port(&at.child("port"), errors);
    if !matches!(scheme.str(), "HTTP" | "HTTPS") {
        errors.not_supported(&scheme, &["HTTP", "HTTPS"]);
    }
    for header in at.child("httpHeaders").items() {
        let name = header.text("name");
        if let Some(message) = names::http_header_name(name) {
            errors.invalid_as(&at.child("httpHeaders"), name, message);
        }
    }
}

/// A number or the name of a port.
pub fn port(at: &Cursor, errors: &mut Errors) {
    match at.value.as_str() {
        Some(name) => errors.messages(at, names::port_name(name)),
        None => {
            let number = at.int().unwrap_or_default();
            if let Some(message) = names::port_number(number) {
                errors.invalid_as(at, number, message);
            }
        }
    }
}

fn sleep(at: &Cursor, grace: Option<i64>, errors: &mut Errors) {
    let seconds = at.number("seconds").unwrap_or_default();
    if let Some(grace) = grace.filter(|grace| !(0..=*grace).contains(&seconds)) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid_as(at, seconds, detail);
    }
}
