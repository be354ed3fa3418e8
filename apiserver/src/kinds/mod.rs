//! The kinds that are special: one file or folder each, with a [`Strategy`]. All others are [`Plain`].
//!
//! [`pod_template`] and [`workload`] are what kinds with pods in them share. The rest are tools: [`cursor`] reads a tree and
//! reports what is wrong, [`edit`] changes one, [`equality`] compares two as Go would.

mod addresses;
mod config_map;
mod controller_revision;
mod cron_job;
mod cursor;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod diff;
mod edit;
mod endpoint_slice;
mod endpoints;
mod equality;
mod event;
mod job;
mod lease;
mod limit_range;
mod namespace;
mod node;
mod pod;
mod pod_disruption_budget;
mod pod_template;
mod priority_class;
mod quantities;
mod rbac;
mod replica_set;
mod resource_quota;
mod runtime_class;
mod secret;
mod selectors;
mod service;
mod stateful_set;
mod storage_class;
mod workload;

use crate::strategy::{Plain, Strategy};

/// What is special about a resource, in all its versions. `group` is empty for the core group, `resource` the plural.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match (group, resource) {
        ("", "configmaps") => &config_map::ConfigMap,
        ("", "endpoints") => &endpoints::Endpoints,
        ("", "events") => &event::Event,
        ("", "limitranges") => &limit_range::LimitRange,
        ("", "namespaces") => &namespace::Namespace,
        ("", "nodes") => &node::Node,
        ("", "pods") => &pod::Pod,
        ("", "podtemplates") => &pod_template::kind::PodTemplate,
        ("", "resourcequotas") => &resource_quota::ResourceQuota,
        ("", "secrets") => &secret::Secret,
        ("", "services") => &service::Service,
        ("apiextensions.k8s.io", "customresourcedefinitions") => &custom_resource_definition::CustomResourceDefinition,
        ("apps", "controllerrevisions") => &controller_revision::ControllerRevision,
        ("apps", "daemonsets") => &daemon_set::DaemonSet,
        ("apps", "deployments") => &deployment::Deployment,
        ("apps", "replicasets") => &replica_set::ReplicaSet,
        ("apps", "statefulsets") => &stateful_set::StatefulSet,
        ("batch", "cronjobs") => &cron_job::CronJob,
        ("batch", "jobs") => &job::Job,
        ("coordination.k8s.io", "leases") => &lease::Lease,
        ("discovery.k8s.io", "endpointslices") => &endpoint_slice::EndpointSlice,
        ("events.k8s.io", "events") => &event::NewEvent,
        ("node.k8s.io", "runtimeclasses") => &runtime_class::RuntimeClass,
        ("policy", "poddisruptionbudgets") => &pod_disruption_budget::PodDisruptionBudget,
        ("rbac.authorization.k8s.io", "clusterrolebindings") => &rbac::Binding(rbac::Scope::Cluster),
        ("rbac.authorization.k8s.io", "clusterroles") => &rbac::Role(rbac::Scope::Cluster),
        ("rbac.authorization.k8s.io", "rolebindings") => &rbac::Binding(rbac::Scope::Namespace),
        ("rbac.authorization.k8s.io", "roles") => &rbac::Role(rbac::Scope::Namespace),
        ("scheduling.k8s.io", "priorityclasses") => &priority_class::PriorityClass,
        ("storage.k8s.io", "storageclasses") => &storage_class::StorageClass,
        _ => &Plain,
    }
}
