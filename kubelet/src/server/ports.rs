//! port-forward in the channel protocol: channel 2n carries the data of the n-th port of the query, 2n+1 its error. Each begins with
//! the port, two bytes, the lower one first.

use std::collections::BTreeMap;

use futures::StreamExt;
use http::Request;
use hyper::body::Incoming as RequestBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::Answer;
use super::channel::Protocol;
use super::forward::{CHUNK, Pod, bad_request};
use super::route::Query;
use super::session::{Channel, write_messages};
use super::upgrade::{self, Socket};

/// Each takes two channels, and a channel is one byte.
const PORTS_MAX: usize = 127;

pub fn answer(pod: Pod, offered: &str, query: &Query, request: Request<RequestBody>) -> Answer {
    let ports = match parse(query) {
        Ok(ports) => ports,
        Err(why) => return bad_request(&why),
    };
    let Some(protocol) = Protocol::for_ports(offered) else {
        return bad_request("none of the offered WebSocket subprotocols is known");
    };
    let (answer, upgraded) = upgrade::websocket(request, protocol.name);
    tokio::spawn(async move {
        let Some(socket) = upgrade::accept(upgraded).await else { return };
        serve(pod, protocol, socket, ports).await;
    });
    answer
}

fn parse(query: &Query) -> Result<Vec<u16>, String> {
    let values = query.all("port");
    if values.is_empty() {
        return Err("query parameter \"port\" is required".into());
    }
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let texts = values.iter().flat_map(|value| value.split(','));
    let ports = texts.map(|text| port(text).ok_or_else(|| format!("unable to parse {text:?} as a port")));
    let ports: Vec<u16> = ports.collect::<Result<_, _>>()?;
    match ports.len() <= PORTS_MAX {
        true => Ok(ports),
        false => Err(format!("at most {PORTS_MAX} ports can be forwarded by one connection")),
    }
}

async fn serve(pod: Pod, protocol: Protocol, socket: Socket, ports: Vec<u16>) {
    let (sink, mut source) = socket.split();
    let (to, writer) = write_messages(sink);
    let (mut connections, mut inward) = (JoinSet::new(), BTreeMap::new());
    for (index, port) in ports.into_iter().enumerate() {
        let data = (index * 2) as u8;
        let channel = |channel| Channel { channel, protocol, to: to.clone() };
        let (outlet, error) = (channel(data), channel(data + 1));
        for channel in [&outlet, &error] {
            channel.write(&port.to_le_bytes()).await;
        }
        match pod.connect(port).await {
            Ok(connection) => {
                inward.insert(data, start(connection, outlet, &mut connections));
            }
            Err(why) => drop(error.write(why.as_bytes()).await),
        }
    }
    drop(to);
    let reader = async {
        while let Some(Ok(message)) = source.next().await {
            if message.is_close() {
                return;
            }
            read(protocol, &message, &mut inward).await;
        }
    };
    // Until all connections have ended, or the client is gone.
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = reader => connections.shutdown().await,
        () = all => {}
    }
    drop(inward);
    let _ = writer.await;
}

fn start(connection: TcpStream, outlet: Channel, connections: &mut JoinSet<()>) -> OwnedWriteHalf {
    let (mut from_pod, to_pod) = connection.into_split();
    connections.spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from_pod.read(&mut buffer).await {
            if !outlet.write(&buffer[..count]).await {
                return;
            }
        }
    });
    to_pod
}

async fn read(protocol: Protocol, message: &Message, inward: &mut BTreeMap<u8, OwnedWriteHalf>) {
    let Some((channel, data)) = protocol.split(message) else { return };
    if let Some(to_pod) = inward.get_mut(&channel)
        && to_pod.write_all(&data).await.is_err()
    {
        inward.remove(&channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_from_the_query() {
        let table = [
            ("port=80", Some(vec![80])),
            ("port=80%2C81&port=443", Some(vec![80, 81, 443])),
            ("port=0", None),
            ("port=65536", None),
            ("port=", None),
            ("", None),
        ];
        for (query, expected) in table {
            assert_eq!(parse(&Query::parse(query)).ok(), expected, "{query}");
        }
    }
}
