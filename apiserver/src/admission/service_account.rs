//! ServiceAccount: every pod runs as a service account and finds its token, the cluster's CA and its namespace in a volume.

use std::time::Duration;

use api::Object;
use api::meta::Meta;
use api::status::Status;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Verdict};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Lifetime of the projected token; the odd seconds mark it as one that this step asked for (upstream).
const TOKEN_SECONDS: i64 = 3607;
/// A new namespace's default account is made by a controller: wait for it.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct ServiceAccount;

impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, pod: &'a mut Object) -> Verdict<'a> {
        Box::pin(async move {
            if !cx.is("", "pods", "") || cx.operation != Operation::Create {
                return Ok(());
            }
            if pod.annotation(MIRROR).is_some() {
                return check_mirror(cx, pod);
            }
            let spec = &mut pod["spec"];
            if spec["serviceAccountName"].as_str().unwrap_or_default().is_empty() {
                spec["serviceAccountName"] = "default".into();
            }
            let name = spec["serviceAccountName"].as_str().unwrap_or_default().to_owned();
            let account = account(cx, pod, &name).await?;
            let spec = &mut pod["spec"];
            if automounts(&account, spec) {
                mount_token(spec, cx.random);
            }
            let pull_secrets = account["imagePullSecrets"].as_array().filter(|secrets| !secrets.is_empty());
            if spec["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
                && let Some(secrets) = pull_secrets
            {
                spec["imagePullSecrets"] = secrets.clone().into();
            }
            Ok(())
        })
    }
}

async fn account(cx: &Attributes<'_>, pod: &Object, name: &str) -> Result<Object, Status> {
    let patience = if name == "default" { ACCOUNT_PATIENCE } else { Duration::ZERO };
    let found = cx.reader.get_soon("", "serviceaccounts", cx.namespace, name, patience).await?;
    found.ok_or_else(|| {
        let namespace = cx.namespace;
        let missing = format!("serviceaccount {name:?} not found");
        cx.forbidden(pod, &format!("error looking up service account {namespace}/{name}: {missing}"))
    })
}

fn check_mirror(cx: &Attributes<'_>, pod: &Object) -> Result<(), Status> {
    if !pod["spec"]["serviceAccountName"].as_str().unwrap_or_default().is_empty() {
        return Err(cx.forbidden(pod, "a mirror pod may not reference service accounts"));
    }
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let sources = volumes.clone().flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten());
    if sources.clone().any(|source| source.get("serviceAccountToken").is_some()) {
        return Err(cx.forbidden(pod, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    if volumes.clone().any(|volume| volume.get("secret").is_some()) {
        return Err(cx.forbidden(pod, "a mirror pod may not reference secrets"));
    }
    Ok(())
}

/// The pod's word counts before the account's.
fn automounts(account: &Object, spec: &Value) -> bool {
    let said = spec["automountServiceAccountToken"].as_bool().or(account["automountServiceAccountToken"].as_bool());
    said.unwrap_or(true)
}

fn mount_token(spec: &mut Value, random: u64) {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let present = volumes.filter_map(|volume| volume["name"].as_str()).find(|name| name.starts_with(VOLUME_PREFIX));
    let present = present.map(str::to_owned);
    let name = present.clone().unwrap_or_else(|| crate::metadata::generate_name(VOLUME_PREFIX, random));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            if mounts.clone().any(|mount| mount["mountPath"] == MOUNT_PATH) {
                continue;
            }
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
            push(container, "volumeMounts", mount);
            mounted = true;
        }
    }
    if present.is_none() && mounted {
        push(spec, "volumes", json!({"name": name, "projected": token_sources()}));
    }
}

fn push(object: &mut Value, member: &str, element: Value) {
    match object[member].as_array_mut() {
        Some(list) => list.push(element),
        None => object[member] = json!([element]),
    }
}

fn token_sources() -> Value {
    json!({
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_sees_the_token_once() {
        let mut spec = json!({
            "containers": [{"name": "a"}, {"name": "b", "volumeMounts": [{"name": "x", "mountPath": MOUNT_PATH}]}],
            "initContainers": [{"name": "i"}],
        });
        mount_token(&mut spec, 7);
        let name = spec["volumes"][0]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with(VOLUME_PREFIX) && name.len() == VOLUME_PREFIX.len() + 5);
        for pointer in ["/containers/0/volumeMounts/0/name", "/initContainers/0/volumeMounts/0/name"] {
            assert_eq!(spec.pointer(pointer).and_then(Value::as_str), Some(name.as_str()));
        }
        assert_eq!(spec["containers"][1]["volumeMounts"].as_array().map(Vec::len), Some(1));
        let before = spec.clone();
        mount_token(&mut spec, 8);
        assert_eq!(spec, before);
    }

    #[test]
    fn the_pod_may_opt_out_and_in() {
        let table = [
            (json!(null), json!(null), true),
            (json!(false), json!(null), false),
            (json!(false), json!(true), true),
            (json!(true), json!(false), false),
        ];
        for (account, pod, expected) in table {
            let (account, pod) =
                (json!({"automountServiceAccountToken": account}), json!({"automountServiceAccountToken": pod}));
            assert_eq!(automounts(&account, &pod), expected, "{account} {pod}");
        }
    }
}
