//! The kind.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A web site that the operator keeps running
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "e2e.setpoint.dev",
    version = "v1",
    kind = "Website",
    namespaced,
    status = "WebsiteStatus",
    shortname = "web",
    category = "all",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Theme", type_ = "string", json_path = ".spec.theme")
)]
#[serde(rename_all = "camelCase")]
pub struct WebsiteSpec {
    /// Of its server
    pub image: String,
    /// How many servers there are
    #[serde(default)]
    #[schemars(range(min = 0, max = 5))]
    pub replicas: i32,
    #[serde(default)]
    pub theme: Theme,
    /// Pages by their names
    #[serde(default)]
    pub pages: std::collections::BTreeMap<String, Page>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Theme {
    #[default]
    Light,
    Dark,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub title: String,
    pub visible_from: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebsiteStatus {
    pub replicas: i32,
    pub observed_generation: i64,
    /// The annotation in which a writer counts, as it was when the Deployment was applied
    pub value: String,
}
