//! NetworkPolicy.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::addresses::{is_range, range, range_warnings};
use super::cursor::{Cursor, Errors, list};
use super::edit::{default_to, list_mut, object_mut, set};
use super::selectors::label_selector;
use crate::strategy::Strategy;

/// The directions: a list of rules, and their list of peers.
const RULES: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const TYPES: [&str; 2] = ["Ingress", "Egress"];

#[derive(Debug)]
pub struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        let Some(spec) = object_mut(new, "spec") else { return };
        for (rules, _) in RULES {
            for rule in list_mut(spec, rules) {
                for port in list_mut(rule, "ports") {
                    default_to(port, "protocol", "TCP");
                }
            }
        }
        if list(spec, "policyTypes").is_empty() {
            let types = if list(spec, "egress").is_empty() { &TYPES[..1] } else { &TYPES[..] };
            set(spec, "policyTypes", json!(types));
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        check(new, &[])
    }

    /// Upstream checks the new state a second time, which forgives ranges that were there before; the first does not.
    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut known = Vec::new();
        each_range(old, |range| known.push(range.str()));
        check(new, &known)
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let mut warnings = Vec::new();
        each_range(new, |at| warnings.extend(range_warnings(at.path().as_str(), at.str())));
        warnings
    }
}

/// All address ranges of a policy.
fn each_range<'v>(policy: &'v Object, mut look: impl FnMut(&Cursor<'v, '_>)) {
    let spec = Cursor::root(policy, "spec");
    for (rules, peers) in RULES {
        for rule in spec.child(rules).items() {
            for peer in rule.child(peers).items() {
                let block = peer.child("ipBlock");
                if block.is_set() {
                    look(&block.child("cidr"));
                    block.child("except").items().for_each(|except| look(&except));
                }
            }
        }
    }
}

fn check(policy: &Object, known: &[&str]) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = Cursor::root(policy, "spec");
    label_selector(&spec.child("podSelector"), &mut errors);
    for (rules, peers) in RULES {
        for rule in spec.child(rules).items() {
            for at in rule.child("ports").items() {
                port(&at, &mut errors);
            }
            for at in rule.child(peers).items() {
                peer(&at, known, &mut errors);
            }
        }
    }
    let types = spec.child("policyTypes");
    if types.len() > TYPES.len() {
        errors.invalid(&types, "may not specify more than two policyTypes");
    } else {
        types.items().for_each(|at| errors.one_of_if_set(&at, &TYPES));
    }
    errors.into_vec()
}

fn port(at: &Cursor, errors: &mut Errors) {
    errors.one_of_if_set(&at.child("protocol"), &PROTOCOLS);
    let (port, end) = (at.child("port"), at.child("endPort"));
    match (port.value, end.int()) {
        (Value::Null, None) => {}
        (Value::Null, Some(_)) => errors.invalid(&end, "may not be specified when `port` is not specified"),
        (Value::String(name), last) => {
            if last.is_some() {
                errors.invalid(&end, "may not be specified when `port` is non-numeric");
            }
            errors.messages(&port, names::port_name(name));
        }
        (number, last) => {
            let first = number.as_i64().unwrap_or_default();
            if let Some(wrong) = names::port_number(first) {
                errors.invalid(&port, wrong);
            }
            if let Some(last) = last {
                if last < first {
                    errors.invalid_as(&end, first, "must be greater than or equal to `port`");
                }
                if let Some(wrong) = names::port_number(last) {
                    errors.invalid(&end, wrong);
                }
            }
        }
    }
}

fn peer(at: &Cursor, known: &[&str], errors: &mut Errors) {
    let (pods, namespaces, block) = (at.child("podSelector"), at.child("namespaceSelector"), at.child("ipBlock"));
    label_selector(&pods, errors);
    label_selector(&namespaces, errors);
    if block.is_set() {
        ip_block(&block, known, errors);
    }
    match (block.is_set(), pods.is_set() || namespaces.is_set()) {
        (false, false) => errors.required_because(at, "must specify a peer"),
        (true, true) => errors.forbidden(at, "may not specify both ipBlock and another peer"),
        _ => {}
    }
}

fn ip_block(block: &Cursor, known: &[&str], errors: &mut Errors) {
    let whole = block.child("cidr");
    if whole.str().is_empty() {
        return errors.required(&whole);
    }
    let readable = |at: &Cursor, errors: &mut Errors| {
        if !known.contains(&at.str()) {
            range(at, errors);
        }
        is_range(at.str())
    };
    if !readable(&whole, errors) {
        return;
    }
    for except in block.child("except").items() {
        if readable(&except, errors) && !super::addresses::is_strict_part(except.str(), whole.str()) {
            errors.invalid(&except, "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::{field, text};
    use super::*;

    fn policy(rule: &Value) -> Value {
        let mut policy = json!({"spec": {"podSelector": {}, "ingress": [rule]}});
        NetworkPolicy.defaults(&mut policy, None);
        policy
    }

    #[test]
    fn policies_are_checked() {
        let block = |cidr: &str, except: &str| json!({"from": [{"ipBlock": {"cidr": cidr, "except": [except]}}]});
        let at = "spec.ingress[0]";
        let table = [
            (json!({"ports": [{"port": 80, "endPort": 90}], "from": [{"podSelector": {}}]}), String::new()),
            (
                json!({"ports": [{"port": 80, "endPort": 70}]}),
                format!("{at}.ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"),
            ),
            (
                json!({"ports": [{"port": "http", "endPort": 70}]}),
                format!("{at}.ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric"),
            ),
            (
                json!({"ports": [{"endPort": 70}]}),
                format!("{at}.ports[0].endPort: Invalid value: 70: may not be specified when `port` is not specified"),
            ),
            (json!({"from": [{}]}), format!("{at}.from[0]: Required value: must specify a peer")),
            (block("10.0.0.0/8", "10.1.0.0/16"), String::new()),
            (
                block("10.0.0.0/8", "11.0.0.0/16"),
                format!(
                    "{at}.from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"
                ),
            ),
            (
                json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}),
                format!("{at}.from[0]: Forbidden: may not specify both ipBlock and another peer"),
            ),
        ];
        for (rule, expected) in table {
            let errors: Vec<String> = NetworkPolicy.validate(&policy(&rule)).iter().map(ToString::to_string).collect();
            assert_eq!(errors.join("\n"), expected);
        }
    }

    #[test]
    fn both_directions_where_there_are_rules_for_both() {
        let mut policy = json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}});
        NetworkPolicy.defaults(&mut policy, None);
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(text(&list(&policy["spec"]["egress"][0], "ports")[0], "protocol"), "TCP");
        assert_eq!(field(&self::policy(&json!({}))["spec"], "policyTypes"), &json!(["Ingress"]));
    }
}
