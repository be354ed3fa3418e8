//! Handing a request on to the server that answers it, in the name of the user who sent it (`handler_proxy.go`).

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::index::{ApiService, Remote};
use crate::admission::Reader;
use crate::body::{self, Body};
use crate::core::Core;
use crate::outbound::tls::{self, Trust};
use crate::outbound::{connect, locate, relay};
use crate::user::UserInfo;

/// No document that another server tells is longer.
const MAX_DOCUMENT: usize = 32 << 20;

/// Who asks when this server wants to know something itself.
pub(super) static AGGREGATOR: LazyLock<UserInfo> =
    LazyLock::new(|| UserInfo::new("system:kube-aggregator", &["system:masters"]));

/// The other server's answer, or why there is none.
pub(crate) fn proxy<'a>(
    core: &'a Core,
    service: &'a ApiService,
    user: &'a UserInfo,
    request: Request<Body>,
) -> BoxFuture<'a, Response<Body>> {
    Box::pin(hand_on(core, service, user, request))
}

async fn hand_on(core: &Core, service: &ApiService, user: &UserInfo, mut request: Request<Body>) -> Response<Body> {
    let Some(remote) = service.remote.as_ref().filter(|_| service.available) else { return unavailable() };
    let Ok((address, host)) = whereabouts(core, remote) else { return unavailable() };
    request.headers_mut().remove(AUTHORIZATION);
    in_the_name_of(user, request.headers_mut());
    let path = request.uri().path().to_owned();
    if let Ok(value) = HeaderValue::from_str(&path) {
        request.headers_mut().insert("x-forwarded-uri", value);
    }
    let trouble = |why: &dyn std::fmt::Display| {
        plain(StatusCode::SERVICE_UNAVAILABLE, &format!("error trying to reach service: {why}"))
    };
    let config = match tls::config(&remote.trust, identity(core)) {
        Ok(config) => config,
        Err(why) => return plain(StatusCode::INTERNAL_SERVER_ERROR, &why),
    };
    let stream = match connect(&address, remote.port, Some((&remote.host(), config))).await {
        Ok(stream) => stream,
        Err(why) => return trouble(&why),
    };
    match relay(stream, &host, request).await {
        Ok(response) => response,
        Err(error) => trouble(&error),
    }
}

/// What another server has answered.
pub(super) struct Answered {
    /// That was asked, for messages.
    pub url: String,
    pub code: StatusCode,
    /// Empty when it gives none.
    pub etag: String,
    pub body: Bytes,
}

/// One request of this server's own. `lenient`: whoever answers is believed. `known`: the ETag of what this server has already.
#[allow(clippy::too_many_arguments)]
pub(super) async fn ask(
    core: &Core,
    remote: &Remote,
    lenient: bool,
    user: &UserInfo,
    method: Method,
    path: &str,
    known: &str,
    patience: Duration,
) -> Result<Answered, (String, String)> {
    let (address, host) = whereabouts(core, remote).map_err(|why| (path.to_owned(), why))?;
    let url = format!("https://{host}{path}");
    let exchange = async {
        let trust = if lenient { Trust::Anybody } else { remote.trust.clone() };
        let config = tls::config(&trust, identity(core))?;
        let stream = connect(&address, remote.port, Some((&remote.host(), config))).await?;
        let mut request = Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
        if !known.is_empty() {
            request = request.header(IF_NONE_MATCH, known);
        }
        if let Some(headers) = request.headers_mut() {
            in_the_name_of(user, headers);
        }
        let request = request.body(body::empty()).map_err(|error| error.to_string())?;
        let response = relay(stream, &host, request).await.map_err(|error| error.to_string())?;
        let code = response.status();
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        let body = body::read_within(response.into_body(), MAX_DOCUMENT).await?;
        Ok(Answered { url: url.clone(), code, etag, body })
    };
    let timed = tokio::time::timeout(patience, exchange).await;
    let answered: Result<_, String> = timed.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
    answered.map_err(|why| (url, why))
}

/// The address to dial, and what a request says its host is.
fn whereabouts(core: &Core, remote: &Remote) -> Result<(String, String), String> {
    let row = core.registry.find("", "services").ok_or("services are not served")?;
    let service = core.cached(row, &remote.namespace, &remote.name).map_err(|status| status.message)?;
    let address = locate(service.as_ref(), &remote.name, remote.port)?;
    let host = format!("{address}:{}", remote.port);
    Ok((address, host))
}

fn identity(core: &Core) -> Option<&crate::front::pki::Identity> {
    core.config.front_proxy.as_ref().map(|front| &front.identity)
}

/// The headers by which the other server knows who asks, and no others of that kind.
fn in_the_name_of(user: &UserInfo, headers: &mut HeaderMap) {
    let claimed: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in claimed {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        // Names of users may be what no header can say; then it does not.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    user.groups.iter().for_each(|group| add("x-remote-group", group));
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escape(key));
        values.iter().for_each(|value| add(&name, value));
    }
}

/// What no name of a header can have is escaped as in URLs.
fn escape(key: &str) -> String {
    let mut escaped = String::new();
    for byte in key.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => escaped.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

fn unavailable() -> Response<Body> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
}

/// As Go's `http.Error`.
fn plain(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(body::full(format!("{text}\n")));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_named_and_nobody_else() {
        let mut user = UserInfo::new("jane", &["a", "b"]);
        user.uid = "7".into();
        user.extra.insert("example.com/Scope".into(), vec!["x".into(), "y".into()]);
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-remote-user", "root"), ("x-remote-extra-forged", "1"), ("accept", "*/*")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        in_the_name_of(&user, &mut headers);
        let mut shown: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        shown.sort();
        let expected = [
            "accept: */*",
            "x-remote-extra-example.com%2fscope: x",
            "x-remote-extra-example.com%2fscope: y",
            "x-remote-group: a",
            "x-remote-group: b",
            "x-remote-uid: 7",
            "x-remote-user: jane",
        ];
        assert_eq!(shown, expected);
    }
}
