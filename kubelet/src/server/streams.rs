//! exec and attach: the streams of a command, or of a container, over a WebSocket ([`super::session`]) or SPDY ([`super::remote`]).

use std::sync::Arc;
use std::time::Duration;

use api::status::{Qualified, Status};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use runtime::spec::ExecSpec;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::channel::Protocol;
use super::route::{Query, Target};
use super::session::Channel;
use super::upgrade::Wish;
use super::{Answer, failure, remote, session, upgrade};
use crate::driver::Shared;
use crate::node_runtime::{Execution, Input, Output, Streams};
use crate::spdy;

const CHUNK: usize = 32 << 10;
/// After a command has ended, its output is over when nothing has come for so long: a child that it left behind may hold it open.
const LINGER: Duration = Duration::from_millis(500);
pub const SIGHUP: i32 = 1;

/// Which streams the client wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
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

/// What the streams of a client are connected with.
pub enum Work {
    Exec(ExecSpec),
    Attach(String),
}

impl Work {
    /// The error is for the client.
    pub async fn begin(self, shared: &Shared, wanted: Wanted) -> Result<Begun, String> {
        match self {
            Work::Exec(spec) => match shared.runtime.exec(spec).await {
                Ok(Execution { streams, exit, signal }) => {
                    Ok(Begun { streams: wanted.filter(streams), exit: Some(exit), signal: Some(signal) })
                }
                Err(error) => Err(format!("error executing command in container: {error}")),
            },
            Work::Attach(id) => match shared.runtime.attach(id).await {
                Ok(streams) => Ok(Begun { streams: wanted.filter(streams), exit: None, signal: None }),
                Err(error) => Err(format!("error attaching to container: {error}")),
            },
        }
    }
}

type ExitFuture = futures::future::BoxFuture<'static, Result<runtime::spec::Exit, runtime::Error>>;
type Signal = Box<dyn Fn(i32) -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// Streams, and for a command its end.
pub struct Begun {
    pub streams: Streams,
    pub exit: Option<ExitFuture>,
    signal: Option<Signal>,
}

impl Begun {
    /// The client went away before the end: as a terminal does that loses its line.
    pub fn line_is_lost(signal: Option<Signal>) -> futures::future::BoxFuture<'static, ()> {
        match signal {
            Some(signal) => signal(SIGHUP),
            None => Box::pin(std::future::ready(())),
        }
    }

    /// To be used when the client is gone.
    pub fn take_signal(&mut self) -> Option<Signal> {
        self.signal.take()
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

pub fn exec(shared: &Arc<Shared>, target: &Target, query: &Query, request: Request<Incoming>) -> Answer {
    let prepared = Wanted::parse(query).and_then(|wanted| Ok((wanted, running(shared, target)?)));
    let (wanted, container) = match prepared {
        Ok(prepared) => prepared,
        Err(status) => return failure(&status),
    };
    let args = query.all("command");
    if args.is_empty() {
        return failure(&Status::bad_request("you must specify at least one command"));
    }
    let spec = ExecSpec { container, args, terminal: wanted.tty, stdin: wanted.stdin };
    connect(shared, wanted, Work::Exec(spec), request)
}

pub fn attach(shared: &Arc<Shared>, target: &Target, query: &Query, request: Request<Incoming>) -> Answer {
    match Wanted::parse(query).and_then(|wanted| Ok((wanted, running(shared, target)?))) {
        Ok((wanted, id)) => connect(shared, wanted, Work::Attach(id), request),
        Err(status) => failure(&status),
    }
}

/// The answer switches protocols; what follows goes on by itself.
fn connect(shared: &Arc<Shared>, wanted: Wanted, work: Work, request: Request<Incoming>) -> Answer {
    let shared = shared.clone();
    match Wish::of(&request) {
        Err(refusal) => refusal,
        Ok(Wish::WebSocket) => {
            let Some(protocol) = Protocol::negotiate(upgrade::offered(&request).as_deref()) else {
                return failure(&Status::bad_request("none of the offered WebSocket subprotocols is known"));
            };
            let (answer, upgraded) = upgrade::websocket(request, protocol.name);
            tokio::spawn(async move {
                let Some(socket) = upgrade::accept(upgraded).await else { return };
                session::run(socket, protocol, wanted, work.begin(&shared, wanted).await).await;
            });
            answer
        }
        Ok(Wish::Spdy) => match upgrade::spdy(request, &remote::PROTOCOLS) {
            Err(refusal) => *refusal,
            Ok((answer, upgraded, protocol)) => {
                tokio::spawn(async move {
                    let Some(upgraded) = upgrade::finished(upgraded).await else { return };
                    remote::run(&shared, upgraded, protocol, wanted, work).await;
                });
                answer
            }
        },
    }
}

/// As upstream reports how a command ended.
pub fn outcome(code: i32) -> Value {
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

/// Where output goes.
pub enum Outlet {
    WebSocket(Channel),
    Spdy(spdy::Outlet),
}

impl Outlet {
    /// False: the client is gone.
    async fn write(&self, data: &[u8]) -> bool {
        match self {
            Outlet::WebSocket(channel) => channel.write(data).await,
            Outlet::Spdy(stream) => stream.write(Bytes::copy_from_slice(data)).await,
        }
    }
}

/// Streams on their way out. Waits for `exit`, then until all output has been sent.
pub struct Outputs {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// True once the process has ended.
    over: watch::Sender<bool>,
}

impl Outputs {
    pub fn start(outputs: impl IntoIterator<Item = (Output, Outlet)>) -> Outputs {
        let (over, is_over) = watch::channel(false);
        let start = |(output, outlet)| tokio::spawn(pump(output, outlet, is_over.clone()));
        Outputs { tasks: outputs.into_iter().map(start).collect(), over }
    }

    /// The Status that tells the client how it ended.
    pub async fn finish(self, exit: Option<ExitFuture>) -> Value {
        let ended = exit.is_some();
        let status = match exit {
            Some(exit) => match exit.await {
                Ok(exit) => outcome(exit.code),
                Err(error) => Status::internal(format!("error executing command in container: {error}")).to_json(),
            },
            // Only the client can end it.
            None if self.tasks.is_empty() => std::future::pending().await,
            None => outcome(0),
        };
        // An attached container's output ends by itself.
        self.over.send_replace(ended);
        for output in self.tasks {
            // A reader that panicked has nothing more to say.
            let _ = output.await;
        }
        status
    }
}

async fn pump(mut output: Output, outlet: Outlet, mut over: watch::Receiver<bool>) {
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
        if count == 0 || !outlet.write(&buffer[..count]).await {
            return;
        }
    }
}

/// Input from the client.
pub async fn feed(stdin: &mut Option<Input>, data: &[u8]) {
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
