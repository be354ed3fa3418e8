//! exec and attach: the streams of a command, or of a container, over a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use api::status::{Qualified, Status};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming as RequestBody;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use runtime::spec::ExecSpec;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::channel::{ERROR, Incoming, Protocol, STDERR, STDOUT};
use super::route::{Query, Target};
use super::{Answer, body, failure};
use crate::driver::Shared;
use crate::node_runtime::{Execution, Input, Output, Streams};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Messages that wait for a slow client; the command then waits with it.
const MESSAGES: usize = 16;
const CHUNK: usize = 32 << 10;
/// After a command has ended, its output is over when nothing has come for so long: a child that it left behind may hold it open.
const LINGER: Duration = Duration::from_millis(500);
/// After the end of a session, what the client still sends is read and dropped for so long: closing a connection with unread input
/// resets it, and the client may lose what was sent to it last.
const FAREWELL: Duration = Duration::from_secs(5);
const SIGHUP: i32 = 1;

/// Which streams the client wants.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    fn parse(query: &Query) -> Result<Wanted, Status> {
        let tty = query.flag(&["tty"]);
        let wanted = Wanted {
            stdin: query.flag(&["input", "stdin"]),
            stdout: query.flag(&["output", "stdout"]),
            // A terminal has one output.
            stderr: query.flag(&["error", "stderr"]) && !tty,
            tty,
        };
        match wanted.stdin || wanted.stdout || wanted.stderr {
            true => Ok(wanted),
            false => Err(Status::bad_request("you must specify at least 1 of stdin, stdout, stderr")),
        }
    }

    fn filter(self, mut streams: Streams) -> Streams {
        streams.stdin = streams.stdin.filter(|_| self.stdin);
        streams.stdout = streams.stdout.filter(|_| self.stdout);
        streams.stderr = streams.stderr.filter(|_| self.stderr);
        streams
    }
}

/// The runtime's id of a running container.
fn running(shared: &Shared, target: &Target) -> Result<String, Status> {
    let row = shared.table.find(&target.namespace, &target.pod);
    let row = row.ok_or_else(|| Status::not_found(Qualified::new("", "pods"), &target.pod))?;
    let Target { pod, container, .. } = target;
    let known = row.containers.get(container);
    let known =
        known.ok_or_else(|| Status::bad_request(format!("container {container} is not valid for pod {pod}")))?;
    let id = known.current.as_ref().filter(|_| known.running).map(|(id, _)| id.clone());
    id.ok_or_else(|| Status::internal(format!("unable to upgrade connection: container not found ({container:?})")))
}

/// Checks the handshake; the answer switches protocols.
fn upgrade(request: Request<RequestBody>) -> Result<(Answer, OnUpgrade, Protocol), Status> {
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let websocket = header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let Some(key) = header(SEC_WEBSOCKET_KEY).filter(|_| websocket) else {
        return Err(Status::bad_request(
            "this node speaks WebSocket for exec and attach; the client asked for something else",
        ));
    };
    let unknown = || Status::bad_request("none of the offered WebSocket subprotocols is known");
    let protocol = Protocol::negotiate(header(SEC_WEBSOCKET_PROTOCOL)).ok_or_else(unknown)?;
    let accept = derive_accept_key(key.as_bytes());
    let mut answer = Response::new(body(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).map_err(Status::internal)?);
    if !protocol.name.is_empty() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name));
    }
    Ok((answer, hyper::upgrade::on(request), protocol))
}

pub fn exec(shared: &Arc<Shared>, target: &Target, query: &Query, request: Request<RequestBody>) -> Answer {
    let prepared = Wanted::parse(query).and_then(|wanted| Ok((wanted, running(shared, target)?)));
    let (wanted, container) = match prepared {
        Ok(prepared) => prepared,
        Err(status) => return failure(&status),
    };
    let args = query.all("command");
    if args.is_empty() {
        return failure(&Status::bad_request("you must specify at least one command"));
    }
    let (answer, upgraded, protocol) = match upgrade(request) {
        Ok(upgraded) => upgraded,
        Err(status) => return failure(&status),
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let Some(socket) = accept(upgraded).await else { return };
        let spec = ExecSpec { container, args, terminal: wanted.tty, stdin: wanted.stdin };
        match shared.runtime.exec(spec).await {
            Ok(execution) => run_exec(socket, protocol, wanted, execution).await,
            Err(error) => refuse(socket, protocol, &format!("error executing command in container: {error}")).await,
        }
    });
    answer
}

pub fn attach(shared: &Arc<Shared>, target: &Target, query: &Query, request: Request<RequestBody>) -> Answer {
    let prepared = Wanted::parse(query).and_then(|wanted| Ok((wanted, running(shared, target)?)));
    let (wanted, id) = match prepared {
        Ok(prepared) => prepared,
        Err(status) => return failure(&status),
    };
    let (answer, upgraded, protocol) = match upgrade(request) {
        Ok(upgraded) => upgraded,
        Err(status) => return failure(&status),
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let Some(socket) = accept(upgraded).await else { return };
        match shared.runtime.attach(id).await {
            Ok(streams) => {
                let session = Session::start(socket, protocol, wanted.filter(streams));
                // The container's output ends with the container.
                session.finish(None).await;
            }
            Err(error) => refuse(socket, protocol, &format!("error attaching to container: {error}")).await,
        }
    });
    answer
}

async fn accept(upgraded: OnUpgrade) -> Option<Socket> {
    match upgraded.await {
        Ok(upgraded) => Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await),
        Err(error) => {
            tracing::debug!(%error, "connection not upgraded");
            None
        }
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

fn normal_close() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// As upstream reports how a command ended.
fn outcome(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

async fn run_exec(socket: Socket, protocol: Protocol, wanted: Wanted, execution: Execution) {
    let Execution { streams, exit, signal } = execution;
    let session = Session::start(socket, protocol, wanted.filter(streams));
    let gone = session.finish(Some(exit)).await;
    if gone && wanted.tty {
        // As a terminal does that loses its line.
        signal(SIGHUP).await;
    }
}

type ExitFuture = std::pin::Pin<Box<dyn Future<Output = Result<runtime::spec::Exit, runtime::Error>> + Send>>;

/// Streams on their way between a socket and a process.
struct Session {
    protocol: Protocol,
    to: mpsc::Sender<Message>,
    outputs: Vec<tokio::task::JoinHandle<()>>,
    /// True once the process has ended.
    over: watch::Sender<bool>,
    writer: tokio::task::JoinHandle<()>,
    reader: tokio::task::JoinHandle<()>,
}

impl Session {
    fn start(socket: Socket, protocol: Protocol, streams: Streams) -> Session {
        let (mut sink, mut source) = socket.split();
        let (to, mut messages) = mpsc::channel::<Message>(MESSAGES);
        let (over, is_over) = watch::channel(false);
        let writer = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            // Without the code of a normal end, clients report an error.
            let _ = sink.send(normal_close()).await;
        });
        let mut outputs = Vec::new();
        let mut first = ERROR;
        for (channel, output) in [(STDOUT, streams.stdout), (STDERR, streams.stderr)] {
            if let Some(output) = output {
                first = first.min(channel);
                outputs.push(tokio::spawn(pump(output, channel, protocol, to.clone(), is_over.clone())));
            }
        }
        // An empty message tells the client that the streams are up.
        let _ = to.try_send(protocol.encode(first, b""));
        let (mut stdin, resize) = (streams.stdin, streams.resize);
        let reader = tokio::spawn(async move {
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
        Session { protocol, to, outputs, over, writer, reader }
    }

    /// Until the process has ended and its output has been sent; true when the client went away before.
    async fn finish(mut self, exit: Option<ExitFuture>) -> bool {
        let (over, outputs, ended) = (self.over, std::mem::take(&mut self.outputs), exit.is_some());
        let finished = async move {
            let status = match exit {
                Some(exit) => match exit.await {
                    Ok(exit) => outcome(exit.code),
                    Err(error) => Status::internal(format!("error executing command in container: {error}")).to_json(),
                },
                // Only the client can end it.
                None if outputs.is_empty() => std::future::pending().await,
                None => outcome(0),
            };
            // An attached container's output ends by itself.
            over.send_replace(ended);
            for output in outputs {
                // A reader that panicked has nothing more to say.
                let _ = output.await;
            }
            status
        };
        let status = tokio::select! {
            status = finished => Some(status),
            _ = &mut self.reader => None,
            _ = &mut self.writer => None,
        };
        if let Some(message) = status.as_ref().and_then(|status| self.protocol.outcome(status)) {
            let _ = self.to.send(message).await;
        }
        drop(self.to);
        if status.is_some() {
            let _ = self.writer.await;
            let _ = tokio::time::timeout(FAREWELL, &mut self.reader).await;
        }
        self.reader.abort();
        status.is_none()
    }
}

async fn feed(stdin: &mut Option<Input>, data: &[u8]) {
    if let Some(input) = stdin {
        let written = async {
            input.write_all(data).await?;
            input.flush().await
        };
        if written.await.is_err() {
            // The process has closed it: what else comes has nowhere to go.
            *stdin = None;
        }
    }
}

async fn pump(
    mut output: Output,
    channel: u8,
    protocol: Protocol,
    to: mpsc::Sender<Message>,
    mut over: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let lingered = async {
            let _ = over.wait_for(|over| *over).await;
            tokio::time::sleep(LINGER).await;
        };
        let count = tokio::select! {
            count = output.read(&mut buffer) => count.unwrap_or(0),
            () = lingered => 0,
        };
        if count == 0 || to.send(protocol.encode(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        assert_eq!(outcome(0)["status"], "Success");
        let failed = outcome(3);
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));
    }

    #[test]
    fn wanted_streams() {
        let parse = |text: &str| Wanted::parse(&Query::parse(text));
        let tty = parse("input=1&output=1&error=1&tty=1").expect("streams");
        assert!(tty.stdin && tty.stdout && !tty.stderr && tty.tty);
        assert!(parse("stdout=true").expect("streams").stdout);
        assert!(parse("tty=1").is_err());
    }
}
