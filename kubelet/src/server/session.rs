//! A session of exec or attach over a WebSocket.

use std::time::Duration;

use api::status::Status;
use futures::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::channel::{ERROR, Incoming, Protocol, STDERR, STDOUT};
use super::streams::{Begun, Outlet, Outputs, Wanted, feed};
use super::upgrade::Socket;

/// Messages that wait for a slow client; the command then waits with it.
const MESSAGES: usize = 16;
/// After the end of a session, what the client still sends is read and dropped for so long: closing a connection with unread input
/// resets it, and the client may lose what was sent to it last.
const FAREWELL: Duration = Duration::from_secs(5);

/// One channel's way to the client.
pub struct Channel {
    pub channel: u8,
    pub protocol: Protocol,
    pub to: mpsc::Sender<Message>,
}

impl Channel {
    pub async fn write(&self, data: &[u8]) -> bool {
        self.to.send(self.protocol.encode(self.channel, data)).await.is_ok()
    }
}

pub async fn run(socket: Socket, protocol: Protocol, wanted: Wanted, begun: Result<Begun, String>) {
    match begun {
        Ok(mut begun) => {
            let signal = begun.take_signal();
            let gone = connect(socket, protocol, begun).await;
            if gone && wanted.tty {
                Begun::line_is_lost(signal).await;
            }
        }
        Err(why) => refuse(socket, protocol, &why).await,
    }
}

async fn refuse(mut socket: Socket, protocol: Protocol, why: &str) {
    let status = Status::internal(why).to_json();
    if let Some(message) = protocol.outcome(&status) {
        // A client that went away needs no answer.
        let _ = socket.send(message).await;
    }
    let _ = socket.send(normal_close()).await;
}

/// Without the code of a normal end, clients report an error.
pub fn normal_close() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// Sends what comes through the channel, and when all its senders are gone, the end.
pub fn write_messages(
    mut sink: impl futures::Sink<Message> + Send + Unpin + 'static,
) -> (mpsc::Sender<Message>, tokio::task::JoinHandle<()>) {
    let (to, mut messages) = mpsc::channel::<Message>(MESSAGES);
    let writer = tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        let _ = sink.send(normal_close()).await;
    });
    (to, writer)
}

/// Until the process has ended and its output has been sent; true when the client went away before.
async fn connect(socket: Socket, protocol: Protocol, begun: Begun) -> bool {
    let (sink, mut source) = socket.split();
    let (to, mut writer) = write_messages(sink);
    let (streams, exit) = (begun.streams, begun.exit);
    let outputs: Vec<_> = [(STDOUT, streams.stdout), (STDERR, streams.stderr)]
        .into_iter()
        .filter_map(|(channel, output)| Some((output?, Channel { channel, protocol, to: to.clone() })))
        .collect();
    // An empty message tells the client that the streams are up.
    let first = outputs.first().map_or(ERROR, |(_, channel)| channel.channel);
    let _ = to.try_send(protocol.encode(first, b""));
    let outputs = Outputs::start(outputs.into_iter().map(|(output, to)| (output, Outlet::WebSocket(to))));
    let (mut stdin, resize) = (streams.stdin, streams.resize);
    let mut reader = tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            match protocol.decode(&message) {
                Incoming::Input(data) => feed(&mut stdin, &data).await,
                Incoming::EndOfInput => stdin = None,
                Incoming::Resize(columns, rows) => {
                    if let Some(resize) = &resize {
                        resize(columns, rows);
                    }
                }
                Incoming::Nothing => {}
                Incoming::Closed => return,
            }
        }
    });
    let status = tokio::select! {
        status = outputs.finish(exit) => Some(status),
        _ = &mut reader => None,
        _ = &mut writer => None,
    };
    if let Some(message) = status.as_ref().and_then(|status| protocol.outcome(status)) {
        let _ = to.send(message).await;
    }
    drop(to);
    if status.is_some() {
        let _ = writer.await;
        let _ = tokio::time::timeout(FAREWELL, &mut reader).await;
    }
    reader.abort();
    status.is_none()
}
