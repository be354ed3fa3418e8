//! Validation of `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` together.

use serde_json::Value;

use super::super::addresses;
use super::super::cursor::{Cursor, Errors, field, list, size, text};
use super::{is_headless, kind};

pub fn related(service: &Value, errors: &mut Errors) {
    if kind(service) == "ExternalName" {
        return;
    }
    let spec = Cursor::root(service, "spec");
    let (ips, families, policy) = (spec.child("clusterIPs"), spec.child("ipFamilies"), spec.child("ipFamilyPolicy"));
    let single = spec.text("clusterIP");
    match ips.items().next().map(|ip| ip.str()) {
        None if !single.is_empty() => errors.required(&ips),
        Some(_) if single.is_empty() => errors.invalid(&ips, "must be empty when `clusterIP` is not specified"),
        Some(first) if first != single => errors.invalid(&ips, "first value must match `clusterIP`"),
        _ => {}
    }
    let mut seen = Vec::new();
    for family in families.items() {
        if !matches!(family.str(), "IPv4" | "IPv6") {
            errors.not_supported(&family, &["IPv4", "IPv6"]);
        }
        if seen.contains(&family.str()) {
            errors.duplicate(&family);
        }
        seen.push(family.str());
    }
    errors.one_of_if_set(&policy, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    if addresses_are_valid(&ips, errors) {
        match_families(service, &ips, &families, errors);
    }
}

fn addresses_are_valid(ips: &Cursor, errors: &mut Errors) -> bool {
    let before = errors.len();
    for (index, ip) in ips.items().enumerate() {
        if index == 0 && ip.str() == "None" {
            if ips.len() > 1 {
                errors.invalid(ips, "'None' must be the first and only value");
            }
        } else {
            addresses::ip(&ip, errors);
        }
    }
    let valid = errors.len() == before;
    if ips.len() > 2 {
        errors.invalid(ips, "may only hold up to 2 values");
    }
    valid
}

fn match_families(service: &Value, ips: &Cursor, families: &Cursor, errors: &mut Errors) {
    let found: Vec<&str> = ips.items().filter_map(|ip| addresses::parse(ip.str())).map(addresses::family).collect();
    if found.len() > 1 && !(found.len() == 2 && found[0] != found[1]) {
        errors.invalid(ips, "may specify no more than one IP for each IP family");
    }
    if is_headless(service) {
        return;
    }
    for (index, (ip, family)) in ips.items().zip(families.items()).enumerate() {
        let expected = family.str();
        if matches!(expected, "IPv4" | "IPv6") && found.get(index).is_some_and(|found| *found != expected) {
            errors.invalid(&ip, format!("expected an {expected} value as indicated by `ipFamilies[{index}]`"));
        }
    }
}

/// What a cluster with IPv4 addresses for Services cannot give.
pub fn single_stack(service: &Value, errors: &mut Errors) {
    if kind(service) == "ExternalName" {
        return;
    }
    let spec = Cursor::root(service, "spec");
    let (policy, families) = (spec.child("ipFamilyPolicy"), spec.child("ipFamilies"));
    let before = errors.len();
    if policy.str() == "SingleStack" {
        for (name, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if size(field(spec.value, name)) == 2 {
                let detail =
                    format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
                errors.invalid(&policy, detail);
            }
        }
    }
    let unselecting = text(spec.value, "clusterIP") == "None" && size(field(spec.value, "selector")) == 0;
    if unselecting || errors.len() > before {
        return;
    }
    if policy.str() == "RequireDualStack" {
        errors.invalid(&policy, "this cluster is not configured for dual-stack services");
    }
    for family in families.items().filter(|family| family.str() == "IPv6") {
        errors.invalid(&family, "not configured on this cluster");
    }
}

/// Addresses and families, once given, stay; a second one may come and go.
pub fn changes(new: &Value, old: &Value, errors: &mut Errors) {
    if kind(new) == "ExternalName" || kind(old) == "ExternalName" {
        return;
    }
    let (headless, was_headless) = (is_headless(new), is_headless(old));
    if !(headless && was_headless) {
        unchanged(new, old, "clusterIPs", "clusterIP", errors);
    }
    if !headless && !was_headless {
        unchanged(new, old, "ipFamilies", "ipFamily", errors);
    }
}

fn unchanged(new: &Value, old: &Value, name: &str, singular: &str, errors: &mut Errors) {
    let spec = Cursor::root(new, "spec");
    let at = spec.child(name);
    let before = list(field(old, "spec"), name);
    let shown = || at.value.clone();
    if before.len() == at.len() {
        for (index, (now, before)) in at.items().zip(before).enumerate() {
            if now.value != before {
                // Upstream reports a family always at the first place.
                let place = at.index(if name == "ipFamilies" { 0 } else { index });
                errors.invalid_as(&place, shown(), "may not change once set");
            }
        }
        return;
    }
    let first = at.index(0);
    if at.is_empty() {
        errors.invalid_as(&first, shown(), format!("primary {singular} can not be unset"));
    } else if before.first().is_some_and(|before| before != first.value) {
        errors.invalid_as(&first, shown(), "may not change once set");
    }
    if before.len() > at.len() && at.len() == 1 && spec.text("ipFamilyPolicy") != "SingleStack" {
        let policy = spec.child("ipFamilyPolicy");
        errors.invalid(&policy, format!("must be set to 'SingleStack' when releasing the secondary {singular}"));
    }
}
