//! The network between clients and the API server: requests, answers and watch events, each with a delay of its own, in order
//! on one connection, and lost when something fails.
//!
//! A connection is one request and its answer; that of a watch lives as long as the watch does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::clock::{self, MILLISECOND, SECOND};
use crate::rng::Rng;

pub type Name = Arc<str>;
pub type Connection = u64;

#[derive(Debug, thiserror::Error)]
#[error("reach the API server: the connection is lost")]
pub struct Lost;

/// What is under way.
#[derive(Debug)]
pub enum Parcel {
    Request,
    /// The head of an answer, with its body unless frames follow.
    Answer(StatusCode, Option<Bytes>),
    Frame(Bytes),
    /// The end of a watch.
    End,
    /// The client learns that the connection is lost.
    Fail,
}

/// What is known of a connection.
struct Open {
    client: Name,
    method: Method,
    uri: String,
    body: Bytes,
    request: Option<Request<Bytes>>,
    head: Option<oneshot::Sender<Head>>,
    frames: Option<UnboundedSender<Result<Bytes, Lost>>>,
    /// What the server does for it.
    task: Option<AbortHandle>,
    /// When its last parcel to the client arrives.
    last: u64,
}

/// How a client is connected.
#[derive(Clone, Copy, Default)]
struct Link {
    cut_until: u64,
    slow_until: u64,
    slow_by: u64,
}

#[derive(Clone)]
pub struct Wire(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    serial: u64,
    /// By the time of arrival and a serial number.
    due: BTreeMap<(u64, u64), (Connection, Parcel)>,
    open: BTreeMap<Connection, Open>,
    links: BTreeMap<Name, Link>,
    lossy_until: u64,
    lossy_percent: u64,
}

/// A parcel that has arrived, with what it is about.
pub struct Arrived {
    pub connection: Connection,
    pub client: Name,
    pub method: Method,
    pub uri: String,
    /// What was asked for.
    pub body: Bytes,
    pub parcel: Parcel,
}

impl Wire {
    pub fn new(seed: u64) -> Wire {
        Wire(Arc::new(Mutex::new(State {
            rng: Rng::new(seed, "wire"),
            serial: 0,
            due: BTreeMap::new(),
            open: BTreeMap::new(),
            links: BTreeMap::new(),
            lossy_until: 0,
            lossy_percent: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a component gets instead of a connection to the API server. Made inside the component's runtime.
    pub fn client(&self, name: &str) -> Client {
        let (wire, name) = (self.clone(), Name::from(name));
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (wire, name) = (wire.clone(), name.clone());
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.map_err(|_| Lost)?.to_bytes();
                let (head, frames) = wire.send(name, Request::from_parts(parts, bytes));
                let (status, body) = head.await.map_err(|_| Lost)??;
                let first = futures::stream::iter(body.map(Ok));
                let body = StreamBody::new(first.chain(frames).map(|bytes| bytes.map(Frame::data)));
                let mut response = Response::new(body);
                *response.status_mut() = status;
                Ok::<_, Lost>(response)
            }
        });
        Client::new(service, "default")
    }

    fn send(
        &self,
        client: Name,
        request: Request<Bytes>,
    ) -> (oneshot::Receiver<Head>, UnboundedReceiver<Result<Bytes, Lost>>) {
        let (head, answer) = oneshot::channel();
        let (frames, receiver) = unbounded();
        let mut state = self.state();
        state.serial += 1;
        let connection = state.serial;
        let open = Open {
            client: client.clone(),
            method: request.method().clone(),
            uri: request.uri().to_string(),
            body: request.body().clone(),
            request: Some(request),
            head: Some(head),
            frames: Some(frames),
            task: None,
            last: 0,
        };
        state.open.insert(connection, open);
        let lost = state.is_cut(&client) || state.loses();
        match lost {
            true => state.post(connection, SECOND, Parcel::Fail),
            false => {
                let delay = state.delay();
                state.post(connection, delay, Parcel::Request);
            }
        }
        (answer, receiver)
    }

    /// When the next parcel arrives.
    pub fn next_due(&self) -> Option<u64> {
        self.state().due.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn is_quiet(&self) -> bool {
        self.state().due.is_empty()
    }

    /// The next parcel that arrives now.
    pub fn pop(&self) -> Option<Arrived> {
        let mut state = self.state();
        loop {
            if state.due.first_key_value().is_none_or(|((at, _), _)| *at > clock::now()) {
                return None;
            }
            let (_, (connection, parcel)) = state.due.pop_first()?;
            let Some(open) = state.open.get(&connection) else { continue };
            if state.is_cut(&open.client) && !matches!(parcel, Parcel::Fail) {
                // With one parcel all that was sent after it is lost, even if the partition ends before they would arrive.
                state.due.retain(|_, (of, _)| *of != connection);
                state.post(connection, SECOND, Parcel::Fail);
                continue;
            }
            let open = &state.open[&connection];
            return Some(Arrived {
                connection,
                client: open.client.clone(),
                method: open.method.clone(),
                uri: open.uri.clone(),
                body: open.body.clone(),
                parcel,
            });
        }
    }

    /// The server takes the request of a connection.
    pub fn take_request(&self, connection: Connection) -> Option<Request<Bytes>> {
        self.state().open.get_mut(&connection)?.request.take()
    }

    /// What the server does for a connection, to be given up with it.
    pub fn serve(&self, connection: Connection, task: AbortHandle) {
        if let Some(open) = self.state().open.get_mut(&connection) {
            open.task = Some(task);
        }
    }

    /// From the server to the client.
    pub fn answer(&self, connection: Connection, parcel: Parcel) {
        let mut state = self.state();
        let Some(open) = state.open.get(&connection) else { return };
        let (last, client) = (open.last, open.client.clone());
        if matches!(parcel, Parcel::Answer(..)) && state.loses() {
            return state.post(connection, SECOND, Parcel::Fail);
        }
        let link = state.links.get(&client).copied().unwrap_or_default();
        let slow = matches!(parcel, Parcel::Frame(_)) && link.slow_until > clock::now();
        let delay = state.delay() + if slow { link.slow_by } else { 0 };
        let at = (clock::now() + delay).max(last + 1);
        if let Some(open) = state.open.get_mut(&connection) {
            open.last = at;
        }
        state.post(connection, at - clock::now(), parcel);
    }

    /// Hands a parcel to the client.
    pub fn deliver(&self, connection: Connection, parcel: Parcel) {
        let mut state = self.state();
        let Some(open) = state.open.get_mut(&connection) else { return };
        // A client that is gone hears nothing.
        let ends = match parcel {
            Parcel::Request => false,
            Parcel::Answer(status, body) => {
                let whole = body.is_some();
                let heard = open.head.take().is_some_and(|head| head.send(Ok((status, body))).is_ok());
                whole || !heard
            }
            Parcel::Frame(bytes) => open.frames.as_ref().is_none_or(|frames| frames.unbounded_send(Ok(bytes)).is_err()),
            Parcel::End => true,
            Parcel::Fail => {
                let untold = open.head.take().is_none_or(|head| head.send(Err(Lost)).is_err());
                if let Some(frames) = open.frames.as_ref().filter(|_| untold) {
                    let _ = frames.unbounded_send(Err(Lost));
                }
                true
            }
        };
        if ends {
            state.close(connection);
        }
    }

    /// A client is no more: what it had sent may still arrive.
    pub fn client_crashed(&self, client: &str) {
        let mut state = self.state();
        for connection in state.connections_of(client) {
            let unsent = state.open.get(&connection).is_some_and(|open| open.request.is_some());
            if unsent && state.rng.chance(50) {
                if let Some(open) = state.open.get_mut(&connection) {
                    (open.head, open.frames) = (None, None);
                }
            } else {
                state.close(connection);
            }
        }
    }

    /// The server is no more: what it had sent may still arrive.
    pub fn server_crashed(&self) {
        let mut state = self.state();
        let all: Vec<Connection> = state.open.keys().copied().collect();
        for connection in all {
            state.fail(connection);
        }
    }

    /// Watches of a client, in the order of their beginning.
    pub fn watches(&self, client: &str) -> Vec<Connection> {
        let state = self.state();
        let of = |(_, open): &(&Connection, &Open)| &*open.client == client && is_watch(&open.uri);
        state.open.iter().filter(of).map(|(connection, _)| *connection).collect()
    }

    /// A connection breaks: what was under way on it may be lost.
    pub fn cut(&self, connection: Connection) {
        self.state().fail(connection);
    }

    /// Nothing passes between this client and the server for a while.
    pub fn partition(&self, client: &str, until: u64) {
        let mut state = self.state();
        state.links.entry(client.into()).or_default().cut_until = until;
        for connection in state.connections_of(client) {
            state.fail(connection);
        }
    }

    /// Watch events to this client are late for a while.
    pub fn slow(&self, client: &str, by: u64, until: u64) {
        let mut state = self.state();
        let link = state.links.entry(client.into()).or_default();
        (link.slow_by, link.slow_until) = (by, until);
    }

    /// Requests and answers are lost for a while.
    pub fn lossy(&self, percent: u64, until: u64) {
        let mut state = self.state();
        (state.lossy_percent, state.lossy_until) = (percent, until);
    }

    /// All is well again.
    pub fn heal(&self) {
        let mut state = self.state();
        state.links.clear();
        state.lossy_until = 0;
    }
}

/// With its body, unless frames follow.
type Head = Result<(StatusCode, Option<Bytes>), Lost>;

pub fn is_watch(uri: &str) -> bool {
    uri.contains("watch=true") || uri.contains("watch=1")
}

impl State {
    fn post(&mut self, connection: Connection, delay: u64, parcel: Parcel) {
        self.serial += 1;
        self.due.insert((clock::now() + delay, self.serial), (connection, parcel));
    }

    /// Most are quick, some are not.
    fn delay(&mut self) -> u64 {
        let most = if self.rng.chance(3) { 40 * MILLISECOND } else { 3 * MILLISECOND };
        self.rng.between(MILLISECOND / 10, most)
    }

    fn is_cut(&self, client: &str) -> bool {
        self.links.get(client).is_some_and(|link| link.cut_until > clock::now())
    }

    fn loses(&mut self) -> bool {
        self.lossy_until > clock::now() && self.rng.chance(self.lossy_percent)
    }

    fn connections_of(&self, client: &str) -> Vec<Connection> {
        let of = |(_, open): &(&Connection, &Open)| &*open.client == client;
        self.open.iter().filter(of).map(|(connection, _)| *connection).collect()
    }

    fn close(&mut self, connection: Connection) {
        if let Some(open) = self.open.remove(&connection)
            && let Some(task) = open.task
        {
            task.abort();
        }
    }

    /// The server's side ends now; of what it had sent nothing or all arrives, and then the news of the loss.
    fn fail(&mut self, connection: Connection) {
        let Some(open) = self.open.get_mut(&connection) else { return };
        if let Some(task) = open.task.take() {
            task.abort();
        }
        let last = open.last;
        let sent_only = open.request.is_some();
        let lost = sent_only || self.rng.chance(50);
        if lost {
            self.due.retain(|_, (of, _)| *of != connection);
        }
        let delay = self.delay().max(last.saturating_sub(clock::now()) + 1);
        self.post(connection, delay, Parcel::Fail);
    }
}
