//! OpenAPI v3 of other servers: their documents stand in the index, and are fetched when they are asked for.

use std::time::Duration;

use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::index::Index;
use super::proxy::{AGGREGATOR, ask};
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
    let asked = ask(core, remote, false, &AGGREGATOR, Method::GET, &path, "application/json", PATIENCE).await;
    let (code, bytes) = match asked {
        Ok((_, code, bytes)) => (code, bytes),
        Err((url, why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("Get {url:?}: {why}\n").into()),
    };
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(response)
}
