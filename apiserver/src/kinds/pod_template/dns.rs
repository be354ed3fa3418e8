//! Validation of host names and DNS settings of a pod.

use api::names;

use super::super::addresses;
use super::super::cursor::{Cursor, Errors, text};

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCH_PATHS: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;
const MAX_HOST_NAME: usize = 64;

pub fn config(spec: &Cursor, errors: &mut Errors) {
    let at = spec.child("dnsConfig");
    let nameservers = at.child("nameservers");
    if spec.text("dnsPolicy") == "None" {
        if !at.is_set() {
            return errors.required_because(&at, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if nameservers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errors.required_because(&nameservers, detail);
        }
    }
    if nameservers.len() > MAX_NAMESERVERS {
        errors.invalid(&nameservers, format!("must not have more than {MAX_NAMESERVERS} nameservers"));
    }
    for server in nameservers.items() {
        addresses::ip(&server, errors);
    }
    searches(&at.child("searches"), errors);
    for option in at.child("options").items() {
        if text(option.value, "name").is_empty() {
            errors.required_because(&option, "must not be empty");
        }
    }
}

fn searches(at: &Cursor, errors: &mut Errors) {
    if at.len() > MAX_SEARCH_PATHS {
        errors.invalid(at, format!("must not have more than {MAX_SEARCH_PATHS} search paths"));
    }
    let characters = at.items().map(|search| search.str().len() + 1).sum::<usize>().saturating_sub(1);
    if characters > MAX_SEARCH_CHARACTERS {
        let detail =
            format!("must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list");
        errors.invalid(at, detail);
    }
    for search in at.items().filter(|search| search.str() != ".") {
        let name = search.str().strip_suffix('.').unwrap_or(search.str());
        for message in subdomain_with_underscore(name) {
            errors.invalid_as(&search, name, message);
        }
    }
}

fn subdomain_with_underscore(name: &str) -> Vec<String> {
    const LABEL: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    // The rule is that of a subdomain, with `_` where `-` may be.
    let labels: Vec<&str> = name.split('.').map(|label| label.strip_prefix('_').unwrap_or(label)).collect();
    let plain = names::dns1123_subdomain(&labels.join(".").replace('_', "-"));
    let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', \
                and must start and end with an alphanumeric character";
    let mut messages = Vec::new();
    if name.len() > 253 {
        messages.push("must be no more than 253 bytes".to_owned());
    }
    if plain.iter().any(|message| message.contains("RFC 1123")) {
        messages.push(names::regex_message(rule, &format!("{LABEL}(\\.{LABEL})*"), &["example.com"]));
    }
    messages
}

pub fn host_name(spec: &Cursor, errors: &mut Errors) {
    let at = spec.child("hostnameOverride");
    if !at.is_set() {
        return;
    }
    if spec.flag("setHostnameAsFQDN") == Some(true) {
        errors.forbidden(&at, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.flag("hostNetwork") == Some(true) {
        errors.forbidden(&at, "may not be specified when hostNetwork is true");
    }
    if at.len() > MAX_HOST_NAME {
        errors.too_long(&at, MAX_HOST_NAME);
    }
    errors.messages(&at, names::dns1123_subdomain(at.str()));
}

pub fn host_aliases(at: &Cursor, errors: &mut Errors) {
    for alias in at.items() {
        addresses::ip(&alias.child("ip"), errors);
        for name in alias.child("hostnames").items() {
            errors.messages(&name, names::dns1123_subdomain(name.str()));
        }
    }
}
