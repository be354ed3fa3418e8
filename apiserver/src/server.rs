//! The server: takes an authenticated request, answers with a response.
//!
//! ```text
//! handle: parse -> wait for a seat -> authorize -> is it a resource?
//!                                 yes: row of the registry -> subresource or verb -> reply
//!                                 no:  routes (version, health, discovery, OpenAPI)
//! ```

use std::sync::{Arc, Mutex};

use api::names;
use api::status::{Qualified, Status};
use futures::future::BoxFuture;
use http::header::WARNING;
use http::request::Parts;
use http::{Method, Request, Response};
use tokio_util::sync::CancellationToken;

use crate::admission::{self, Surroundings};
use crate::aggregation::Index;
use crate::allocation::Allocator;
use crate::audit::{self, Origin, Record};
use crate::authorizer::Decision;
use crate::body::{self, Body};
use crate::cache::{Caches, Follower};
use crate::call::{Asked, Call};
use crate::config::Config;
use crate::core::{Core, qualified};
use crate::decode;
use crate::discovered::Discovered;
use crate::features::MUTATING_ADMISSION_POLICY;
use crate::flowcontrol::{self, FlowControl, Seat};
use crate::media::{Accepted, SUPPORTED, View};
use crate::metrics::{Counted, Watches};
use crate::openapi::Documents;
use crate::query::Query;
use crate::registry::{Descriptor, Registry, Role};
use crate::reply::{Reply, refuse, refuse_call, respond};
use crate::request::RequestInfo;
use crate::token::Lookup;
use crate::user::UserInfo;
use crate::warnings::Warnings;
use crate::{aggregation, background, bootstrap, options, routes, servers, subresources, verbs};

/// Cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    core: Arc<Core>,
}

impl ApiServer {
    pub fn new(mut config: Config) -> Self {
        let etcd = config.store.is_shared().then(|| {
            let (counted, requests) = Counted::new(config.store.clone());
            config.store = Arc::new(counted);
            requests
        });
        let registry = Arc::new(Registry::with(&config.features));
        // Without the policies there is nothing to go by, and nothing to wait for.
        let mutating_policies = config.features.has(MUTATING_ADMISSION_POLICY)
            && registry.find(admission::GROUP, "mutatingadmissionpolicies").is_some()
            && registry.find(admission::GROUP, "mutatingadmissionpolicybindings").is_some();
        let surroundings = Surroundings::new(registry.clone(), config.authorizer.clone(), mutating_policies);
        let flow_control = config.max_in_flight.map(|seats| Arc::new(FlowControl::new(seats)));
        let roles = config.rbac.clone().map(|index| index as Arc<dyn Follower>);
        let nodes = config.nodes.clone().map(|graph| graph as Arc<dyn Follower>);
        let flows = flow_control.clone().map(|control| control as Arc<dyn Follower>);
        let aggregation = Arc::new(Index::default());
        let own = [aggregation.clone() as Arc<dyn Follower>];
        let followers = roles.into_iter().chain(nodes).chain(flows).chain(surroundings.followers()).chain(own);
        let core = Core {
            caches: Caches::new(config.store.clone(), registry.clone()).followed_by(followers.collect()),
            registry,
            admission: admission::chain(&surroundings),
            admissions: surroundings.admissions.clone(),
            requests: Arc::default(),
            watches: Watches::default(),
            etcd,
            flow_control,
            allocator: Allocator::new(config.service_cidr, config.node_ports.clone()),
            discovered: Discovered::default(),
            documents: Documents::default(),
            webhooks: surroundings.webhooks.clone(),
            aggregation,
            stopping: CancellationToken::new(),
            config,
        };
        Self { core: Arc::new(core) }
    }

    pub fn config(&self) -> &Config {
        &self.core.config
    }

    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// Fills the caches, makes the objects that every cluster has, and does the periodic work, until cancelled. Reads wait
    /// for it to begin; watches end with it.
    pub async fn run_background(&self, cancel: CancellationToken) {
        let stop = async {
            cancel.cancelled().await;
            self.core.stopping.cancel();
        };
        tokio::join!(
            stop,
            self.core.caches.run(cancel.clone()),
            bootstrap::run(&self.core, cancel.clone()),
            background::run(&self.core, cancel.clone()),
            servers::run(&self.core, cancel.clone()),
            flowcontrol::run(&self.core, cancel.clone()),
            aggregation::run(&self.core, cancel.clone()),
        );
    }

    /// Whether requests are answered from loaded caches.
    pub fn is_ready(&self) -> bool {
        self.core.caches.is_ready()
    }

    /// Whether what a token is bound to is still there.
    pub fn lookup(&self) -> &dyn Lookup {
        &*self.core
    }

    /// Whether a user may do something.
    ///
    /// # Errors
    /// Forbidden, in words for the user.
    pub async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
        authorize(&self.core, user, info).await
    }

    /// Tells the audit log of a request of whom nobody knows; `certificate`: one was shown.
    pub(crate) fn tell_unauthenticated(&self, parts: &Parts, origin: Origin, status: &Status, certificate: bool) {
        audit::unauthenticated(self.config(), parts, origin, status, certificate);
    }

    /// Tells the audit log of a request whose user may not be whom it wants to be.
    pub(crate) fn tell_refused(&self, user: &UserInfo, parts: &Parts, origin: Origin, status: &Status) {
        audit::refused(self.config(), user, parts, origin, status);
    }

    /// Answers one request of an authenticated user, from authorization on. Never fails: an error is a response.
    pub async fn handle(&self, user: UserInfo, request: Request<Body>) -> Response<Body> {
        let core = self.core.clone();
        // One box for the whole tree of futures below: callers' types stay small.
        let answer: BoxFuture<'static, Response<Body>> = match core.config.audit {
            None => Box::pin(answer(core, user, request, None)),
            Some(_) => Box::pin(audit::answer(core, user, request)),
        };
        answer.await
    }
}

/// Past the audit log, which has a record of it if it wants one.
pub(crate) async fn answer(
    core: Arc<Core>,
    user: UserInfo,
    request: Request<Body>,
    record: Option<Arc<Record>>,
) -> Response<Body> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let info = RequestInfo::parse(request.method(), request.uri().path(), &query);
    tracing::debug!(verb = %info.verb, path = %info.path, user = %user.name, "request");
    let applies = info.verb == "patch" && decode::content_type(request.headers()) == verbs::APPLY;
    let mut measured = core.requests.begin(&core.registry, &info, applies, &query);
    let response = admit_and_serve(core, Asked { user, info, query, seat: None, record }, request).await;
    measured.answered(response.status());
    if measured.lasts() && response.status().as_u16() < 400 {
        // To be counted when it ends.
        return response.map(|body| body::keep(body, measured));
    }
    response
}

async fn admit_and_serve(core: Arc<Core>, mut asked: Asked, request: Request<Body>) -> Response<Body> {
    if let Some(control) = &core.flow_control {
        asked.seat = match control.admit(&core, &asked.user, &asked.info, &asked.query).await {
            Ok(seat) => seat,
            Err(refused) => return refused.response(),
        };
    }
    let headers = asked.seat.as_ref().map(Seat::headers);
    let mut response = serve(core, asked, request).await;
    if let Some(headers) = headers {
        headers.put(response.headers_mut());
    }
    response
}

/// What the seat is for.
async fn serve(core: Arc<Core>, mut asked: Asked, request: Request<Body>) -> Response<Body> {
    let (user, info, query, record) = (&asked.user, &asked.info, &asked.query, &asked.record);
    let authorized = match record {
        None => authorize(&core, user, info).await,
        Some(record) => authorize_and_tell(&core, user, info, record).await,
    };
    if let Err(status) = authorized {
        return refuse(&status, &Accepted::JSON);
    }
    if info.path.starts_with("//") {
        return routes::nothing();
    }
    if let Some(service) = core.aggregation.remote_of(&info.path) {
        // The other server has seats of its own.
        drop(asked.seat.take());
        return aggregation::proxy(&core, &service, user, request).await;
    }
    if !info.is_resource {
        return routes::answer(&core, &request.into_parts().0, query).await;
    }
    let row = match core.row(&info.group, &info.version, &info.resource).await {
        Ok(Some(row)) => row,
        Ok(None) => return refuse(&Status::no_such_path(), &Accepted::JSON),
        Err(status) => return refuse(&status, &Accepted::JSON),
    };
    let deprecation: Vec<String> = deprecations(&row).collect();
    let is_custom = row.custom.is_some();
    let lists = matches!(info.verb.as_str(), "list" | "watch");
    if is_custom && check_scope(&row, info).is_err() {
        // Custom resources are not in upstream's router: whoever comes next does not know the path either.
        return routes::nothing();
    }
    // Who is told in what form that something is not there in that form.
    let told = match Accepted::negotiate(request.headers(), query, false) {
        Ok(accepted) if is_custom => Accepted { view: View::Whole, ..accepted },
        _ => Accepted::JSON,
    };
    match Call::begin(core, row, asked, &request) {
        Ok(call) => match call.converted(request).await {
            Ok(reply) => call.hold(respond(&call, reply)),
            Err(status) => refuse_call(&call, &status),
        },
        Err(status) => {
            let mut response = refuse(&status, &told);
            // Not by the router, as far as clients can tell.
            let by_options = lists && matches!(status.code, 400 | 422);
            if is_custom || by_options || status.code == 406 && status.details.is_none() {
                let warnings = Warnings::default();
                warnings.extend(deprecation);
                for text in warnings.headers() {
                    response.headers_mut().append(WARNING, text);
                }
            }
            response
        }
    }
}

/// What is said about every request for a kind that goes.
fn deprecations(row: &Descriptor) -> impl Iterator<Item = String> {
    let own = (!row.deprecation.is_empty()).then_some(row.deprecation);
    row.custom.iter().flat_map(|custom| custom.deprecation()).chain(own).map(str::to_owned)
}

impl Call {
    fn begin(core: Arc<Core>, row: Arc<Descriptor>, asked: Asked, request: &Request<Body>) -> Result<Self, Status> {
        let Asked { user, info, query, seat, record } = asked;
        check_scope(&row, &info)?;
        check_verb(&row, &info)?;
        check_route(request.method(), &row, &info)?;
        let streams = subresources::special(&row, &info.subresource).is_some_and(|special| special.streams());
        let accepted = if streams {
            Accepted::JSON
        } else {
            let lists = matches!(info.verb.as_str(), "list" | "watch");
            let negotiate = match (row.custom.is_some(), row.role) {
                (true, _) => Accepted::negotiate_custom,
                (_, Role::Review) => Accepted::negotiate_review,
                _ => Accepted::negotiate,
            };
            negotiate(request.headers(), &query, lists).map_err(|refused| match info.verb.as_str() {
                // Custom resources are not in upstream's router. Lists and watches read their options first.
                "list" | "watch" if row.custom.is_some() => {
                    options::list_error(&info, &query).unwrap_or_else(|| Status::not_acceptable(&SUPPORTED))
                }
                _ if row.custom.is_some() => Status::not_acceptable(&SUPPORTED),
                "list" | "watch" if refused.details.is_none() => options::list_error(&info, &query).unwrap_or(refused),
                _ => refused,
            })?
        };
        if row.info.kind == "Binding" && accepted.view != View::Whole {
            // The answer is no object.
            return Err(Status::not_acceptable(&SUPPORTED));
        }
        let headers = request.headers().clone();
        let manager = options::manager(&query, &headers);
        let warnings = Warnings::of(record);
        warnings.extend(deprecations(&row));
        Ok(Self { core, user, headers, query, row, accepted, warnings, manager, info, seat: Mutex::new(seat) })
    }

    /// A list is under way until it was sent: that is most of its work.
    fn hold(&self, response: Response<Body>) -> Response<Body> {
        match self.take_seat().filter(|_| self.info.verb == "list") {
            Some(seat) => response.map(|body| seat.hold(body)),
            None => response,
        }
    }

    /// The answer, whose object is in the version of the request.
    async fn converted(&self, request: Request<Body>) -> Result<Reply, Status> {
        match self.answer(request).await? {
            Reply::Object { code, json } => Ok(Reply::Object { code, json: self.core.shown(&self.row, json).await? }),
            other => Ok(other),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Reply, Status> {
        if self.row.role == Role::Review {
            return subresources::review(self, request.into_body()).await;
        }
        if self.row.role == Role::Made {
            return subresources::component_status::answer(self).await;
        }
        if let Some(special) = subresources::special(&self.row, &self.info.subresource) {
            return special.answer(self, request).await;
        }
        let body = request.into_body();
        match self.info.verb.as_str() {
            "get" => verbs::get(self).await,
            "list" => verbs::list(self).await,
            "watch" => verbs::watch(self).await,
            "create" => verbs::create(self, body).await,
            "update" => verbs::update(self, body).await,
            "patch" => verbs::patch(self, body).await,
            "delete" => verbs::delete(self, body).await,
            "deletecollection" => verbs::delete_collection(self, body).await,
            verb => Err(Status::method_not_supported(qualified(&self.row), verb)),
        }
    }
}

/// A namespaced kind is written inside a namespace, a cluster-scoped one never is.
fn check_scope(row: &Descriptor, info: &RequestInfo) -> Result<(), Status> {
    let in_namespace = !info.namespace.is_empty() && info.resource != "namespaces";
    if !row.info.namespaced && in_namespace {
        return Err(Status::no_such_path());
    }
    // The name of a list or watch may come from a field selector.
    if !row.info.namespaced || in_namespace || matches!(info.verb.as_str(), "list" | "watch") {
        return Ok(());
    }
    Err(if info.name.is_empty() { Status::method_not_allowed() } else { Status::no_such_path() })
}

/// Objects are made in collections, and changed by their names, which must be ones that a path can have.
fn check_route(method: &Method, row: &Descriptor, info: &RequestInfo) -> Result<(), Status> {
    let named = !info.name.is_empty();
    if row.custom.is_some() && method != Method::HEAD {
        // Upstream serves these by the verb alone.
        return match info.verb.as_str() {
            "update" | "patch" if !named => Err(Status::bad_request("name must be provided")),
            _ => Ok(()),
        };
    }
    let wrong = match info.verb.as_str() {
        "create" => named && info.subresource.is_empty(),
        "update" | "patch" => !named,
        _ => method == Method::HEAD && info.subresource.is_empty(),
    };
    if wrong {
        return Err(Status::method_not_allowed());
    }
    let messages = names::path_segment(&info.name);
    if named && !messages.is_empty() {
        let why = messages.join(";");
        return Err(Status::bad_request(format!("Name parameter invalid: {:?}: {why}", info.name)));
    }
    Ok(())
}

fn check_verb(row: &Descriptor, info: &RequestInfo) -> Result<(), Status> {
    if info.subresource.is_empty() {
        // A kind without a collection verb answers like a server without the route.
        return if row.info.allows(&info.verb) { Ok(()) } else { Err(Status::method_not_allowed()) };
    }
    // Custom resources are not in upstream's router, which knows all others' paths.
    let missing = || match row.custom {
        Some(_) => Status::not_found(qualified(row), &info.name),
        None => Status::no_such_path(),
    };
    let subresource = row.info.subresource(&info.subresource).ok_or_else(missing)?;
    if !info.rest.is_empty() && info.subresource != "proxy" && row.custom.is_none() {
        return Err(Status::no_such_path());
    }
    // The verb of the methods that are none of Kubernetes'.
    let is_proxied = info.subresource == "proxy" && info.verb.is_empty();
    match (subresource.allows(&info.verb) || is_proxied, &row.custom) {
        (true, _) => Ok(()),
        (false, Some(_)) => Err(Status::method_not_supported(qualified(row), &info.verb)),
        (false, None) => Err(Status::method_not_allowed()),
    }
}

pub(crate) async fn authorize(core: &Core, user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
    match decide(core, user, info).await? {
        Decision::Allow => Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(no(user, info, &reason)),
    }
}

/// Tells the audit log the decision, too, and why.
async fn authorize_and_tell(core: &Core, user: &UserInfo, info: &RequestInfo, record: &Record) -> Result<(), Status> {
    let (decision, reason) = match decide(core, user, info).await? {
        Decision::Allow => ("allow", core.config.authorizer.explain(user, info).await.1),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => ("forbid", reason),
    };
    record.annotate(audit::DECISION, decision);
    record.annotate(audit::REASON, reason.as_str());
    if decision == "allow" { Ok(()) } else { Err(no(user, info, &reason)) }
}

async fn decide(core: &Core, user: &UserInfo, info: &RequestInfo) -> Result<Decision, Status> {
    let decision = core.config.authorizer.authorize(user, info).await;
    // A pod that another server showed to its node may be news to this one.
    if decision != Decision::Allow && core.config.store.is_shared() && user.node().is_some() {
        core.fresh().await?;
        return Ok(core.config.authorizer.authorize(user, info).await);
    }
    Ok(decision)
}

fn no(user: &UserInfo, info: &RequestInfo, reason: &str) -> Status {
    let mut why = forbidden(user, info);
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    Status::forbidden(Qualified::new(&info.group, &info.resource), &info.name, &why)
}

/// What the user may not do, without characters that a browser could take for markup.
fn forbidden(user: &UserInfo, info: &RequestInfo) -> String {
    let (user, verb) = (&user.name, &info.verb);
    let text = if info.is_resource {
        let resource = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        let place = match info.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!("User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}", info.group)
    } else {
        format!("User {user:?} cannot {verb} path {:?}", info.path)
    };
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
