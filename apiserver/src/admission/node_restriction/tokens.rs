//! Tokens of service accounts: a node asks for those of the pods that run on it, for audiences that they name.

use api::Object;
use api::meta::Meta;
use api::status::{Qualified, Status};
use serde_json::Value;

use super::super::Attributes;
use super::{Checked, Refused, because};
use crate::authorizer::{Authorizer, Decision};
use crate::request::RequestInfo;

pub(super) async fn check(authorizer: &dyn Authorizer, cx: &Attributes<'_>, own: &str, request: &Object) -> Checked {
    let reference = &request["spec"]["boundObjectRef"];
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
        return because("node requested token not bound to a pod");
    }
    let (name, uid) = (text("name"), text("uid"));
    if uid.is_empty() {
        return because("node requested token with a pod binding without a uid");
    }
    let pod = cx.reader.get("", "pods", cx.namespace, name).await?;
    let pod = pod.ok_or_else(|| Status::not_found(Qualified::new("", "pod"), name))?;
    if uid != pod.uid() {
        return because(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        ));
    }
    if pod["spec"]["nodeName"] != own {
        return because("node requested token bound to a pod scheduled on a different node");
    }
    audience(authorizer, cx, request, &pod).await
}

/// One that a volume of the pod asks for, or that a role lets the node ask for.
async fn audience(authorizer: &dyn Authorizer, cx: &Attributes<'_>, request: &Object, pod: &Object) -> Checked {
    let audiences = request["spec"]["audiences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let audience = match audiences {
        [] => "",
        [one] => one.as_str().unwrap_or_default(),
        _ => return because("node may only request 0 or 1 audiences"),
    };
    match is_named(cx, pod, audience).await {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(why) => return because(format!("error validating audience {audience:?}: {why}")),
    }
    let asked = RequestInfo {
        is_resource: true,
        verb: "request-serviceaccounts-token-audience".to_owned(),
        version: "v1".to_owned(),
        namespace: cx.namespace.to_owned(),
        resource: audience.to_owned(),
        name: cx.name.to_owned(),
        ..RequestInfo::default()
    };
    if authorizer.authorize(cx.user, &asked).await == Decision::Allow {
        return Ok(());
    }
    let user = &cx.user.name;
    Err(Refused::Because(format!(
        "audience {audience:?} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
    )))
}

/// By a projected token, or by the driver of a volume.
async fn is_named(cx: &Attributes<'_>, pod: &Object, audience: &str) -> Result<bool, String> {
    let mut errors = Vec::new();
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let sources = volume["projected"]["sources"].as_array().into_iter().flatten();
        let mut tokens = sources.map(|source| &source["serviceAccountToken"]).filter(|token| token.is_object());
        if tokens.any(|token| token["audience"].as_str().unwrap_or_default() == audience) {
            return Ok(true);
        }
        match has_driver(cx, pod, volume, audience).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    match errors.as_slice() {
        [] => Ok(false),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

async fn has_driver(cx: &Attributes<'_>, pod: &Object, volume: &Value, audience: &str) -> Result<bool, String> {
    let claim = if volume["ephemeral"]["volumeClaimTemplate"].is_object() {
        format!("{}-{}", pod.name(), volume["name"].as_str().unwrap_or_default())
    } else {
        volume["persistentVolumeClaim"]["claimName"].as_str().unwrap_or_default().to_owned()
    };
    let mut driver = volume["csi"]["driver"].as_str().unwrap_or_default().to_owned();
    if !claim.is_empty() {
        let claim = must_get(cx, "", "persistentvolumeclaims", cx.namespace, &claim).await?;
        let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default();
        let volume = must_get(cx, "", "persistentvolumes", "", volume).await?;
        volume["spec"]["csi"]["driver"].as_str().unwrap_or_default().clone_into(&mut driver);
    }
    if driver.is_empty() {
        return Ok(false);
    }
    let driver = must_get(cx, "storage.k8s.io", "csidrivers", "", &driver).await?;
    let mut requests = driver["spec"]["tokenRequests"].as_array().into_iter().flatten();
    Ok(requests.any(|request| request["audience"].as_str().unwrap_or_default() == audience))
}

async fn must_get(
    cx: &Attributes<'_>,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Object, String> {
    let found = cx.reader.get(group, resource, namespace, name).await.map_err(|status| status.message)?;
    let singular = Qualified::new(group, resource.trim_end_matches('s'));
    found.ok_or_else(|| Status::not_found(singular, name).message)
}
