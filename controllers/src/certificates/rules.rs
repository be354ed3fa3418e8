//! Which requests are approved without a person. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use k8s_openapi::api::core::v1::Node;

use super::Asked;
use crate::common::nodes;

pub const CLIENT_KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const USER: &str = "system:node:";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Approve(&'static str),
    Deny(String),
    Leave,
}

/// `reserved` are the API server's addresses.
pub fn decide(spec: &CertificateSigningRequestSpec, asked: &Asked, all: &[Arc<Node>], reserved: &[IpAddr]) -> Decision {
    let by = spec.username.as_deref().unwrap_or("");
    let in_group = |group: &str| spec.groups.iter().flatten().any(|own| own == group);
    let of_node = in_group("system:nodes") && by == asked.common_name;
    let bootstraps = in_group("system:bootstrappers");
    let ours = match spec.signer_name.as_str() {
        CLIENT_KUBELET => of_node || bootstraps,
        KUBELET_SERVING => of_node,
        _ => false,
    };
    if !ours {
        return Decision::Leave;
    }
    if let Err(why) = sound(spec, asked) {
        return Decision::Deny(why);
    }
    let name = asked.common_name.strip_prefix(USER).unwrap_or_default();
    match spec.signer_name.as_str() {
        CLIENT_KUBELET if of_node => Decision::Approve("Auto approving self kubelet client certificate."),
        // Who has a token must not become a node that is at work.
        CLIENT_KUBELET if is_at_work(name, all) => Decision::Deny(format!("there is a node {name:?}, and it is Ready")),
        CLIENT_KUBELET => Decision::Approve("Auto approving kubelet client certificate."),
        _ => match serves_elsewhere(name, asked, all, reserved) {
            Some(why) => Decision::Deny(why),
            None => Decision::Approve("Auto approving kubelet serving certificate."),
        },
    }
}

/// What upstream's signers demand of requests of their kinds, whoever approved them.
pub fn sound(spec: &CertificateSigningRequestSpec, asked: &Asked) -> Result<(), String> {
    let purpose = match spec.signer_name.as_str() {
        CLIENT_KUBELET => "client auth",
        KUBELET_SERVING => "server auth",
        _ if asked.organizations.iter().any(|group| group == "system:masters") => {
            return Err("subject organization is system:masters".to_owned());
        }
        _ if asked.asks_for_more => {
            return Err("only common name, organizations, DNS names and IPs are signed".to_owned());
        }
        _ => return Ok(()),
    };
    let serves = purpose == "server auth";
    let usages: BTreeSet<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
    let plain = BTreeSet::from(["digital signature", purpose]);
    let rsa = BTreeSet::from(["digital signature", "key encipherment", purpose]);
    let named = !asked.names.is_empty() || !asked.addresses.is_empty();
    let why = if asked.organizations != ["system:nodes"] {
        "subject organization is not system:nodes"
    } else if !asked.common_name.starts_with(USER) || asked.common_name == USER {
        "subject common name does not begin with system:node:"
    } else if asked.asks_for_more {
        "Email and URI subjectAltNames are not allowed"
    } else if serves && !named {
        "DNS or IP subjectAltName is required"
    } else if !serves && named {
        "DNS and IP subjectAltNames are not allowed"
    } else if usages != plain && usages != rsa {
        return Err(format!("usages did not match {rsa:?}"));
    } else {
        return Ok(());
    };
    Err(why.to_owned())
}

fn is_at_work(name: &str, all: &[Arc<Node>]) -> bool {
    all.iter().any(|node| node.metadata.name.as_deref() == Some(name) && nodes::is_ready(node))
}

/// A node that served at somebody else's name or address could pretend to be that one.
fn serves_elsewhere(name: &str, asked: &Asked, all: &[Arc<Node>], reserved: &[IpAddr]) -> Option<String> {
    if let Some(other) = asked.names.iter().find(|other| *other != name) {
        return Some(format!("{other:?} is not the node's name"));
    }
    if matches!(name, "localhost" | "kubernetes") || name.starts_with("kubernetes.default") {
        return Some(format!("{name:?} is a name of the API server"));
    }
    let others = all.iter().filter(|node| node.metadata.name.as_deref() != Some(name));
    let taken: BTreeSet<&str> = others
        .flat_map(|node| node.status.iter().flat_map(|status| status.addresses.iter().flatten()))
        .map(|address| address.address.as_str())
        .collect();
    let bad = asked.addresses.iter().find(|address| {
        reserved.contains(address)
            || address.is_loopback()
            || address.is_unspecified()
            || taken.contains(&*address.to_string())
    });
    bad.map(|address| format!("{address} is not the node's own address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{object, shared};
    use serde_json::json;

    fn decision(signer: &str, by: &str, group: &str, asked: Asked) -> Decision {
        let purpose = if signer == KUBELET_SERVING { "server auth" } else { "client auth" };
        let spec = object(json!({"request": "", "signerName": signer, "username": by, "groups": [group],
            "usages": ["digital signature", purpose]}));
        let nodes = shared([json!({"metadata": {"name": "a"}, "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}})]);
        decide(&spec, &asked, &nodes, &["10.0.0.9".parse().expect("an address")])
    }

    fn client(name: &str) -> Asked {
        Asked { common_name: name.to_owned(), organizations: vec!["system:nodes".to_owned()], ..Asked::default() }
    }

    fn serving(name: &str, address: &str) -> Asked {
        let names = vec![name.to_owned()];
        Asked { names, addresses: vec![address.parse().expect("an address")], ..client("system:node:b") }
    }

    fn outcome(decision: &Decision) -> &'static str {
        match decision {
            Decision::Approve(_) => "approve",
            Decision::Deny(_) => "deny",
            Decision::Leave => "leave",
        }
    }

    #[test]
    fn nodes_get_what_is_theirs() {
        let (boot, node) = ("system:bootstrappers", "system:nodes");
        let b = "system:node:b";
        let table = [
            ("a new node", CLIENT_KUBELET, "system:bootstrap:x", boot, client(b), "approve"),
            ("a node at work", CLIENT_KUBELET, "system:bootstrap:x", boot, client("system:node:a"), "deny"),
            ("no node", CLIENT_KUBELET, "system:bootstrap:x", boot, client("admin"), "deny"),
            ("with names", CLIENT_KUBELET, "system:bootstrap:x", boot, serving("b", "10.0.0.2"), "deny"),
            ("its own again", CLIENT_KUBELET, b, node, client(b), "approve"),
            ("another's", CLIENT_KUBELET, "system:node:c", node, client(b), "leave"),
            ("anybody", CLIENT_KUBELET, "jane", "system:authenticated", client(b), "leave"),
            ("to serve", KUBELET_SERVING, b, node, serving("b", "10.0.0.2"), "approve"),
            ("to serve, by token", KUBELET_SERVING, "system:bootstrap:x", boot, serving("b", "10.0.0.2"), "leave"),
            ("at another's address", KUBELET_SERVING, b, node, serving("b", "10.0.0.1"), "deny"),
            ("at the API server's", KUBELET_SERVING, b, node, serving("b", "10.0.0.9"), "deny"),
            ("on loopback", KUBELET_SERVING, b, node, serving("b", "127.0.0.1"), "deny"),
            ("by another name", KUBELET_SERVING, b, node, serving("kubernetes", "10.0.0.2"), "deny"),
            ("another signer", "example.com/x", b, node, client(b), "leave"),
        ];
        for (name, signer, by, group, asked, expected) in table {
            let decision = decision(signer, by, group, asked);
            assert_eq!(outcome(&decision), expected, "{name}: {decision:?}");
        }
        let masters = Asked { organizations: vec!["system:masters".to_owned()], ..client(b) };
        assert_eq!(outcome(&decision(CLIENT_KUBELET, b, node, masters)), "deny");
    }
}
