//! The command line as a client of the API: which server, which namespace, requests and their errors in kubectl's words.

use std::path::PathBuf;

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::resources::{Catalogue, Resource};

/// Where the cluster of this machine puts its kubeconfig by default.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/setpoint";

/// Flags that all verbs share.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connection {
    /// Path to the kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or this machine's cluster]
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Namespace of the request
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
}

/// An answer of the server that is no success.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A `metav1.Status`.
    #[error("{}", server_words(.0))]
    Status(Value),
    #[error("Unable to connect to the server: {0}")]
    Unreachable(#[source] kube::Error),
    #[error("the server's answer cannot be read: {0}")]
    Malformed(String),
}

fn server_words(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or_default();
    let message = text("message");
    match text("reason") {
        "" => format!("Error from server: {message}"),
        // kubectl leaves out the kind and name that the message of an invalid object begins with.
        "Invalid" => match message.split_once(": ") {
            Some((_, rest)) if !status["details"].is_null() => {
                let details = &status["details"];
                let kind = details["kind"].as_str().unwrap_or_default();
                let name = details["name"].as_str().unwrap_or_default();
                format!("The {kind} {name:?} is invalid: {}", causes(details, rest))
            }
            _ => format!("Error from server (Invalid): {message}"),
        },
        reason => format!("Error from server ({reason}): {message}"),
    }
}

/// One cause stays on the line; several are a list.
fn causes(details: &Value, message: &str) -> String {
    let causes: Vec<String> = details["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cause| {
            let text = |key: &str| cause[key].as_str().unwrap_or_default();
            format!("{}: {}", text("field"), text("message"))
        })
        .collect();
    match causes.as_slice() {
        [] => message.to_owned(),
        [one] => one.clone(),
        many => many.iter().map(|cause| format!("\n* {cause}")).collect(),
    }
}

impl ApiError {
    pub fn is(&self, reason: &str) -> bool {
        matches!(self, Self::Status(status) if status["reason"] == reason)
    }

    /// The server's own words, without kubectl's in front.
    pub fn message(&self) -> String {
        match self {
            Self::Status(status) => status["message"].as_str().unwrap_or_default().to_owned(),
            other => other.to_string(),
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.is("NotFound")
    }
}

/// A client with the namespace that the user means.
pub struct Session {
    pub client: Client,
    pub namespace: String,
    catalogue: OnceCell<Catalogue>,
}

impl Session {
    pub async fn open(connection: &Connection) -> Result<Self> {
        let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
        let kubeconfig = read_kubeconfig(connection)?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.context("use the kubeconfig")?;
        // Watches and logs are quiet for as long as nothing happens.
        config.read_timeout = None;
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("make a client of the kubeconfig")?;
        Ok(Self::with(client, namespace))
    }

    pub fn with(client: Client, namespace: String) -> Self {
        Self { client, namespace, catalogue: OnceCell::new() }
    }

    /// What the server serves; asked for once.
    pub async fn catalogue(&self) -> Result<&Catalogue, ApiError> {
        self.catalogue.get_or_try_init(|| Catalogue::discover(self)).await
    }

    /// Finds a resource by any of its names.
    pub async fn resource(&self, name: &str) -> Result<Resource> {
        let found = self.catalogue().await?.find(name).cloned();
        found.with_context(|| format!("the server doesn't have a resource type {name:?}"))
    }

    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call("GET", path, None).await
    }

    /// A request with a JSON answer. `body` is its content type and bytes.
    pub async fn call(&self, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Value, ApiError> {
        self.call_accepting(method, path, body, "application/json").await
    }

    pub async fn call_accepting(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        accept: &str,
    ) -> Result<Value, ApiError> {
        let response = self.send(method, path, body, accept).await?;
        let bytes = response.into_body().collect().await.map_err(ApiError::Unreachable)?.to_bytes();
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| ApiError::Malformed(error.to_string()))
    }

    /// A request whose successful answer is read by the caller; warnings are shown to the person.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        accept: &str,
    ) -> Result<http::Response<Body>, ApiError> {
        let mut request = http::Request::builder().method(method).uri(path).header("Accept", accept);
        let body = match body {
            Some((content_type, bytes)) => {
                request = request.header("Content-Type", content_type);
                Body::from(bytes)
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|error| ApiError::Malformed(error.to_string()))?;
        let response = self.client.send(request).await.map_err(ApiError::Unreachable)?;
        for warning in response.headers().get_all("Warning") {
            if let Some(text) = warning.to_str().ok().and_then(warning_text) {
                crate::output::note(format_args!("Warning: {text}"));
            }
        }
        if response.status().is_success() || response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let code = response.status();
        let bytes = response.into_body().collect().await.map_err(ApiError::Unreachable)?.to_bytes();
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(status) if status["kind"] == "Status" => Err(ApiError::Status(status)),
            _ => Err(ApiError::Malformed(format!("{code}: {}", String::from_utf8_lossy(&bytes).trim()))),
        }
    }
}

fn read_kubeconfig(connection: &Connection) -> Result<Kubeconfig> {
    if let Some(path) = &connection.kubeconfig {
        return Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()));
    }
    let users = crate::kubeconfig::users_file();
    let own = PathBuf::from(DEFAULT_DATA_DIR).join("kubeconfig");
    if users.as_ref().is_some_and(|path| path.exists()) {
        return Kubeconfig::read().context("read the kubeconfig");
    }
    if own.exists() {
        return Kubeconfig::read_from(&own).with_context(|| format!("read {}", own.display()));
    }
    anyhow::bail!("there is no kubeconfig: start a cluster with `setpoint up`, or name one with --kubeconfig")
}

/// `299 - "text"`.
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.strip_prefix("299 ")?.split_once(' ')?.1;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_read_as_kubectls() {
        let cases = [
            (
                json!({"reason": "NotFound", "message": "pods \"x\" not found"}),
                "Error from server (NotFound): pods \"x\" not found",
            ),
            (
                json!({"reason": "Invalid", "message": "Pod \"x\" is invalid: a: Required value", "details": {
                    "kind": "Pod", "name": "x", "causes": [{"field": "a", "message": "Required value"}]}}),
                "The Pod \"x\" is invalid: a: Required value",
            ),
            (
                json!({"reason": "Invalid", "message": "Pod \"x\" is invalid: [..]", "details": {"kind": "Pod", "name": "x",
                    "causes": [{"field": "a", "message": "Required value"}, {"field": "b", "message": "Forbidden"}]}}),
                "The Pod \"x\" is invalid: \n* a: Required value\n* b: Forbidden",
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(ApiError::Status(status).to_string(), expected);
        }
        assert_eq!(warning_text("299 - \"unknown field \\\"a\\\"\"").as_deref(), Some("unknown field \"a\""));
    }
}
