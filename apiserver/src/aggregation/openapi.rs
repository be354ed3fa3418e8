//! OpenAPI of other servers. Their documents of v3 stand in the index, and are fetched when they are asked for; those of v2 are merged into this
//! server's.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::index::Index;
use super::proxy::{AGGREGATOR, Answered, ask};
use super::{documents, swagger};
use crate::body::{self, Body};
use crate::core::Core;

const PATIENCE: Duration = Duration::from_secs(30);

impl Index {
    /// `/openapi/v3`, with the documents of others.
    pub fn openapi_index(&self, mut local: Value) -> Value {
        for service in self.remotes() {
            if let Some(told) = self.documents.get(&service.name).filter(|told| !told.openapi.is_empty()) {
                let path = format!("apis/{}/{}", service.group, service.version);
                // A server's own hash is part of it, by which clients keep the document.
                local["paths"][path] = json!({"serverRelativeURL": told.openapi});
            }
        }
        local
    }

    /// Documents of v2 of others, the most important first. What is renamed goes by their order.
    pub fn swaggers(&self) -> Vec<Arc<documents::Swagger>> {
        let mut remotes = self.remotes();
        remotes.sort_by_key(|service| {
            let priorities = (Reverse(self.priority(&service.group)), Reverse(service.version_priority));
            (priorities.0, service.group.clone(), priorities.1, service.name.clone())
        });
        remotes.iter().filter_map(|service| self.documents.get(&service.name)?.swagger.clone()).collect()
    }
}

/// This server's document of v2 with those of others.
pub(crate) fn merged(local: &[u8], others: &[Arc<documents::Swagger>]) -> Value {
    let mut document: Value = serde_json::from_slice(local).unwrap_or_default();
    others.iter().for_each(|other| swagger::merge(&mut document, &other.document));
    document
}

/// Answers `/openapi/v3/apis/<group>/<version>` of another server; `None` for every other path.
pub(crate) fn document<'a>(
    core: &'a Core,
    path: &'a str,
    query: Option<&'a str>,
) -> BoxFuture<'a, Option<Response<Body>>> {
    Box::pin(fetch(core, path, query))
}

async fn fetch(core: &Core, path: &str, query: Option<&str>) -> Option<Response<Body>> {
    let service = core.aggregation.remote_of(path.strip_prefix("/openapi/v3")?)?;
    let remote = service.remote.as_ref()?;
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{path}{query}");
    let asked = ask(core, remote, false, &AGGREGATOR, Method::GET, &path, "", PATIENCE).await;
    let (code, bytes) = match asked {
        Ok(Answered { code, body, .. }) => (code, body),
        Err((url, why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("Get {url:?}: {why}\n").into()),
    };
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(response)
}
