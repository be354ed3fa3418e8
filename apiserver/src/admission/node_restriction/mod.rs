//! NodeRestriction: a node changes what is its own, and nobody else's (`kubernetes/plugin/pkg/admission/noderestriction`). What a
//! node may do at all is said by the authorizer; whose it is that a request's body names can only be seen here.
//!
//! One file is what it is about: [`pods`], [`nodes`], [`tokens`]; the rest is small and here.

mod nodes;
mod pods;
mod tokens;

use std::sync::Arc;

use api::Object;
use api::meta::Meta;
use api::status::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Verdict};
use crate::authorizer::Authorizer;
use crate::front::requests::CertificateRequest;

const LEASES: &str = "kube-node-lease";

/// Signers of what nodes are known by.
const NODE_SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

pub struct NodeRestriction {
    pub authorizer: Arc<dyn Authorizer>,
}

/// Allowed, or why not.
type Checked = Result<(), Refused>;

enum Refused {
    /// In words for the user.
    Because(String),
    Status(Status),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

fn because<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Because(why.into()))
}

impl Admission for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn sees_below(&self) -> bool {
        true
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        match cx.user.node() {
            Some(_) if cx.operation != Operation::Connect => Box::pin(self.check(cx, Some(object))),
            _ => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// Deletions: nothing else has not been seen yet.
    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        match cx.user.node() {
            Some(_) if cx.operation == Operation::Delete => Box::pin(self.check(cx, object)),
            _ => Box::pin(std::future::ready(Ok(()))),
        }
    }
}

impl NodeRestriction {
    async fn check(&self, cx: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let own = cx.user.node().unwrap_or_default();
        let checked = match own {
            "" => because(format!("could not determine node from user {:?}", cx.user.name)),
            own => self.check_own(cx, own, object).await,
        };
        match checked {
            Ok(()) => Ok(()),
            Err(Refused::Because(why)) => Err(cx.forbidden(object.unwrap_or(&Value::Null), &why)),
            Err(Refused::Status(status)) => Err(status),
        }
    }

    async fn check_own(&self, cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
        match (cx.resource.group.as_str(), cx.resource.plural.as_str()) {
            ("", "pods") => pods::check(cx, own, object).await,
            ("", "nodes") => nodes::check(cx, own, object),
            ("", "persistentvolumeclaims") => claim(cx, own, object),
            ("", "serviceaccounts") => match object {
                Some(request) if cx.operation == Operation::Create && cx.subresource == "token" => {
                    tokens::check(&*self.authorizer, cx, own, request).await
                }
                _ => Ok(()),
            },
            ("coordination.k8s.io", "leases") => lease(cx, own, object),
            ("storage.k8s.io", "csinodes") if name(cx, object) != own => {
                because("can only access CSINode with the same name as the requesting node")
            }
            ("resource.k8s.io", "resourceslices") => slice(cx, own, object),
            ("certificates.k8s.io", "certificatesigningrequests") => certificate(cx, own, object),
            _ => Ok(()),
        }
    }
}

/// Of the object, which the body names when it is created.
fn name<'a>(cx: &'a Attributes<'_>, object: Option<&'a Object>) -> &'a str {
    match object {
        Some(object) if cx.operation == Operation::Create => object.name(),
        _ => cx.name,
    }
}

fn operation(cx: &Attributes<'_>) -> &'static str {
    match cx.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

fn lease(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    if cx.namespace != LEASES {
        return because(format!("can only access leases in the {LEASES:?} system namespace"));
    }
    if name(cx, object) != own {
        return because("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn slice(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    let named = |slice: Option<&Object>| slice.is_some_and(|slice| slice["spec"]["nodeName"] == own);
    match cx.operation {
        Operation::Create if !named(object) => {
            because("can only create ResourceSlice with the same NodeName as the requesting node")
        }
        Operation::Delete if !named(cx.old) => {
            because("can only delete ResourceSlice with the same NodeName as the requesting node")
        }
        _ => Ok(()),
    }
}

fn certificate(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    let Some(request) = object.filter(|_| cx.operation == Operation::Create) else { return Ok(()) };
    if !NODE_SIGNERS.contains(&request["spec"]["signerName"].as_str().unwrap_or_default()) {
        return Ok(());
    }
    let encoded = request["spec"]["request"].as_str().unwrap_or_default();
    let pem = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let asked = match CertificateRequest::read(&pem) {
        Ok(asked) => asked,
        Err(error) => return because(format!("unable to parse csr: {error}")),
    };
    if asked.common_name != format!("system:node:{own}") {
        return because(format!("can only create a node CSR with CN=system:node:{own}"));
    }
    Ok(())
}

/// What a node tells of a claim's volume: how large it is, and how it goes.
fn claim(cx: &Attributes<'_>, own: &str, object: Option<&Object>) -> Checked {
    if cx.subresource != "status" {
        return because("may only update PVC status");
    }
    let (Operation::Update, Some(old), Some(new)) = (cx.operation, cx.old, object) else {
        return because(format!("unexpected operation {:?}", operation(cx)));
    };
    let rest = |claim: &Object| {
        let mut claim = claim.clone();
        if let Some(status) = claim["status"].as_object_mut() {
            for told in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
                status.remove(told);
            }
        }
        if let Some(metadata) = claim["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
            metadata.remove("managedFields");
        }
        claim
    };
    if rest(old) != rest(new) {
        return because(format!(
            "node {own:?} is not allowed to update fields other than status.quantity and status.conditions"
        ));
    }
    Ok(())
}
