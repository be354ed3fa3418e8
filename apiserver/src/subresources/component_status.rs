//! ComponentStatus: how the parts of the control plane are (`registry/core/componentstatus`). Deprecated, read only, made when it is asked for.

use std::sync::Arc;

use api::status::Status;
use serde_json::json;

use crate::cache::Stored;
use crate::call::Call;
use crate::core::{Core, qualified};
use crate::reply::{List, Reply};
use crate::verbs::wanted;

const STORE: &str = "etcd-0";
const COMPONENTS: [&str; 3] = ["controller-manager", "scheduler", STORE];

/// `get` and `list`.
pub(crate) async fn answer(call: &Call) -> Result<Reply, Status> {
    let name = call.info.name.as_str();
    if call.info.verb == "get" {
        return match COMPONENTS.iter().find(|own| **own == name) {
            Some(component) => Ok(Reply::ok(state(&call.core, component).await?.json.clone())),
            None => Err(Status::not_found(qualified(&call.row), name)),
        };
    }
    let (_, selection) = wanted(call, false)?;
    let mut items = Vec::new();
    for component in COMPONENTS {
        let state = state(&call.core, component).await?;
        if selection.matches(&state) {
            items.push(Arc::new(state));
        }
    }
    Ok(Reply::List(List { revision: 0, continue_token: String::new(), remaining: None, items }))
}

async fn state(core: &Core, component: &str) -> Result<Stored, Status> {
    let trouble = match component {
        STORE => core.config.store.revision().await.err().map(|error| error.to_string()),
        other if core.config.components.contains(&other) => None,
        _ => Some("it is not part of this server".to_owned()),
    };
    let condition = match trouble {
        None => json!({"type": "Healthy", "status": "True", "message": "ok"}),
        Some(why) => json!({"type": "Healthy", "status": "False", "message": why}),
    };
    let object = json!({"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": component, "creationTimestamp": null},
        "conditions": [condition]});
    Ok(Stored::made(object.to_string().into(), component))
}
