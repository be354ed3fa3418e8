//! Endpoints, and the rules for addresses that it shares with others.

use std::net::IpAddr;

use api::Object;
use api::field::FieldError;
use api::names;

use super::addresses;
use super::cursor::{Cursor, Errors, list};
use super::edit::{default_text, list_mut};
use super::equality::changed;
use super::selectors::label_name;
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Endpoints;

impl Strategy for Endpoints {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        for subset in list_mut(new, "subsets") {
            for port in list_mut(subset, "ports") {
                default_text(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        for subset in Cursor::root(new, "subsets").items() {
            if ADDRESSES.iter().all(|name| list(subset.value, name).is_empty()) {
                errors.required_because(&subset, "must specify `addresses` or `notReadyAddresses`");
            }
            for name in ADDRESSES {
                for at in subset.child(name).items() {
                    address(&at, &mut errors);
                }
            }
            let ports = subset.child("ports");
            for at in ports.items() {
                port(&at, ports.len() > 1, &mut errors);
            }
        }
        errors.into_vec()
    }

    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        changed(new, old, "subsets")
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let mut warnings = Vec::new();
        for subset in Cursor::root(new, "subsets").items() {
            for name in ADDRESSES {
                for address in subset.child(name).items() {
                    let ip = address.child("ip");
                    warnings.extend(addresses::warning(ip.path().as_str(), ip.str()));
                }
            }
        }
        warnings
    }
}

const ADDRESSES: [&str; 2] = ["addresses", "notReadyAddresses"];

fn address(at: &Cursor, errors: &mut Errors) {
    let (ip, host, node) = (at.child("ip"), at.child("hostname"), at.child("nodeName"));
    addresses::ip(&ip, errors);
    if !host.str().is_empty() {
        errors.messages(&host, names::dns1123_label(host.str()));
    }
    if node.is_set() {
        errors.messages(&node, names::dns1123_subdomain(node.str()));
    }
    special_address(&ip, errors);
}

fn port(at: &Cursor, named: bool, errors: &mut Errors) {
    let (name, number, protocol) = (at.child("name"), at.child("port"), at.child("appProtocol"));
    if !name.str().is_empty() {
        errors.messages(&name, names::dns1123_label(name.str()));
    } else if named {
        errors.required(&name);
    }
    let value = number.int().unwrap_or_default();
    if let Some(message) = names::port_number(value) {
        errors.invalid_as(&number, value, message);
    }
    errors.one_of(&at.child("protocol"), &["SCTP", "TCP", "UDP"]);
    if protocol.is_set() {
        label_name(&protocol, errors);
    }
}

/// Addresses that lead nowhere, or back to oneself, are no endpoints.
pub fn special_address(at: &Cursor, errors: &mut Errors) {
    let Some(ip) = addresses::parse(at.str()) else {
        return errors.invalid_text(at, "must be a valid IP address");
    };
    let (local, multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        errors.invalid(at, format!("may not be unspecified ({})", at.str()));
    }
    if ip.is_loopback() {
        errors.invalid(at, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if local {
        errors.invalid(at, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        errors.invalid(at, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn endpoints_are_checked() {
        let port = json!({"port": 80});
        let table: &[(&str, Value, &[&str])] = &[
            ("valid", json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [port]}), &[]),
            ("empty", json!({}), &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
            (
                "loopback",
                json!({"notReadyAddresses": [{"ip": "127.0.0.1"}]}),
                &[
                    "subsets[0].notReadyAddresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range \
                   (127.0.0.0/8, ::1/128)",
                ],
            ),
            (
                "two ports need names",
                json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [port, {"name": "b", "port": 0}]}),
                &[
                    "subsets[0].ports[0].name: Required value",
                    "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                ],
            ),
        ];
        for (name, subset, expected) in table {
            let mut object = json!({ "subsets": [subset] });
            Endpoints.defaults(&mut object, None);
            let errors: Vec<String> = Endpoints.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{name}");
        }
    }
}
