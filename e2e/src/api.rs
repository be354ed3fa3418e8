//! Requests to the API server without a program in between: cheap enough to ask until something holds.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::namespace::Namespace;
use crate::objects::{has_condition, text};
use crate::wait::eventually;

/// An administrator's client.
pub struct Api {
    runtime: Runtime,
    client: Client,
    namespace: Namespace,
}

impl Api {
    pub fn new(kubeconfig: &Path, namespace: &Namespace) -> Result<Self> {
        // Every dependency may have another default: the tests say it as the program does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(client(kubeconfig))?;
        Ok(Self { runtime, client, namespace: namespace.clone() })
    }

    /// Runs asynchronous work with a client, inside the cluster's network namespace.
    pub fn run<T: Send, F: Future<Output = Result<T>>>(&self, work: impl FnOnce(Client) -> F + Send) -> Result<T> {
        self.namespace.run(|| self.runtime.block_on(work(self.client.clone())))?
    }

    /// Status code and body of an answer; a body that is no JSON is a string.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.send(method, path, kind, body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
    }

    /// A request with any body.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Result<(u16, Value)> {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(path)
            .header("Content-Type", content_type)
            .header("Accept", "application/json")
            .body(Body::from(body))?;
        self.run(|client| async move {
            let response = client.send(request).await?;
            let code = response.status().as_u16();
            let bytes = response.into_body().collect().await?.to_bytes();
            let text = || String::from_utf8_lossy(&bytes).into_owned().into();
            Ok((code, serde_json::from_slice(&bytes).unwrap_or_else(|_| text())))
        })
        .with_context(|| format!("{method} {path}"))
    }

    /// What is there.
    ///
    /// # Errors
    /// Any answer but 200.
    pub fn get(&self, path: &str) -> Result<Value> {
        let (code, body) = self.request("GET", path, None)?;
        ensure!(code == 200, "GET {path}: {code} {body}");
        Ok(body)
    }

    /// `None` for 404 and only for that.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        let (code, body) = self.request("GET", path, None)?;
        ensure!(code == 200 || code == 404, "GET {path}: {code} {body}");
        Ok((code == 200).then_some(body))
    }

    pub fn items(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.get(path)?["items"].as_array().cloned().unwrap_or_default())
    }

    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let (code, body) = self.request("POST", path, Some(object))?;
        ensure!(code == 201, "POST {path}: {code} {body}");
        Ok(body)
    }

    /// JSON merge patch.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        let (code, body) = self.request("PATCH", path, Some(patch))?;
        ensure!(code == 200, "PATCH {path}: {code} {body}");
        Ok(body)
    }

    pub fn delete(&self, path: &str) -> Result<()> {
        let (code, body) = self.request("DELETE", path, None)?;
        ensure!(code == 200 || code == 202, "DELETE {path}: {code} {body}");
        Ok(())
    }

    /// A pod of the namespace `default`.
    pub fn pod(&self, name: &str) -> Result<Value> {
        self.get(&format!("/api/v1/namespaces/default/pods/{name}"))
    }

    /// Pods of the namespace `default` with the label `app`, without those that are ending.
    pub fn pods_of(&self, app: &str) -> Result<Vec<Value>> {
        let mut pods = self.items(&format!("/api/v1/namespaces/default/pods?labelSelector=app%3D{app}"))?;
        pods.retain(|pod| text(pod, "metadata.deletionTimestamp").is_empty());
        Ok(pods)
    }

    pub fn create_pod(&self, pod: &Value) -> Result<Value> {
        self.create("/api/v1/namespaces/default/pods", pod)
    }

    /// The pod once it is as wanted.
    pub fn pod_when(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = eventually(&format!("pod {name} {what}"), || {
            last = self.pod(name)?;
            Ok(wanted(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("the pod's status is {:#}", last["status"]))
    }

    pub fn pod_ready(&self, name: &str) -> Result<Value> {
        self.pod_when(name, "is Ready", |pod| has_condition(pod, "Ready"))
    }

    pub fn pod_phase(&self, name: &str, phase: &str) -> Result<Value> {
        self.pod_when(name, &format!("is {phase}"), |pod| text(pod, "status.phase") == phase)
    }

    /// Until all replicas of a Deployment of the namespace `default` are new and available.
    pub fn deployment_ready(&self, name: &str) -> Result<Value> {
        eventually(&format!("deployment {name} is complete"), || {
            let object = self.get(&format!("/apis/apps/v1/namespaces/default/deployments/{name}"))?;
            let status = |field: &str| object["status"][field].as_i64().unwrap_or(0);
            let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
            let seen = status("observedGeneration") >= object["metadata"]["generation"].as_i64().unwrap_or(0);
            let complete = seen
                && ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| status(field) == wanted);
            Ok(complete.then_some(object))
        })
    }
}

/// A client of the cluster that a kubeconfig names. Its watches may be quiet for as long as they like.
async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.read_timeout = None;
    Ok(Client::try_from(config)?)
}
