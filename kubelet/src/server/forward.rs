//! port-forward: connections to ports of a pod, made inside its network.
//!
//! kubectl speaks SPDY, on the connection itself or inside a WebSocket: for each connection a stream for data and one for an error.
//! Other clients speak the channel protocol over a WebSocket: a pair of channels for each port, one connection each.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use api::status::{Qualified, Status};
use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::route::Query;
use super::upgrade::{self, Socket, Wish};
use super::{Answer, failure, ports, text};
use crate::driver::Shared;
use crate::spdy::{self, Stream};
use crate::table::Row;

/// Of kubectl, in SPDY itself and in a WebSocket.
const PROTOCOL: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// A port of localhost answers at once, or is dead.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections of which one of the two streams has come.
const HALF_OPEN: usize = 64;
pub const CHUNK: usize = 32 << 10;

/// A pod that connections are made to.
#[derive(Clone)]
pub struct Pod {
    shared: Arc<Shared>,
    uid: String,
    name: String,
}

pub fn answer(
    shared: &Arc<Shared>,
    (namespace, name): (&str, &str),
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let Some(row) = shared.table.find(namespace, name) else {
        return failure(&Status::not_found(Qualified::new("", "pods"), name));
    };
    if !is_running(&row) {
        return failure(&Status::internal(format!("unable to upgrade connection: pod {name} is not running")));
    }
    let uid = row.pod.metadata.uid.clone().unwrap_or_default();
    let pod = Pod { shared: shared.clone(), uid, name: name.to_owned() };
    match Wish::of(&request) {
        Err(refusal) => refusal,
        Ok(Wish::Spdy) => match upgrade::spdy(request, &[PROTOCOL]) {
            Err(refusal) => *refusal,
            Ok((answer, upgraded, _)) => {
                tokio::spawn(async move {
                    let Some(upgraded) = upgrade::finished(upgraded).await else { return };
                    let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
                    serve(pod, spdy::serve(reader, writer)).await;
                });
                answer
            }
        },
        Ok(Wish::WebSocket) => {
            let offered = upgrade::offered(&request).unwrap_or_default();
            if !offered.split(',').any(|name| name.trim() == TUNNEL) {
                return ports::answer(pod, &offered, query, request);
            }
            let (answer, upgraded) = upgrade::websocket(request, TUNNEL);
            tokio::spawn(async move {
                let Some(socket) = upgrade::accept(upgraded).await else { return };
                serve(pod, tunnel(socket)).await;
            });
            answer
        }
    }
}

fn is_running(row: &Row) -> bool {
    row.status.phase.as_deref() == Some("Running")
}

/// SPDY in the binary messages of a WebSocket.
fn tunnel(socket: Socket) -> spdy::Incoming {
    let (sink, source) = socket.split();
    let binary = |message: Message| async move {
        match message {
            Message::Binary(bytes) => Ok(Some(bytes)),
            Message::Text(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a text in a tunnel")),
            _ => Ok(None),
        }
    };
    let reader = StreamReader::new(Box::pin(source.map_err(io::Error::other).try_filter_map(binary)));
    let message = |bytes: Bytes| std::future::ready(Ok::<_, SocketError>(Message::Binary(bytes)));
    let writer = SinkWriter::new(CopyToBytes::new(sink.with(message).sink_map_err(io::Error::other)));
    spdy::serve(reader, writer)
}

/// The streams of one connection, by the request that they belong to.
#[derive(Default)]
struct Pair {
    data: Option<Stream>,
    error: Option<Stream>,
}

async fn serve(pod: Pod, mut incoming: spdy::Incoming) {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    while let Some(stream) = incoming.next().await {
        let (request, is_error) = match describe(&stream) {
            Some(described) if pairs.len() < HALF_OPEN => described,
            _ => {
                stream.outlet.reset().await;
                continue;
            }
        };
        let pair = pairs.entry(request.clone()).or_default();
        let place = if is_error { &mut pair.error } else { &mut pair.data };
        if place.is_some() {
            stream.outlet.reset().await;
            continue;
        }
        stream.outlet.accept().await;
        *place = Some(stream);
        if pair.data.is_some()
            && pair.error.is_some()
            && let Some(Pair { data: Some(data), error: Some(error) }) = pairs.remove(&request)
        {
            tokio::spawn(forward(pod.clone(), data, error));
        }
    }
}

/// The request that a stream belongs to, and whether it is for errors. `None`: it cannot be used.
fn describe(stream: &Stream) -> Option<(String, bool)> {
    port(stream)?;
    let is_error = match stream.headers.get("streamType") {
        Some("error") => true,
        Some("data") => false,
        _ => return None,
    };
    let request = match stream.headers.get("requestID") {
        Some(request) => request.to_owned(),
        // Clients that name none open the stream for errors first, then the one for data.
        None if is_error => format!("stream {}", stream.id()),
        None => format!("stream {}", stream.id().wrapping_sub(2)),
    };
    Some((request, is_error))
}

fn port(stream: &Stream) -> Option<u16> {
    stream.headers.get("port")?.parse().ok().filter(|port| *port > 0)
}

async fn forward(pod: Pod, data: Stream, error: Stream) {
    let Some(port) = port(&data) else { return };
    match pod.connect(port).await {
        Ok(connection) => {
            carry(connection, data).await;
            error.outlet.finish().await;
        }
        Err(why) => {
            error.outlet.write(why.into()).await;
            // The client reads the reason before it hears that there will be no data.
            error.outlet.finish().await;
            data.outlet.reset().await;
        }
    }
}

/// Both ways, until the pod has ended its side, or the client is gone.
async fn carry(connection: TcpStream, mut data: Stream) {
    let (mut from_pod, mut to_pod) = connection.into_split();
    let outlet = data.outlet.clone();
    let inward = tokio::spawn(async move {
        while let Some(bytes) = data.read().await {
            if to_pod.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // A client that is done may still wait for the answer.
        let _ = to_pod.shutdown().await;
    });
    let mut buffer = vec![0; CHUNK];
    loop {
        match from_pod.read(&mut buffer).await {
            Ok(count @ 1..) if outlet.write(Bytes::copy_from_slice(&buffer[..count])).await => {}
            _ => break,
        }
    }
    outlet.finish().await;
    inward.abort();
}

impl Pod {
    /// A connection to a port of the pod's localhost. The error is for the client.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let failed = |error: &dyn std::fmt::Display| {
            let Pod { name, uid, .. } = self;
            format!(
                "error forwarding port {port} to pod {name}, uid {uid}: failed to connect to localhost:{port} inside the pod: {error}"
            )
        };
        let listing = self.shared.runtime.list().await.map_err(|error| failed(&error))?;
        let own = |id: &str| id.strip_prefix(self.uid.as_str()).is_some_and(|rest| rest.starts_with('-'));
        let sandbox = listing.sandboxes.into_iter().find(|sandbox| sandbox.ready && own(&sandbox.spec.id));
        let sandbox = sandbox.ok_or_else(|| failed(&"it has no sandbox"))?.spec;
        let namespace = match sandbox.network {
            Some(_) => self.shared.runtime.network_namespace(sandbox.id).await.map_err(|error| failed(&error))?,
            None => None,
        };
        let (sender, connected) = tokio::sync::oneshot::channel();
        // The thread is lost to the namespace: it ends here.
        let thread = std::thread::Builder::new().name("port-forward".into()).spawn(move || {
            let connection = match &namespace {
                Some(namespace) => move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(io::Error::from)
                    .and_then(|()| dial(port)),
                None => dial(port),
            };
            // Nobody waits for it any more when the client is gone.
            let _ = sender.send(connection);
        });
        thread.map_err(|error| failed(&error))?;
        let connection = connected.await.map_err(|error| failed(&error))?;
        connection.and_then(TcpStream::from_std).map_err(|error| failed(&error))
    }
}

/// By either address of localhost. Blocks.
fn dial(port: u16) -> io::Result<StdStream> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = match StdStream::connect_timeout(&v4, CONNECT) {
        Ok(stream) => stream,
        Err(first) => StdStream::connect_timeout(&(Ipv6Addr::LOCALHOST, port).into(), CONNECT).map_err(|_| first)?,
    };
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a client must say differently.
pub fn bad_request(why: &str) -> Answer {
    text(StatusCode::BAD_REQUEST, why)
}
