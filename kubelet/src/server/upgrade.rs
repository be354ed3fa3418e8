//! From a request to a connection of streams: WebSockets, and SPDY.

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Answer, body, text};

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

const SPDY: &str = "SPDY/3.1";
/// What a client of SPDY can do, best first; the answer names one.
const VERSION: &str = "x-stream-protocol-version";
const ACCEPTED: &str = "x-accepted-stream-protocol-versions";

/// What a request wants to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    WebSocket,
    Spdy,
}

impl Wish {
    pub fn of(request: &Request<Incoming>) -> Result<Wish, Answer> {
        let upgrade = header(request.headers(), UPGRADE.as_str()).unwrap_or_default().to_ascii_lowercase();
        let key = request.headers().contains_key(SEC_WEBSOCKET_KEY);
        match upgrade.as_str() {
            "websocket" if key => Ok(Wish::WebSocket),
            upgrade if upgrade.contains(&SPDY.to_ascii_lowercase()) => Ok(Wish::Spdy),
            _ => Err(text(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request")),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn switching(to: &'static str) -> Answer {
    let mut answer = Response::new(body(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer
}

/// The subprotocols that a client of WebSockets offers.
pub fn offered(request: &Request<Incoming>) -> Option<String> {
    header(request.headers(), SEC_WEBSOCKET_PROTOCOL.as_str()).map(str::to_owned)
}

/// Answers the handshake of a WebSocket with this subprotocol, empty for none.
pub fn websocket(request: Request<Incoming>, protocol: &'static str) -> (Answer, OnUpgrade) {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let mut answer = switching("websocket");
    if let Some(accept) = key.and_then(|accept| HeaderValue::try_from(accept).ok()) {
        answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if !protocol.is_empty() {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    (answer, hyper::upgrade::on(request))
}

pub async fn accept(upgraded: OnUpgrade) -> Option<Socket> {
    let upgraded = finished(upgraded).await?;
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
}

/// Once the answer is sent; `None`: the client went away.
pub async fn finished(upgraded: OnUpgrade) -> Option<Upgraded> {
    upgraded.await.inspect_err(|error| tracing::debug!(%error, "connection not upgraded")).ok()
}

/// Answers a request for SPDY with the first protocol of the client that we know.
pub fn spdy(
    request: Request<Incoming>,
    known: &[&'static str],
) -> Result<(Answer, OnUpgrade, &'static str), Box<Answer>> {
    let protocol = negotiate(request.headers(), known)?;
    let mut answer = switching(SPDY);
    answer.headers_mut().insert(VERSION, HeaderValue::from_static(protocol));
    Ok((answer, hyper::upgrade::on(request), protocol))
}

fn negotiate(headers: &HeaderMap, known: &[&'static str]) -> Result<&'static str, Box<Answer>> {
    let values = headers.get_all(VERSION).iter().filter_map(|value| value.to_str().ok());
    let offers: Vec<&str> =
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|it| !it.is_empty()).collect();
    if offers.is_empty() {
        let why = "unable to upgrade: header X-Stream-Protocol-Version does not exist in request, or is empty";
        return Err(Box::new(text(StatusCode::BAD_REQUEST, why)));
    }
    let found = offers.iter().find_map(|offer| known.iter().find(|name| *name == offer));
    found.copied().ok_or_else(|| {
        let (client, server) = (offers.join(" "), known.join(" "));
        let why = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{client}], server accepts [{server}]"
        );
        let mut answer = text(StatusCode::FORBIDDEN, why);
        for name in known {
            answer.headers_mut().append(ACCEPTED, HeaderValue::from_static(name));
        }
        Box::new(answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_first_known_protocol_is_spoken() {
        let known = ["v4.channel.k8s.io", "v1.channel.k8s.io"];
        let table: [(&[&'static str], Result<&str, StatusCode>); 5] = [
            (&["v5.channel.k8s.io", "v1.channel.k8s.io", "v4.channel.k8s.io"], Ok("v1.channel.k8s.io")),
            (&["v5.channel.k8s.io, v4.channel.k8s.io"], Ok("v4.channel.k8s.io")),
            (&["v9"], Err(StatusCode::FORBIDDEN)),
            (&[" ,"], Err(StatusCode::BAD_REQUEST)),
            (&[], Err(StatusCode::BAD_REQUEST)),
        ];
        for (offers, expected) in table {
            let mut headers = HeaderMap::new();
            for offer in offers {
                headers.append(VERSION, HeaderValue::from_static(offer));
            }
            let got = negotiate(&headers, &known).map_err(|answer| answer.status());
            assert_eq!(got, expected, "{offers:?}");
        }
    }
}
