//! Admission: what the cluster adds to or refuses of a write that its kind allows. One chain for all kinds, verbs and
//! subresources; a step is one file here and one entry of its `chain`.

mod certificate_requester;
mod certificates;
mod claim_resize;
mod conditions;
mod default_class;
mod default_tolerations;
mod facts;
pub(crate) mod followed;
mod limit_ranger;
mod matching;
pub mod mutating_policy;
mod namespace_lifecycle;
mod node_restriction;
mod options;
mod pod_security;
pub mod policy;
mod priority;
mod questions;
mod resource_quota;
mod rounds;
mod runtime_class;
mod service_account;
mod signers;
mod storage_protection;
mod taint_nodes;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::meta::Meta;
use api::resource::ResourceInfo;
use api::status::{Qualified, Status};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::authorizer::Authorizer;
use crate::cache::Follower;
use crate::metrics::Admissions;
use crate::options::DeleteOptions;
use crate::outbound::Webhooks;
use crate::query::Query;
use crate::registry::{Descriptor, Registry};
use crate::user::UserInfo;
use crate::warnings::Warnings;

pub use self::rounds::Rounds;

/// Of the kinds that say how requests are admitted.
pub const GROUP: &str = "admissionregistration.k8s.io";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    /// exec, attach, port-forward, proxy: before the upgrade.
    Connect,
}

/// Reads for admission steps, past authorization.
pub trait Reader: Send + Sync {
    /// `resource` is the plural with its group: `("", "namespaces")`. `namespace` is empty for cluster-scoped kinds.
    fn get<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Object>, Status>>;

    /// As [`Reader::get`], the JSON that is stored, for who needs little of it.
    fn text<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Bytes>, Status>>;

    /// As [`Reader::get`], but waits up to `patience` for an object that somebody is about to create.
    fn get_soon<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Option<Object>, Status>>;

    /// Of a namespace, or of all when it is empty; as fresh as the watch cache.
    fn list<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Object>, Status>>;

    /// Objects of a custom kind, in any of its versions, as the row has them.
    fn converted<'a>(&'a self, row: &'a Descriptor, objects: Vec<Object>)
    -> BoxFuture<'a, Result<Vec<Object>, Status>>;

    /// As the watch cache shows it, in the form of the row.
    ///
    /// # Errors
    /// It cannot be converted.
    fn cached(&self, row: &Descriptor, namespace: &str, name: &str) -> Result<Option<Object>, Status>;

    /// As [`Reader::cached`], one object, or without a name all of a namespace, or of all when that is empty; converted by a webhook where one
    /// has to be asked.
    fn shown<'a>(
        &'a self,
        row: &'a Descriptor,
        namespace: &'a str,
        name: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Object>, Status>>;

    /// As [`Reader::cached`], all of a namespace, or of all when it is empty.
    ///
    /// # Errors
    /// One cannot be converted.
    fn all_cached(&self, row: &Descriptor, namespace: &str) -> Result<Vec<Object>, Status>;
}

/// A new state of an object whose status admission keeps, from the newest one.
pub type StatusChange<'a> = &'a (dyn Fn(&Object) -> Result<Object, Status> + Send + Sync);

/// Writes of admission steps, in the name of the user whose write they admit.
pub trait StatusWriter: Send + Sync {
    /// To the status of an object of the same namespace, tried again when another write comes between.
    fn update_status<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        name: &'a str,
        change: StatusChange<'a>,
    ) -> Verdict<'a>;
}

pub struct Attributes<'a> {
    pub operation: Operation,
    pub user: &'a UserInfo,
    pub resource: &'a ResourceInfo,
    pub row: &'a Descriptor,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// May be empty while a create waits for its generated name.
    pub name: &'a str,
    /// The stored object of an update or delete.
    pub old: Option<&'a Object>,
    pub dry_run: bool,
    /// Of the request; `None` when the server writes for itself.
    pub query: Option<&'a Query>,
    /// The options of a deletion.
    pub(crate) deletion: Option<&'a DeleteOptions>,
    pub(crate) warnings: &'a Warnings,
    /// How often steps have gone over the object, and why.
    pub rounds: Rounds,
    /// Random bits for generated names.
    pub random: u64,
    pub reader: &'a dyn Reader,
    pub statuses: &'a dyn StatusWriter,
    pub now: Timestamp,
}

impl Attributes<'_> {
    pub fn is(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.resource.group == group && self.resource.plural == resource && self.subresource == subresource
    }

    /// That the write is forbidden. An object without a name yet is called by the prefix of it.
    pub fn forbidden(&self, object: &Object, why: &str) -> Status {
        let names = [self.name, object.name(), object.generate_name(), "Unknown"];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Status::forbidden(Qualified::new(&self.resource.group, &self.resource.plural), name, why)
    }
}

pub type Verdict<'a> = BoxFuture<'a, Result<(), Status>>;

pub trait Admission: Send + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// It is also asked about what is created below an object and is not stored: Bindings, Evictions, TokenRequests.
    fn sees_below(&self) -> bool {
        false
    }

    /// May change the object, or the options of a connection. Not called for Delete.
    fn mutate<'a>(&'a self, _cx: &'a Attributes<'a>, _object: &'a mut Object) -> Verdict<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Called for all operations after every `mutate`, in the same order. `object` is `None` for Delete, and for
    /// connections where a step does not see what is below.
    fn validate<'a>(&'a self, _cx: &'a Attributes<'a>, _object: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What steps know of the server beside the request.
#[derive(Clone)]
pub struct Surroundings {
    pub registry: Arc<Registry>,
    pub authorizer: Arc<dyn Authorizer>,
    pub policies: Arc<policy::Index<policy::evaluator::Evaluator>>,
    /// `None` while the server does not go by them.
    pub mutating_policies: Option<Arc<policy::Index<mutating_policy::Mutations>>>,
    pub mutating: Arc<webhook::Index>,
    pub validating: Arc<webhook::Index>,
    pub webhooks: Arc<Webhooks>,
    /// What is told of all of them.
    pub(crate) admissions: Arc<Admissions>,
}

impl Surroundings {
    /// `mutating_policies`: the server goes by them.
    pub fn new(registry: Arc<Registry>, authorizer: Arc<dyn Authorizer>, mutating_policies: bool) -> Self {
        Self {
            registry,
            authorizer,
            policies: Arc::default(),
            mutating_policies: mutating_policies.then(Arc::default),
            mutating: Arc::new(webhook::Index::mutating()),
            validating: Arc::new(webhook::Index::validating()),
            webhooks: Arc::default(),
            admissions: Arc::default(),
        }
    }

    /// Who is told of changes.
    pub fn followers(&self) -> Vec<Arc<dyn Follower>> {
        let mutating_policies = self.mutating_policies.clone().map(|index| index as Arc<dyn Follower>);
        let others: [Arc<dyn Follower>; 3] = [self.policies.clone(), self.mutating.clone(), self.validating.clone()];
        mutating_policies.into_iter().chain(others).collect()
    }
}

/// All steps in upstream's order.
pub fn chain(surroundings: &Surroundings) -> Vec<Box<dyn Admission>> {
    let Surroundings { registry, authorizer, policies, mutating, validating, .. } = surroundings.clone();
    let (mutating_policies, admissions) = (surroundings.mutating_policies.clone(), surroundings.admissions.clone());
    let surroundings = || surroundings.clone();
    let mut steps: Vec<Box<dyn Admission>> = vec![
        Box::new(namespace_lifecycle::NamespaceLifecycle),
        Box::new(limit_ranger::LimitRanger),
        Box::new(service_account::ServiceAccount),
        Box::new(node_restriction::NodeRestriction { authorizer: authorizer.clone() }),
        Box::new(taint_nodes::TaintNodesByCondition),
        Box::new(pod_security::PodSecurity),
        Box::new(priority::Priority),
        Box::new(default_tolerations::DefaultTolerationSeconds),
        Box::new(default_class::STORAGE),
        Box::new(storage_protection::StorageObjectInUseProtection),
        Box::new(claim_resize::PersistentVolumeClaimResize),
        Box::new(runtime_class::RuntimeClass),
        Box::new(certificate_requester::CertificateRequester),
        Box::new(signers::CertificateApproval { authorizer: authorizer.clone() }),
        Box::new(signers::CertificateSigning { authorizer: authorizer.clone() }),
        Box::new(certificates::CertificateSubjectRestriction),
        Box::new(default_class::INGRESS),
    ];
    let (rows, may) = (registry.clone(), authorizer.clone());
    let policies_that_change =
        |index| mutating_policy::MutatingAdmissionPolicy { index, registry: rows, authorizer: may };
    steps.extend(mutating_policies.map(|index| Box::new(policies_that_change(index)) as Box<dyn Admission>));
    let last: [Box<dyn Admission>; 4] = [
        Box::new(webhook::MutatingAdmissionWebhook { index: mutating, surroundings: surroundings() }),
        Box::new(policy::ValidatingAdmissionPolicy {
            index: policies,
            registry,
            authorizer,
            admissions: admissions.clone(),
        }),
        Box::new(webhook::ValidatingAdmissionWebhook { index: validating, surroundings: surroundings() }),
        Box::new(resource_quota::ResourceQuota),
    ];
    steps.extend(last);
    admissions.name(steps.iter().map(|step| step.name()));
    steps
}
