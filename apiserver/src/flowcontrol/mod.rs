//! Priority and fairness: which requests are served now, which wait, and which are refused when there are too many.
//!
//! - [`schema`]: a FlowSchema chooses requests and says to which priority level they go.
//! - [`shares`]: how many seats each level has, and what levels lend each other.
//! - [`work`]: how many seats a request takes.
//! - [`queues`], with [`deal`]: who of those that wait is next. Pure.
//! - [`level`] and [`seat`]: the driver of it in the way of requests; [`dropped`] is how long who was refused waits.
//! - [`figures`] is what `/metrics` tells of it.
//! - [`bootstrap`] and [`ensure`]: the objects that every cluster has; [`status`] tells which schemas lead nowhere.
//!
//! [`FlowControl`] follows the watch caches, so that a schema is in force when it can be seen.

mod bootstrap;
mod deal;
mod dropped;
mod ensure;
mod figures;
mod level;
mod queues;
mod schema;
mod seat;
mod shares;
mod status;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::followed::Followed;
use crate::body::{self, Body};
use crate::cache::{Follower, Stored};
use crate::core::Core;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::user::UserInfo;
use level::{Counts, Flow, Level};
use queues::Shape;
use schema::SchemaSpec;
pub(crate) use seat::{Lent, Seat};
use shares::{Demand, Share};
pub(crate) use work::Size;

/// Seats of all levels together (upstream's `--max-requests-inflight` and `--max-mutating-requests-inflight`).
pub const DEFAULT_SEATS: u32 = 400 + 200;
/// How often levels lend each other anew.
const ADJUSTMENT: Duration = Duration::from_secs(10);

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
const SCHEMAS: &str = "flowcontrol.apiserver.k8s.io/flowschemas";
const LEVELS: &str = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";

/// Decides about all requests of a server.
pub struct FlowControl {
    seats: u32,
    state: RwLock<State>,
    /// What is stored changed.
    changed: Notify,
    /// It did since [`ensure`] looked.
    touched: AtomicBool,
}

struct State {
    schemas: Followed<SchemaSpec>,
    levels: Followed<LevelSpec>,
    /// Those that are stored, and the ones that a cluster cannot do without.
    in_force: BTreeMap<Box<str>, Arc<Level>>,
    /// In the order in which they are asked. The last one takes everything.
    flows: Vec<Arc<Flow>>,
}

/// What is read of a PriorityLevelConfiguration.
#[derive(Clone, Debug, Default)]
struct LevelSpec {
    name: Box<str>,
    uid: Box<str>,
    exempt: bool,
    share: Share,
    shape: Shape,
}

/// What a response says about its way.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    schema: HeaderValue,
    level: HeaderValue,
}

/// A request that is not served.
#[derive(Debug)]
pub(crate) struct Refused {
    pub flow: Arc<Flow>,
    retry_after: u64,
}

impl FlowControl {
    pub fn new(seats: u32) -> Self {
        let (schemas, levels) = (Followed::new(SCHEMAS, SchemaSpec::read), Followed::new(LEVELS, LevelSpec::read));
        let mut state = State { schemas, levels, in_force: BTreeMap::new(), flows: Vec::new() };
        state.rebuild(seats);
        Self { seats, state: RwLock::new(state), changed: Notify::new(), touched: AtomicBool::new(true) }
    }

    /// Seats for a request, perhaps after a while; `None` when it is of the kind that is not limited because it lasts.
    pub(crate) async fn admit(
        &self,
        core: &Core,
        user: &UserInfo,
        info: &RequestInfo,
        query: &Query,
    ) -> Result<Option<Seat>, Refused> {
        if lasts(info) {
            return Ok(None);
        }
        let flow = self.classify(user, info);
        let size = if work::reads_many(info, query) { core.size(info) } else { Size::default() };
        let seats = work::seats(info, query, size, flow.most);
        match Level::enter(&flow, seats, flow.spec.flow(user, info)).await {
            Ok(seat) => {
                flow.counts.dispatched.fetch_add(1, Ordering::Relaxed);
                Ok(Some(seat))
            }
            Err(refusal) => {
                tracing::debug!(
                    schema = &*flow.spec.name,
                    user = user.name,
                    why = refusal.as_str(),
                    "too many requests"
                );
                flow.counts.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
                let retry_after = flow.level.refused();
                Err(Refused { flow, retry_after })
            }
        }
    }

    fn classify(&self, user: &UserInfo, info: &RequestInfo) -> Arc<Flow> {
        // The flows are put as a whole.
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let found = state.flows.iter().find(|flow| flow.spec.matches(user, info));
        // There is always a last one.
        found.unwrap_or(&state.flows[state.flows.len() - 1]).clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        state.rebuild(self.seats);
        drop(state);
        self.touched.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn follows(resource: &str) -> bool {
        resource == SCHEMAS || resource == LEVELS
    }

    fn levels(&self) -> BTreeMap<Box<str>, Arc<Level>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).in_force.clone()
    }
}

/// The objects, their status, and what levels lend each other, until cancelled.
pub(crate) async fn run(core: &Arc<Core>, cancel: CancellationToken) {
    let Some(control) = &core.flow_control else { return };
    let adjust = async {
        loop {
            tokio::time::sleep(ADJUSTMENT).await;
            let levels = control.levels();
            rebalance(&levels);
            levels.values().for_each(|level| level.collect(Instant::now()));
        }
    };
    let work = async {
        ensure::first(core).await;
        tokio::join!(ensure::run(core, control), status::run(core, control), adjust)
    };
    tokio::select! {
        _ = work => {}
        () = cancel.cancelled() => {}
    }
}

/// Requests that last are not limited, but for watches, which are until they have begun.
pub(crate) fn lasts(info: &RequestInfo) -> bool {
    matches!(info.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
}

fn rebalance(levels: &BTreeMap<Box<str>, Arc<Level>>) {
    let demand = |level: &Arc<Level>| {
        let (peak, smoothed) = level.take_peak();
        Demand { limits: level.account().limits, exempt: level.is_exempt(), peak, smoothed }
    };
    let demands: Vec<Demand> = levels.values().map(demand).collect();
    for (level, limit) in levels.values().zip(shares::lend(&demands)) {
        level.set_limit(limit);
    }
}

impl State {
    /// Levels that were there keep who is in them. What a cluster cannot do without is imagined where it is not stored.
    fn rebuild(&mut self, seats: u32) {
        let mut specs: Vec<Arc<LevelSpec>> = self.levels.values().cloned().collect();
        for name in bootstrap::MANDATORY {
            if specs.iter().all(|level| &*level.name != name) {
                let object = named(bootstrap::levels(), name);
                specs.push(Arc::new(LevelSpec::read(name, &object)));
            }
        }
        let mut before = std::mem::take(&mut self.in_force);
        let shares: Vec<Share> = specs.iter().map(|spec| spec.share).collect();
        let mut levels = BTreeMap::new();
        for (spec, limits) in specs.iter().zip(shares::divide(seats, &shares)) {
            let kept = before.remove(&spec.name).filter(|level| level.is_exempt() == spec.exempt);
            let level = kept.unwrap_or_else(|| Arc::new(Level::new(&spec.name, spec.exempt)));
            level.configure(spec.shape, limits);
            levels.insert(spec.name.clone(), (level, spec.clone(), limits));
        }
        self.in_force = levels.iter().map(|(name, (level, ..))| (name.clone(), level.clone())).collect();
        rebalance(&self.in_force);

        let mut counts: BTreeMap<Box<str>, Arc<Counts>> =
            self.flows.iter().map(|flow| (flow.spec.name.clone(), flow.counts.clone())).collect();
        let mut flow = |spec: Arc<SchemaSpec>| {
            let (level, level_spec, limits) = levels.get(&spec.level)?;
            let headers = Headers { schema: header(&spec.uid), level: header(&level_spec.uid) };
            let hand = (level_spec.shape.queues > 0).then_some(level_spec.shape.hand);
            let most = work::most(limits.nominal, hand);
            let counts = counts.remove(&spec.name).unwrap_or_default();
            Some(Arc::new(Flow { spec, level: level.clone(), headers, most, counts }))
        };
        let mut schemas: Vec<Arc<SchemaSpec>> = self.schemas.values().cloned().collect();
        schemas.sort_by(|one, other| (one.precedence, &one.name).cmp(&(other.precedence, &other.name)));
        let mut flows: Vec<Arc<Flow>> = schemas.into_iter().filter_map(&mut flow).collect();
        for name in bootstrap::MANDATORY {
            let object = named(bootstrap::schemas(), name);
            if flows.iter().all(|flow| &*flow.spec.name != name)
                && let Some(made) = flow(Arc::new(SchemaSpec::read(name, &object)))
            {
                flows.insert(if name == "exempt" { 0 } else { flows.len() }, made);
            }
        }
        self.flows = flows;
    }
}

fn named(objects: Vec<Value>, name: &str) -> Value {
    objects.into_iter().find(|object| object["metadata"]["name"] == name).unwrap_or_default()
}

fn header(uid: &str) -> HeaderValue {
    HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""))
}

impl LevelSpec {
    fn read(name: &str, object: &Value) -> Self {
        let spec = &object["spec"];
        let exempt = spec["type"] == "Exempt";
        let (own, default) = if exempt { (&spec["exempt"], 0) } else { (&spec["limited"], 30) };
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let queuing = &own["limitResponse"]["queuing"];
        let count =
            |key: &str| queuing[key].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
        Self {
            name: name.into(),
            uid: object["metadata"]["uid"].as_str().unwrap_or_default().into(),
            exempt,
            share: Share {
                shares: number(&own["nominalConcurrencyShares"]).unwrap_or(default),
                lendable_percent: number(&own["lendablePercent"]).unwrap_or_default(),
                borrowing_percent: number(&own["borrowingLimitPercent"]),
            },
            shape: Shape { queues: count("queues"), hand: count("handSize"), length: count("queueLengthLimit") },
        }
    }
}

impl Follower for FlowControl {
    fn loaded(&self, resource: &str, objects: &BTreeMap<Box<str>, Arc<Stored>>) {
        if Self::follows(resource) {
            self.change(|state| match resource {
                SCHEMAS => state.schemas.load(objects),
                _ => state.levels.load(objects),
            });
        }
    }

    fn changed(&self, resource: &str, key: &str, current: Option<&Stored>) {
        if Self::follows(resource) {
            self.change(|state| match resource {
                SCHEMAS => state.schemas.change(key, current),
                _ => state.levels.change(key, current),
            });
        }
    }
}

impl Headers {
    pub fn put(self, headers: &mut HeaderMap) {
        headers.insert(SCHEMA_UID, self.schema);
        headers.insert(LEVEL_UID, self.level);
    }
}

impl Refused {
    /// As upstream's filter answers, which is before everything that knows of kinds: in plain text.
    pub fn response(self) -> Response<Body> {
        let mut response = Response::new(body::full("Too many requests, please try again later.\n"));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(RETRY_AFTER, self.retry_after.into());
        self.flow.headers.clone().put(headers);
        response
    }
}
