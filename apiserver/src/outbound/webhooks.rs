//! Sending reviews to webhooks: HTTPS, over connections that are kept for the next one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::Object;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::Instant;

use super::connect::connect;
use super::place::{Client, Place, Target, locate};
use super::tls::{self, Trust};

/// No answer is longer (upstream reads without a limit).
const MAX_ANSWER: usize = 16 << 20;
/// Connections that wait for the next review, of one webhook. More than that many at once are rare.
const MAX_IDLE: usize = 8;
/// How long they wait (Go's default).
const IDLE_TIME: Duration = Duration::from_secs(90);
/// Webhooks whose connections are kept. Beyond it all are forgotten: what is in use comes back.
const MAX_KNOWN: usize = 200;

type Sender = SendRequest<Full<Bytes>>;
/// Where, by whose certificates, and at which address.
type Key = (Place, Vec<u8>, Option<String>);

/// The connections to webhooks that wait.
#[derive(Default)]
pub struct Webhooks(Mutex<BTreeMap<Key, Vec<(Instant, Sender)>>>);

/// What one request came to.
enum Failed {
    /// The connection had ended while it waited: the webhook has not seen the request.
    Stale,
    Other(String),
}

impl Webhooks {
    /// Sends `body`, and answers with what the answer's body says. `query` is added to the webhook's path; `service` finds the Service that it may
    /// be.
    ///
    /// # Errors
    /// In upstream's words, as far as they are Go's.
    pub async fn post(
        &self,
        client: &Client,
        query: &str,
        patience: Duration,
        body: String,
        service: impl FnOnce(&str, &str) -> Result<Option<Object>, String>,
    ) -> Result<Value, String> {
        let mut target = Target::of(&client.place, query)?;
        let url = target.url.clone();
        let failed = |why: String| format!("Post {url:?}: {why}");
        if let Place::Service { namespace, name, port, .. } = &client.place {
            let found = service(namespace, name).map_err(&failed)?;
            target.address = Some(locate(found.as_ref(), name, *port).map_err(&failed)?);
        }
        let exchange = self.exchange(&target, client, Bytes::from(body));
        let (code, bytes) = match tokio::time::timeout(patience, exchange).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(_) => return Err(failed("context deadline exceeded".to_owned())),
        };
        match code {
            code if code.is_success() => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            StatusCode::NOT_FOUND => Err("the server could not find the requested resource".to_owned()),
            code if code.is_server_error() => Err(format!(
                "an error on the server ({:?}) has prevented the request from succeeding",
                String::from_utf8_lossy(&bytes)
            )),
            _ => Err("the server rejected our request for an unknown reason".to_owned()),
        }
    }

    async fn exchange(&self, target: &Target, client: &Client, body: Bytes) -> Result<(StatusCode, Bytes), String> {
        let key = (client.place.clone(), client.ca_bundle.clone(), target.address.clone());
        while let Some(sender) = self.take(&key) {
            match self.send(&key, sender, target, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Stale) => {}
                Err(Failed::Other(why)) => return Err(why),
            }
        }
        let config = tls::config(&Trust::Bundle(client.ca_bundle.clone()), None)?;
        let stream = connect(target.dialed(), target.port, Some((&target.host, config))).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // It ends with the sender.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a webhook ended");
            }
        });
        self.send(&key, sender, target, body).await.map_err(|failed| match failed {
            Failed::Stale => "EOF".to_owned(),
            Failed::Other(why) => why,
        })
    }

    /// Over this connection, which is kept when all went well.
    async fn send(
        &self,
        key: &Key,
        mut sender: Sender,
        target: &Target,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failed> {
        let other = |error: &dyn std::fmt::Display| Failed::Other(error.to_string());
        let request = Request::post(&target.path)
            .header(header::HOST, format!("{}:{}", target.host, target.port))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, */*")
            .header(header::USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(body))
            .map_err(|error| other(&error))?;
        sender.ready().await.map_err(|_| Failed::Stale)?;
        let response = sender.send_request(request).await.map_err(|error| {
            // Go sends a request again when the server ended the connection without a word of an answer.
            if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
                return Failed::Stale;
            }
            other(&error)
        })?;
        let code = response.status();
        let read = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let bytes = read.map_err(|error| other(&error))?.to_bytes();
        self.keep(key, sender);
        Ok((code, bytes))
    }

    fn take(&self, key: &Key) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(key)?;
        senders.retain(|(since, sender)| since.elapsed() < IDLE_TIME && !sender.is_closed());
        senders.pop().map(|(_, sender)| sender)
    }

    fn keep(&self, key: &Key, sender: Sender) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MAX_KNOWN && !idle.contains_key(key) {
            idle.clear();
        }
        let senders = idle.entry(key.clone()).or_default();
        if senders.len() < MAX_IDLE {
            senders.push((Instant::now(), sender));
        }
    }
}
