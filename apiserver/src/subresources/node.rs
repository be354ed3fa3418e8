//! Requests that a node's kubelet answers: what they mean is checked here, then they go to the kubelet's own paths.

use api::Object;
use api::field::{FieldError, Path};
use api::meta::Meta;
use api::status::{Qualified, Status};
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::connect::{admit, list, text};
use crate::admission::Reader;
use crate::body::{self, Body};
use crate::call::Call;
use crate::reply::Reply;

const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(crate) async fn log(call: &Call, request: Request<Body>) -> Result<Reply, Status> {
    let pod = pod(call).await?;
    check_log_options(call)?;
    let container = container(&pod, call.query.get("container").unwrap_or_default()).map_err(Status::bad_request)?;
    let Some(node) = node_name(&pod) else {
        // Nobody has logs of it yet.
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        return Ok(Reply::Raw(response));
    };
    let mut query = Parameters::default();
    for key in ["follow", "previous", "timestamps"] {
        if call.query.flag(key) {
            query.add(key, "true");
        }
    }
    for key in ["sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"] {
        if let Some(value) = call.query.get(key).filter(|value| !value.is_empty()) {
            query.add(key, value);
        }
    }
    let path = format!("/containerLogs/{}/{}/{container}", pod.namespace(), pod.name());
    send(call, node, &path, &query, request).await
}

/// exec and attach.
pub(crate) async fn stream(call: &Call, request: Request<Body>, what: &str) -> Result<Reply, Status> {
    let pod = pod(call).await?;
    let options = admit(call, &pod).await?;
    let container = container(&pod, text(&options, "container")).map_err(Status::bad_request)?;
    let node = scheduled(&pod)?;
    let mut query = Parameters::default();
    for (asked, sent) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if options[asked] == true {
            query.add(sent, "1");
        }
    }
    if what == "exec" {
        let mut commands = list(&options, "command").filter_map(Value::as_str).peekable();
        if commands.peek().is_none() {
            let error = FieldError::required(&Path::new("command"), "");
            return Err(Status::invalid(Qualified::new("", "PodExecOptions"), "", &[error]));
        }
        commands.for_each(|part| query.add("command", part));
    }
    let path = format!("/{what}/{}/{}/{container}", pod.namespace(), pod.name());
    send(call, node, &path, &query, request).await
}

pub(crate) async fn port_forward(call: &Call, request: Request<Body>) -> Result<Reply, Status> {
    let pod = pod(call).await?;
    let options = admit(call, &pod).await?;
    let node = scheduled(&pod)?;
    let mut query = Parameters::default();
    let ports: Vec<String> = list(&options, "ports").map(Value::to_string).collect();
    if !ports.is_empty() {
        query.add("port", &ports.join(","));
    }
    let path = format!("/portForward/{}/{}", pod.namespace(), pod.name());
    send(call, node, &path, &query, request).await
}

/// `nodes/<name>[:<port>]/proxy/<path>`: any path of the kubelet.
pub(crate) async fn proxy(call: &Call, request: Request<Body>) -> Result<Reply, Status> {
    let name = call.info.name.split(':').next().unwrap_or_default();
    if call.info.rest.is_empty() && !call.info.path.ends_with('/') && matches!(call.info.verb.as_str(), "get") {
        call.core.must_read(&call.row, "", name).await?;
        return redirect(&request);
    }
    let node = call.core.must_read(&call.row, "", name).await?.object;
    admit(call, &node).await?;
    let mut query = Parameters::default();
    call.query.pairs().for_each(|(key, value)| query.add(key, value));
    let path = format!("/{}", call.info.rest);
    send(call, name, &path, &query, request).await
}

/// A relative link on the node's first page must lead below it.
pub(super) fn redirect(request: &Request<Body>) -> Result<Reply, Status> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}/{query}", request.uri().path());
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(location).map_err(Status::internal)?);
    Ok(Reply::Raw(response))
}

async fn pod(call: &Call) -> Result<Object, Status> {
    Ok(call.core.must_read(&call.row, call.namespace(), &call.info.name).await?.object)
}

fn node_name(pod: &Object) -> Option<&str> {
    pod["spec"]["nodeName"].as_str().filter(|node| !node.is_empty())
}

fn scheduled(pod: &Object) -> Result<&str, Status> {
    let missing = || Status::bad_request(format!("pod {} does not have a host assigned", pod.name()));
    node_name(pod).ok_or_else(missing)
}

/// The container that is meant: the only one, when none is named.
fn container(pod: &Object, asked: &str) -> Result<String, String> {
    let names = |list: &str| -> Vec<String> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).map(str::to_owned).collect()
    };
    let (name, all) = (pod.name(), CONTAINER_LISTS.into_iter().flat_map(names).collect::<Vec<_>>());
    if !asked.is_empty() {
        return match all.iter().any(|own| own == asked) {
            true => Ok(asked.to_owned()),
            false => Err(format!("container {asked} is not valid for pod {name}")),
        };
    }
    match names("containers").as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(format!("a container name must be specified for pod {name}")),
        _ => {
            let all = all.join(" ");
            Err(format!("a container name must be specified for pod {name}, choose one of: [{all}]"))
        }
    }
}

fn check_log_options(call: &Call) -> Result<(), Status> {
    let mut errors = Vec::new();
    let number = |key: &str| call.query.number(key).map_err(Status::bad_request);
    for (key, least, detail) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        if let Some(value) = number(key)?.filter(|value| *value < least) {
            errors.push(FieldError::invalid(&Path::new(key), value, detail));
        }
    }
    let set = |key: &str| call.query.get(key).is_some_and(|value| !value.is_empty());
    if set("sinceSeconds") && set("sinceTime") {
        let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(FieldError::forbidden(&Path::new(""), detail));
    }
    if let Some(stream) = call.query.get("stream").filter(|stream| !matches!(*stream, "" | "All" | "Stdout" | "Stderr"))
    {
        errors.push(FieldError::not_supported(&Path::new("stream"), stream, &["All", "Stderr", "Stdout"]));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(Qualified::new("", "PodLogOptions"), &call.info.name, &errors))
    }
}

#[derive(Default)]
struct Parameters(String);

impl Parameters {
    fn add(&mut self, key: &str, value: &str) {
        let separator = if self.0.is_empty() { "" } else { "&" };
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        self.0 += &format!("{separator}{}={}", encode(key), encode(value));
    }
}

async fn send(
    call: &Call,
    node: &str,
    path: &str,
    query: &Parameters,
    request: Request<Body>,
) -> Result<Reply, Status> {
    let found = call.core.get("", "nodes", "", node).await?;
    // Upstream's store says what the request is about, whoever asks it: a pod's node is not found as a pod.
    let node: Value = found.ok_or_else(|| Status::not_found(Qualified::new("", &call.row.info.plural), node))?;
    let uri = if query.0.is_empty() { path.to_owned() } else { format!("{path}?{}", query.0) };
    let (mut parts, body) = request.into_parts();
    parts.uri = uri.parse::<Uri>().map_err(|error| Status::bad_request(error.to_string()))?;
    let response = call.core.config.node_proxy.call(&node, Request::from_parts(parts, body)).await?;
    Ok(Reply::Raw(response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_container_is_named_or_obvious() {
        let pod = |containers: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": containers, "initContainers": [{"name": "i"}]}});
        let (one, two) = (pod(json!([{"name": "a"}])), pod(json!([{"name": "a"}, {"name": "b"}])));
        let table = [
            (&one, "", Ok("a")),
            (&one, "i", Ok("i")),
            (&two, "b", Ok("b")),
            (&two, "", Err("a container name must be specified for pod p, choose one of: [i a b]")),
            (&two, "c", Err("container c is not valid for pod p")),
        ];
        for (pod, asked, expected) in table {
            assert_eq!(container(pod, asked).as_deref().map_err(String::as_str), expected);
        }
    }

    #[test]
    fn parameters_are_escaped() {
        let mut parameters = Parameters::default();
        parameters.add("command", "sh -c");
        parameters.add("command", "a&b");
        assert_eq!(parameters.0, "command=sh%20%2Dc&command=a%26b");
    }
}
