//! `pods/<name>/proxy` and `services/<name>/proxy`: any request to a port of a pod, or of one of a Service's
//! (`registry/core/pod/rest`, `registry/core/service`).

use std::io::{Read, Write};
use std::net::IpAddr;

use api::Object;
use api::status::Status;
use bytes::Bytes;
use flate2::Compression;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use super::connect::admit;
use super::node::redirect;
use crate::admission::Reader;
use crate::body::{self, Body};
use crate::call::Call;
use crate::outbound::tls::{self, Trust};
use crate::outbound::{Through, connect, relay};
use crate::reply::Reply;

/// A page with links is read whole.
const MAX_PAGE: usize = 64 << 20;
/// Segments of a path up to what is asked of the other side: `/api/v1/namespaces/n/pods/p/proxy/...`.
const SEGMENTS: usize = 8;

/// `name`, `name:port` or `scheme:name:port`.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    secured: bool,
    name: &'a str,
    port: &'a str,
}

/// Where a request goes.
struct Place {
    secured: bool,
    address: IpAddr,
    port: u16,
}

fn split(id: &str) -> Option<Asked<'_>> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let known = matches!(scheme, "" | "http" | "https");
    (known && !name.is_empty()).then_some(Asked { secured: scheme == "https", name, port })
}

pub(crate) async fn pod(call: &Call, request: Request<Body>) -> Result<Reply, Status> {
    let id = &call.info.name;
    let asked = split(id).ok_or_else(|| Status::bad_request(format!("invalid pod request {id:?}")))?;
    let pod = call.core.must_read(&call.row, call.namespace(), asked.name).await?.object;
    admit(call, &pod).await?;
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let first = containers.filter_map(|container| container["ports"][0]["containerPort"].as_u64()).next();
    let port = match (asked.port, first) {
        ("", Some(port)) => u16::try_from(port).ok(),
        ("", None) => Some(if asked.secured { 443 } else { 80 }),
        (port, _) => port.parse().ok(),
    };
    let port = port.ok_or_else(|| Status::bad_request(format!("invalid pod request {id:?}")))?;
    let address = pod_address(&pod).filter(is_global_unicast);
    let address = address.ok_or_else(|| Status::bad_request("address not allowed"))?;
    forward(Place { secured: asked.secured, address, port }, request).await
}

pub(crate) async fn service(call: &Call, request: Request<Body>) -> Result<Reply, Status> {
    let id = &call.info.name;
    let asked = split(id).ok_or_else(|| Status::bad_request(format!("invalid service request {id:?}")))?;
    let service = call.core.must_read(&call.row, call.namespace(), asked.name).await?.object;
    admit(call, &service).await?;
    let endpoints = call.core.get("", "endpoints", call.namespace(), asked.name).await?;
    let missing = || {
        let endpoints = api::status::Qualified::new("", "endpoints");
        Status::not_found(endpoints, asked.name)
    };
    let endpoints = endpoints.ok_or_else(missing)?;
    let port = port_name(&service, asked.name, asked.port)?;
    let pods = call.core.registry.find("", "pods");
    let is_pod = |address: &Object| {
        let target = &address["targetRef"];
        let name = target["name"].as_str()?;
        let pod = call.core.cached(pods?, call.namespace(), name).ok()??;
        let own = target["namespace"] == call.namespace();
        (own && pod_address(&pod)?.to_string() == address["ip"].as_str()?).then_some(())
    };
    let start = usize::try_from(call.core.random() >> 1).unwrap_or_default();
    let (address, port) = choose(&endpoints, asked.name, id, &port, start, |address| is_pod(address).is_some())?;
    forward(Place { secured: asked.secured, address, port }, request).await
}

/// A number is that of the Service's port, which endpoints know by its name.
fn port_name(service: &Object, name: &str, port: &str) -> Result<String, Status> {
    let Ok(number) = port.parse::<i64>() else { return Ok(port.to_owned()) };
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    match ports.find(|own| own["port"].as_i64() == Some(number)) {
        Some(own) => Ok(own["name"].as_str().unwrap_or_default().to_owned()),
        None => Err(Status::service_unavailable(format!("no service port {number} found for service {name:?}"))),
    }
}

/// One of the addresses that have the port; `start` says where the search begins.
fn choose(
    endpoints: &Object,
    name: &str,
    id: &str,
    port: &str,
    start: usize,
    is_pod: impl Fn(&Object) -> bool,
) -> Result<(IpAddr, u16), Status> {
    let none = |id: &str| Status::service_unavailable(format!("no endpoints available for service {id:?}"));
    let subsets = endpoints["subsets"].as_array().map(Vec::as_slice).unwrap_or_default();
    if subsets.is_empty() {
        return Err(none(name));
    }
    let (later, first) = subsets.split_at(start % subsets.len());
    for subset in first.iter().chain(later) {
        let mut ports = subset["ports"].as_array().into_iter().flatten();
        let Some(own) = ports.find(|own| own["name"].as_str().unwrap_or_default() == port) else { continue };
        let addresses = subset["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (later, first) = addresses.split_at(if addresses.is_empty() { 0 } else { start % addresses.len() });
        let found = first.iter().chain(later).find(|address| is_pod(address));
        let address = found.and_then(|address| address["ip"].as_str()?.parse().ok());
        let number = own["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        if let (Some(address), Some(number)) = (address, number) {
            return Ok((address, number));
        }
    }
    Err(none(id))
}

fn pod_address(pod: &Object) -> Option<IpAddr> {
    let first = pod["status"]["podIPs"][0]["ip"].as_str().or_else(|| pod["status"]["podIP"].as_str());
    first?.parse().ok()
}

/// As Go's `IsGlobalUnicast`.
fn is_global_unicast(address: &IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// The raw path up to the proxy, and what follows it.
fn parts(path: &str) -> (&str, &str) {
    let end = path.match_indices('/').nth(SEGMENTS - 1).map_or(path.len(), |(at, _)| at);
    path.split_at(end)
}

async fn forward(place: Place, mut request: Request<Body>) -> Result<Reply, Status> {
    let original = request.uri().clone();
    let (prefix, path) = parts(original.path());
    if path.is_empty() && matches!(*request.method(), Method::GET | Method::HEAD) {
        return redirect(&request);
    }
    let host = std::net::SocketAddr::from((place.address, place.port)).to_string();
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let asked_host = named.or(original.authority().map(|authority| authority.as_str())).unwrap_or(&host).to_owned();
    request.headers_mut().remove(AUTHORIZATION);
    let forwarded = HeaderValue::try_from(format!("{prefix}{path}")).map_err(Status::internal)?;
    request.headers_mut().insert("x-forwarded-uri", forwarded);
    let query = original.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let uri = format!("{path}{query}").parse::<Uri>();
    *request.uri_mut() = uri.map_err(|error| Status::bad_request(error.to_string()))?;

    let upgrades = request.headers().contains_key(UPGRADE);
    let address = place.address.to_string();
    let secured = match place.secured {
        // One connects by addresses, of which no certificate speaks.
        true => Some((address.as_str(), tls::config(&Trust::Anybody, None).map_err(Status::internal)?)),
        false => None,
    };
    let failed = |why: String| match upgrades {
        true => Status::plain(format!("error dialing backend: {why}")),
        false => Status::service_unavailable(format!("error trying to reach service: {why}")),
    };
    let stream = connect(&address, place.port, secured).await.map_err(failed)?;
    let response = relay(stream, &asked_host, request).await.map_err(|error| failed(error.to_string()))?;
    let through = Through { prefix, host: &host, asked_host: &asked_host };
    rewritten(response, &through).await.map(Reply::Raw)
}

/// The answer, whose links lead through the proxy.
async fn rewritten(mut response: Response<Body>, through: &Through<'_>) -> Result<Response<Body>, Status> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    for suffix in ["credentials", "headers", "methods", "origin"] {
        if let Ok(name) = HeaderName::try_from(format!("access-control-allow-{suffix}")) {
            response.headers_mut().remove(name);
        }
    }
    if let Some(location) = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()) {
        let location = HeaderValue::try_from(&*through.rewrite(location)).map_err(Status::internal)?;
        response.headers_mut().insert(LOCATION, location);
        return Ok(response);
    }
    let Some(is_gzip) = packed_page(response.headers()) else { return Ok(response) };
    let (mut parts, body) = response.into_parts();
    let bytes = body::read_within(body, MAX_PAGE).await;
    let bytes = bytes.map_err(|why| Status::service_unavailable(format!("error trying to reach service: {why}")))?;
    let page = match page(bytes, is_gzip) {
        Ok(page) => through.page(&page),
        // It is not what it says.
        Err(bytes) => return Ok(Response::from_parts(parts, body::full(bytes))),
    };
    let bytes = if is_gzip { zip(&page) } else { page.into() };
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    Ok(Response::from_parts(parts, body::full(bytes)))
}

/// Whether it is a page, and then whether that is compressed; nothing is known of other ways to pack one.
fn packed_page(headers: &HeaderMap) -> Option<bool> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = text(CONTENT_TYPE).split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    match text(CONTENT_ENCODING) {
        "gzip" if is_page => Some(true),
        "" if is_page => Some(false),
        _ => None,
    }
}

fn page(bytes: Bytes, is_gzip: bool) -> Result<String, Bytes> {
    let plain = if is_gzip {
        let mut plain = Vec::new();
        let read = flate2::read::GzDecoder::new(&bytes[..]).take(MAX_PAGE as u64).read_to_end(&mut plain);
        read.ok().map(|_| plain)
    } else {
        Some(bytes.to_vec())
    };
    plain.and_then(|plain| String::from_utf8(plain).ok()).ok_or(bytes)
}

fn zip(page: &str) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    // To memory: neither call can fail.
    let _ = encoder.write_all(page.as_bytes());
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_schemes_and_ports() {
        let asked = |secured, name, port| Some(Asked { secured, name, port });
        let table = [
            ("web", asked(false, "web", "")),
            ("web:8080", asked(false, "web", "8080")),
            ("https:web:tls", asked(true, "web", "tls")),
            ("http:web:", asked(false, "web", "")),
            ("ftp:web:21", None),
            ("a:b:c:d", None),
            (":80", None),
        ];
        for (id, expected) in table {
            assert_eq!(split(id), expected, "{id}");
        }
    }

    #[test]
    fn paths_are_split_as_they_are_written() {
        let table = [
            ("/api/v1/namespaces/n/pods/p/proxy", "/api/v1/namespaces/n/pods/p/proxy", ""),
            ("/api/v1/namespaces/n/pods/p/proxy/", "/api/v1/namespaces/n/pods/p/proxy", "/"),
            ("/api/v1/namespaces/n/services/s:1/proxy/a%2Fb/", "/api/v1/namespaces/n/services/s:1/proxy", "/a%2Fb/"),
        ];
        for (path, prefix, rest) in table {
            assert_eq!(parts(path), (prefix, rest));
        }
    }

    #[test]
    fn a_service_is_one_of_its_pods() {
        let endpoints = json!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"name": "web", "port": 8080}]},
            {"notReadyAddresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "other", "port": 1}]}]});
        let find = |port: &str, start, pod: &str| {
            let found = choose(&endpoints, "s", "s:x", port, start, |address| address["ip"] != pod);
            found.map(|(address, port)| format!("{address}:{port}")).map_err(|status| status.message)
        };
        let none = Err("no endpoints available for service \"s:x\"".to_owned());
        let table = [
            ("web", 0, "", Ok("10.0.0.1:8080".to_owned())),
            ("web", 1, "", Ok("10.0.0.2:8080".to_owned())),
            ("web", 0, "10.0.0.1", Ok("10.0.0.2:8080".to_owned())),
            ("other", 0, "", none.clone()),
            ("missing", 0, "", none),
        ];
        for (port, start, pod, expected) in table {
            assert_eq!(find(port, start, pod), expected, "{port} {start}");
        }
        let service = json!({"spec": {"ports": [{"name": "web", "port": 80}]}});
        assert_eq!(port_name(&service, "s", "80").as_deref(), Ok("web"));
        assert_eq!(port_name(&service, "s", "web").as_deref(), Ok("web"));
        assert_eq!(port_name(&service, "s", "81").unwrap_err().code, 503);
    }

    #[test]
    fn not_every_address_may_be_asked() {
        let table = [
            ("10.244.0.2", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("::1", false),
        ];
        for (address, allowed) in table {
            assert_eq!(is_global_unicast(&address.parse().unwrap()), allowed, "{address}");
        }
    }
}
