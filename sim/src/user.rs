//! What users ask of the API server. A refusal is an answer like any other: users try things.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::Request;
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Error, Resource};
use serde_json::{Value, json};

use crate::action::{self, Action};

/// Carries out what a user wants; nothing for what is not a user's.
pub async fn act(client: Client, action: Action) {
    if let Err(error) = attempt(&client, &action).await {
        tracing::debug!(%action, %error, "refused");
    }
}

fn split(named: &str) -> (&str, &str) {
    named.split_once('/').unwrap_or(("default", named))
}

async fn attempt(client: &Client, action: &Action) -> Result<(), Error> {
    match action {
        Action::CreateNamespace { name } => {
            create::<Namespace>(client, None, json!({"metadata": {"name": name}})).await
        }
        Action::DeleteNamespace { name } => delete::<Namespace>(client, None, name, DeleteParams::default()).await,
        Action::CreateDeployment(deployment) => {
            create::<Deployment>(client, Some(split(&deployment.name).0), manifest(deployment)).await
        }
        Action::Scale { name, replicas } => {
            patch::<Deployment>(client, name, json!({"spec": {"replicas": replicas}})).await
        }
        Action::Roll { name, image } => {
            let containers = json!([{"name": "main", "image": image}]);
            patch::<Deployment>(client, name, json!({"spec": {"template": {"spec": {"containers": containers}}}})).await
        }
        Action::DeleteDeployment { name, propagation } => {
            delete::<Deployment>(client, Some(split(name).0), split(name).1, params(propagation)).await
        }
        Action::CreateNote { name, owner, also, blocks } => {
            let (namespace, name) = split(name);
            let mut owners = Vec::new();
            for owner in std::iter::once(owner).chain(also) {
                owners.extend(reference(client, namespace, owner, *blocks).await?);
            }
            let metadata = json!({"name": name, "ownerReferences": owners});
            create::<ConfigMap>(client, Some(namespace), json!({ "metadata": metadata })).await
        }
        Action::DeleteNote { name, propagation } => {
            delete::<ConfigMap>(client, Some(split(name).0), split(name).1, params(propagation)).await
        }
        Action::CreateService { name } => {
            let (namespace, app) = split(name);
            let spec = json!({"selector": {"app": app}, "ports": [{"port": 80}]});
            create::<Service>(client, Some(namespace), json!({"metadata": {"name": app}, "spec": spec})).await
        }
        Action::DeleteService { name } => {
            delete::<Service>(client, Some(split(name).0), split(name).1, DeleteParams::default()).await
        }
        Action::CreateBudget { name, min, max } => {
            let (namespace, app) = split(name);
            let selector = json!({"matchLabels": {"app": app}});
            let spec = json!({"selector": selector, "minAvailable": min, "maxUnavailable": max});
            create::<PodDisruptionBudget>(client, Some(namespace), json!({"metadata": {"name": app}, "spec": spec}))
                .await
        }
        Action::DeleteBudget { name } => {
            delete::<PodDisruptionBudget>(client, Some(split(name).0), split(name).1, DeleteParams::default()).await
        }
        Action::Cordon { node, on } => patch::<Node>(client, node, json!({"spec": {"unschedulable": on}})).await,
        Action::Taint { node, on } => {
            let taints = if *on { json!([{"key": "broken", "effect": "NoExecute"}]) } else { json!(null) };
            patch::<Node>(client, node, json!({"spec": {"taints": taints}})).await
        }
        Action::DeleteNode { node } => delete::<Node>(client, None, node, DeleteParams::default()).await,
        other => on_pod(client, other).await,
    }
}

async fn on_pod(client: &Client, action: &Action) -> Result<(), Error> {
    match action {
        Action::CreatePod { name, image, restart, cpu, grace } => {
            let (namespace, name) = split(name);
            let spec = json!({"restartPolicy": restart, "terminationGracePeriodSeconds": grace,
                "containers": [{"name": "main", "image": image, "resources": requests(*cpu)}]});
            let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
            create::<Pod>(client, Some(namespace), pod).await
        }
        Action::DeletePod { name, grace } => {
            let params = DeleteParams { grace_period_seconds: grace.map(|grace| grace as u32), ..Default::default() };
            delete::<Pod>(client, Some(split(name).0), split(name).1, params).await
        }
        Action::DeleteMember { name, index } => match member(client, name, *index).await? {
            Some(pod) => delete::<Pod>(client, Some(split(name).0), &pod, DeleteParams::default()).await,
            None => Ok(()),
        },
        Action::EvictMember { name, index } => match member(client, name, *index).await? {
            Some(pod) => {
                let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
                let request = Request::new(Pod::url_path(&(), Some(split(name).0)));
                let params = PostParams::default();
                let request = request.create_subresource("eviction", &pod, &params, body.to_string().into());
                send(client, request).await
            }
            None => Ok(()),
        },
        Action::FreeMember { name, index } => match member(client, name, *index).await? {
            Some(pod) => {
                let freed = json!({"metadata": {"labels": {"app": "free"}}});
                patch::<Pod>(client, &format!("{}/{pod}", split(name).0), freed).await
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn params(propagation: &str) -> DeleteParams {
    match propagation {
        "foreground" => DeleteParams::foreground(),
        "orphan" => DeleteParams::orphan(),
        _ => DeleteParams::background(),
    }
}

/// To an owner as it is now, if there is one; it may be gone when the reference is written.
async fn reference(client: &Client, namespace: &str, owner: &str, blocks: bool) -> Result<Option<Value>, Error> {
    let (kind, name) = split(owner);
    let (url, version, kind) = match kind {
        "deployment" => (Deployment::url_path(&(), Some(namespace)), "apps/v1", "Deployment"),
        _ => (ConfigMap::url_path(&(), Some(namespace)), "v1", "ConfigMap"),
    };
    let request = Request::new(url).get(name, &GetParams::default()).map_err(Error::BuildRequest)?;
    let object: Value = match client.request(request).await {
        Err(Error::Api(answer)) if answer.is_not_found() => return Ok(None),
        answer => answer?,
    };
    let uid = &object["metadata"]["uid"];
    Ok(Some(json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": blocks})))
}

/// The name of a Deployment's pod.
async fn member(client: &Client, name: &str, index: u64) -> Result<Option<String>, Error> {
    let (namespace, app) = split(name);
    let request = Request::new(Pod::url_path(&(), Some(namespace)));
    let request = request.list(&ListParams::default().labels(&format!("app={app}"))).map_err(Error::BuildRequest)?;
    let list: Value = client.request(request).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let chosen = items.get(index as usize % items.len().max(1));
    Ok(chosen.and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned))
}

fn requests(cpu: u64) -> Value {
    json!({"requests": {"cpu": format!("{cpu}m")}})
}

fn manifest(deployment: &action::Deployment) -> Value {
    let (_, app) = split(&deployment.name);
    let labels = json!({ "app": app });
    let strategy = match deployment.recreate {
        true => json!({"type": "Recreate"}),
        false => json!({"type": "RollingUpdate", "rollingUpdate": {
            "maxSurge": deployment.surge, "maxUnavailable": deployment.unavailable}}),
    };
    let container = json!({"name": "main", "image": deployment.image, "resources": requests(deployment.cpu),
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}});
    // Patience with nodes that are lost is shorter than the default, so that a storm sees the end of it.
    let tolerations: Vec<Value> = ["not-ready", "unreachable"]
        .iter()
        .map(|key| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 15}))
        .collect();
    let spec = json!({"terminationGracePeriodSeconds": deployment.grace, "tolerations": tolerations,
        "containers": [container]});
    json!({"metadata": {"name": app}, "spec": {"replicas": deployment.replicas, "selector": {"matchLabels": labels},
        "strategy": strategy, "revisionHistoryLimit": 2, "template": {"metadata": {"labels": labels}, "spec": spec}}})
}

async fn send(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<(), Error> {
    client.request::<serde::de::IgnoredAny>(request.map_err(Error::BuildRequest)?).await.map(drop)
}

async fn create<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
    mut object: Value,
) -> Result<(), Error> {
    object["apiVersion"] = K::api_version(&()).into();
    object["kind"] = K::kind(&()).into();
    let request = Request::new(K::url_path(&(), namespace));
    send(client, request.create(&PostParams::default(), object.to_string().into())).await
}

/// `named`: with its namespace, if it has one.
async fn patch<K: Resource<DynamicType = ()>>(client: &Client, named: &str, change: Value) -> Result<(), Error> {
    let (namespace, name) = match named.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, named),
    };
    let request = Request::new(K::url_path(&(), namespace));
    send(client, request.patch(name, &PatchParams::default(), &Patch::Strategic(change))).await
}

async fn delete<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
    name: &str,
    params: DeleteParams,
) -> Result<(), Error> {
    send(client, Request::new(K::url_path(&(), namespace)).delete(name, &params)).await
}
