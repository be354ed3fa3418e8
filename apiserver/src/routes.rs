//! Paths that are no resource: version, health, metrics, discovery, OpenAPI.

use api::discovery::{self, AggregatedVersion};
use api::gvk::GroupVersionKind;
use api::resource::ResourceInfo;
use api::schema::SchemaSet;
use api::status::Status;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::aggregation;
use crate::body::{self, Body};
use crate::core::Core;
use crate::health;
use crate::media::{Accepted, Format};
use crate::metrics;
use crate::query::Query;
use crate::reply::{refuse, write};

/// The version that this server behaves as.
pub(crate) const MAJOR: &str = "1";
pub(crate) const MINOR: &str = "35";
pub(crate) const GIT_VERSION: &str = "v1.35.4+setpoint";

const OPENID: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/openid/v1/jwks";

pub(crate) async fn answer(core: &Core, request: &Parts, query: &Query) -> Response<Body> {
    let path = request.uri.path();
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let mut response = match aggregation::document(core, path, request.uri.query()).await {
        Some(document) => document,
        None if reads && health::is_health(path) => health::answer(core, path, query).await,
        None => route(core, request, query),
    };
    let private = HeaderValue::from_static("no-cache, private");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(private);
    response
}

fn route(core: &Core, request: &Parts, query: &Query) -> Response<Body> {
    let path = request.uri.path().trim_end_matches('/');
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return refuse(&Status::method_not_allowed(), &Accepted::JSON);
    }
    match path {
        "/version" => match Accepted::json(&request.headers, query) {
            Some(accepted) => written(&version(), accepted),
            None => refuse(&Status::no_representation(&["application/json"], false), &Accepted::JSON),
        },
        OPENID | JWKS => openid(core, path),
        "/metrics" => {
            let mut response = text(StatusCode::OK, &metrics::render(core));
            let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, prometheus);
            response
        }
        path => described(core, path, request, query),
    }
}

/// How others find what service accounts' tokens are checked by (OpenID Connect Discovery).
fn openid(core: &Core, path: &str) -> Response<Body> {
    let Some(public) = core.config.token_issuer.public_keys() else { return nothing() };
    let (document, kind) = match path {
        JWKS => (public.keys, "application/jwk-set+json"),
        _ => {
            let document = json!({
                "issuer": public.issuer,
                "jwks_uri": format!("https://{}{JWKS}", core.config.advertise),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [public.algorithm],
            });
            (document, "application/json")
        }
    };
    let mut response = text(StatusCode::OK, &document.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// What a path that leads nowhere answers, but for those that look like a resource.
pub(crate) fn nothing() -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// What tells clients which resources there are.
fn described(core: &Core, path: &str, request: &Parts, query: &Query) -> Response<Body> {
    let resources = core.registry.infos();
    if path.starts_with("/openapi/")
        && let custom = core.registry.custom().snapshot().schemas()
        && let Some(response) = core.documents.answer(core, &resources, &custom, GIT_VERSION, request, query)
    {
        return response;
    }
    match path {
        "" => json_response(&paths(core, &resources), request, query),
        "/api" | "/apis" => groups(core, &resources, path == "/api", request, query),
        path => match document(core, &resources, path) {
            Some(document) => json_response(&document, request, query),
            None if below_a_group(&resources, path) => refuse(&Status::no_such_path(), &Accepted::JSON),
            None => nothing(),
        },
    }
}

fn below_a_group(resources: &[ResourceInfo], path: &str) -> bool {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", ..] => true,
        ["apis", group, ..] => resources.iter().any(|resource| resource.group == *group),
        _ => false,
    }
}

fn version() -> Value {
    json!({
        "major": MAJOR, "minor": MINOR, "emulationMajor": MAJOR, "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR, "minCompatibilityMinor": "34",
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}

/// `/api` and `/apis`: all groups at once when the client can read that.
fn groups(core: &Core, resources: &[ResourceInfo], is_core: bool, request: &Parts, query: &Query) -> Response<Body> {
    if let Some(version) = aggregated(request) {
        let mut document = core.discovered.document(resources, is_core, version);
        if !is_core {
            document = core.aggregation.aggregated(version.content_type(), &document);
        }
        let mut response = Response::new(body::full(document));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(version.content_type()));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
        return response;
    }
    let document = if is_core {
        discovery::api_versions(&core.config.advertise.to_string())
    } else {
        core.aggregation.group_list(discovery::api_group_list(resources))
    };
    json_response(&document, request, query)
}

/// The aggregated form that the client prefers over plain JSON.
fn aggregated(request: &Parts) -> Option<AggregatedVersion> {
    let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        if parts.next() != Some("application/json") {
            continue;
        }
        let parameters: Vec<&str> = parts.collect();
        let has = |parameter: &str| parameters.contains(&parameter);
        if !has("as=APIGroupDiscoveryList") {
            // Plain JSON, preferred to whatever follows.
            return None;
        }
        if has("g=apidiscovery.k8s.io") && has("v=v2") {
            return Some(AggregatedVersion::V2);
        }
    }
    None
}

/// `/api/v1`, `/apis/<group>` and `/apis/<group>/<version>`.
fn document(core: &Core, resources: &[ResourceInfo], path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", version] => discovery::api_resource_list(resources, "", version),
        ["apis", group] => core.aggregation.group(group, discovery::api_group(resources, group)),
        ["apis", group, version] => discovery::api_resource_list(resources, group, version),
        _ => None,
    }
}

fn paths(core: &Core, resources: &[ResourceInfo]) -> Value {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            .map(str::to_owned)
            .into();
    for resource in resources {
        let (group, version) = (&resource.group, &resource.version);
        match group.as_str() {
            "" => paths.push(format!("/api/{version}")),
            group => paths.extend([format!("/apis/{group}"), format!("/apis/{group}/{version}")]),
        }
    }
    for service in core.aggregation.remotes() {
        let (group, version) = (&service.group, &service.version);
        paths.extend([format!("/apis/{group}"), format!("/apis/{group}/{version}")]);
    }
    paths.sort();
    paths.dedup();
    json!({"paths": paths})
}

pub(crate) fn text(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(body::full(text.to_owned()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Whether it is an object of a kind.
fn is_typed(value: &Value) -> bool {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let kind = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
    SchemaSet::builtin().of_kind(&kind).is_some()
}

fn json_response(value: &Value, request: &Parts, query: &Query) -> Response<Body> {
    let accepted = match Accepted::negotiate(&request.headers, query, false) {
        Ok(accepted) => accepted,
        Err(status) => return refuse(&status, &Accepted::JSON),
    };
    written(value, accepted)
}

fn written(value: &Value, accepted: Accepted) -> Response<Body> {
    // Some documents are JSON to every client.
    let accepted = if accepted.format == Format::Protobuf && !is_typed(value) {
        Accepted { pretty: accepted.pretty, ..Accepted::JSON }
    } else {
        accepted
    };
    match write(value, &accepted) {
        Ok(bytes) => {
            let mut response = Response::new(body::full(bytes));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(accepted.content_type()));
            response
        }
        Err(status) => refuse(&status, &accepted),
    }
}
