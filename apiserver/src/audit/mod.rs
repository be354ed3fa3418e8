//! The audit log: who asked for what, and what came of it.
//!
//! - [`policy`] says of which requests how much is told. Pure.
//! - [`record`] gathers what is known of one request and tells it stage by stage, each as one [`event`].
//! - [`log`] is the file.
//!
//! Without a policy there is no record, and nothing is done.

mod event;
pub mod log;
pub mod policy;
mod record;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::status::Status;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;

use crate::body::{self, Body};
use crate::config::Config;
use crate::core::Core;
use crate::decode;
use crate::flowcontrol;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::server;
use crate::user::UserInfo;
use event::{Event, User};
use policy::{Level, Policy, Stage};
pub(crate) use record::Record;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Longer ones are cut (upstream).
const MAX_USER_AGENT: usize = 1024;

/// Takes events: one JSON object and a line feed each.
pub trait Sink: Send + Sync {
    /// # Errors
    /// It is lost.
    fn write(&self, line: &[u8], now: Timestamp) -> std::io::Result<()>;
}

pub struct Audit {
    policy: Policy,
    sink: Box<dyn Sink>,
    told: AtomicU64,
    lost: AtomicU64,
}

/// From where a request came, where that is known: an extension of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub address: Option<IpAddr>,
    /// Who acts as the user.
    pub impersonator: Option<UserInfo>,
}

impl Audit {
    pub fn new(policy: Policy, sink: Box<dyn Sink>) -> Self {
        Self { policy, sink, told: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    fn write(&self, event: &Event, now: Timestamp) {
        self.told.fetch_add(1, Ordering::Relaxed);
        let written = serde_json::to_vec(event).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.sink.write(&line, now)
        });
        if let Err(error) = written {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "an event of the audit log is lost");
        }
    }

    /// Events that were told, and how many of them are lost.
    pub fn counts(&self) -> (u64, u64) {
        (self.told.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

/// The record of a request, if the policy wants one.
fn begin(config: &Config, user: &UserInfo, parts: &Parts, origin: Origin) -> Option<Arc<Record>> {
    let audit = config.audit.clone()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
    let (user, acting_as) = match &origin.impersonator {
        Some(impersonator) => (impersonator, Some(user)),
        None => (user, None),
    };
    let telling = audit.policy.about(user, &info);
    if telling.level == Level::None {
        return None;
    }
    let header = |name: &HeaderName| text(&parts.headers, name.as_str());
    let id = Some(header(&AUDIT_ID)).filter(|id| !id.is_empty()).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let mut event = Event::new(telling.level.as_str(), id, user, &info, (config.clock)());
    event.request_uri = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    event.impersonated_user = acting_as.map(User::new);
    event.source_ips = sources(&parts.headers, origin.address);
    event.user_agent = header(&USER_AGENT);
    if event.user_agent.len() > MAX_USER_AGENT {
        // Headers are ASCII where they are text.
        event.user_agent.truncate(MAX_USER_AGENT);
        event.user_agent += "...TRUNCATED";
    }
    let lasts = info.verb == "watch" || flowcontrol::lasts(&info);
    Some(Arc::new(Record::new(audit, config.clock.clone(), telling, event, lasts)))
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// What proxies say, then who is there.
fn sources(headers: &HeaderMap, address: Option<IpAddr>) -> Vec<String> {
    let forwarded = text(headers, "x-forwarded-for");
    let mut all: Vec<IpAddr> = forwarded.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    for more in text(headers, "x-real-ip").parse().ok().into_iter().chain(address) {
        if all.last() != Some(&more) {
            all.push(more);
        }
    }
    all.iter().map(ToString::to_string).collect()
}

/// Answers a request, and tells.
pub(crate) async fn answer(core: Arc<Core>, user: UserInfo, mut request: Request<Body>) -> Response<Body> {
    let origin: Origin = request.extensions_mut().remove().unwrap_or_default();
    let (parts, body) = request.into_parts();
    let record = begin(&core.config, &user, &parts, origin);
    let request = Request::from_parts(parts, body);
    let Some(record) = record else { return server::answer(core, user, request, None).await };
    record.tell(Stage::RequestReceived);
    let end = End(Some(record.clone()));
    let mut response = server::answer(core, user, request, Some(record.clone())).await;
    if let Ok(id) = HeaderValue::try_from(record.id()) {
        response.headers_mut().insert(AUDIT_ID, id);
    }
    let code = response.status();
    if record.lasts && !code.is_client_error() && !code.is_server_error() {
        record.answered(code, None);
        record.tell(Stage::ResponseStarted);
        // Of an upgrade the end is not seen here.
        return response.map(|body| body::keep(body, end));
    }
    let response = told(&record, response).await;
    end.complete();
    response
}

/// With the body in the record, as far as it is wanted there: that of an error always is.
async fn told(record: &Record, response: Response<Body>) -> Response<Body> {
    let code = response.status();
    let plain = !response.headers().contains_key(CONTENT_ENCODING);
    if code.as_u16() < 400 && !record.tells_answers() || !plain {
        record.answered(code, None);
        return response;
    }
    let (parts, body) = response.into_parts();
    // It is all there: nothing is waited for.
    let bytes = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    record.answered(code, record::parse(&bytes, decode::content_type(&parts.headers)).filter(|body| body.is_object()));
    Response::from_parts(parts, body::full(bytes))
}

/// Nobody knows who asked.
pub(crate) fn unauthenticated(config: &Config, parts: &Parts, origin: Origin, status: &Status, certificate: bool) {
    let Some(record) = begin(config, &UserInfo::default(), parts, origin) else { return };
    let header = text(&parts.headers, AUTHORIZATION.as_str()).to_ascii_lowercase();
    let mut tried: Vec<&str> = [("basic ", "basic"), ("bearer ", "bearer")]
        .into_iter()
        .filter(|(scheme, _)| header.starts_with(scheme))
        .map(|(_, name)| name)
        .collect();
    tried.extend(certificate.then_some("x509"));
    let message = match tried.join(", ") {
        none if none.is_empty() => "Authentication failed, no credentials provided".to_owned(),
        tried => format!("Authentication failed, attempted: {tried}"),
    };
    record.attempted(StatusCode::from_u16(status.code).unwrap_or(StatusCode::UNAUTHORIZED), message);
    record.tell(Stage::ResponseStarted);
}

/// Who asked may not be whom they want to be.
pub(crate) fn refused(config: &Config, user: &UserInfo, parts: &Parts, origin: Origin, status: &Status) {
    let Some(record) = begin(config, user, parts, origin) else { return };
    record.tell(Stage::RequestReceived);
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::FORBIDDEN);
    record.answered(code, Some(status.to_json()));
    if code == StatusCode::FORBIDDEN {
        record.annotate(DECISION, "forbid");
        record.annotate(REASON, "");
    }
    record.tell(Stage::ResponseComplete);
}

pub(crate) const DECISION: &str = "authorization.k8s.io/decision";
pub(crate) const REASON: &str = "authorization.k8s.io/reason";

/// Tells the end of a request, also when its future is dropped.
struct End(Option<Arc<Record>>);

impl End {
    fn complete(mut self) {
        if let Some(record) = self.0.take() {
            record.tell(Stage::ResponseComplete);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(record) = self.0.take() {
            record.broken();
        }
    }
}
