//! The kinds that are special: one file or folder each, with a [`Strategy`]. All others are [`Plain`].
//!
//! [`pod_template`] and [`workload`] are what kinds with pods in them share. The rest are tools: [`cursor`] reads a tree and
//! reports what is wrong, [`edit`] changes one, [`equality`] compares two as Go would.

mod addresses;
mod admission_expressions;
mod admission_policy;
mod admission_rules;
mod api_service;
mod autoscaler;
mod certificate_request;
mod conditions;
mod config_map;
mod controller_revision;
mod cron_job;
mod csi;
mod cursor;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod device;
mod diff;
mod edit;
mod endpoint_slice;
mod endpoints;
mod equality;
mod event;
pub(crate) mod flow_control;
mod ingress;
mod ingress_class;
pub mod job;
mod lease;
mod limit_range;
pub(crate) mod mutating_policy;
mod namespace;
mod network_policy;
mod node;
mod persistent_volume;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod pod_template;
mod priority_class;
mod quantities;
mod rbac;
mod replica_set;
pub mod replication_controller;
mod resource_quota;
mod runtime_class;
mod secret;
mod selectors;
mod service;
mod service_account;
mod service_range;
mod stateful_set;
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;
mod webhook_client;
mod webhooks;
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
        ("", "persistentvolumeclaims") => &persistent_volume_claim::PersistentVolumeClaim,
        ("", "persistentvolumes") => &persistent_volume::PersistentVolume,
        ("", "pods") => &pod::Pod,
        ("", "podtemplates") => &pod_template::kind::PodTemplate,
        ("", "replicationcontrollers") => &replication_controller::ReplicationController,
        ("", "resourcequotas") => &resource_quota::ResourceQuota,
        ("", "secrets") => &secret::Secret,
        ("", "serviceaccounts") => &service_account::ServiceAccount,
        ("", "services") => &service::Service,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => &mutating_policy::Policy,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => &mutating_policy::Binding,
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations") => &webhooks::Webhooks { mutating: true },
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations") => &webhooks::Webhooks { mutating: false },
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => &admission_policy::Policy,
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => &admission_policy::Binding,
        ("apiextensions.k8s.io", "customresourcedefinitions") => &custom_resource_definition::CustomResourceDefinition,
        ("apiregistration.k8s.io", "apiservices") => &api_service::ApiService,
        ("apps", "controllerrevisions") => &controller_revision::ControllerRevision,
        ("apps", "daemonsets") => &daemon_set::DaemonSet,
        ("apps", "deployments") => &deployment::Deployment,
        ("apps", "replicasets") => &replica_set::ReplicaSet,
        ("apps", "statefulsets") => &stateful_set::StatefulSet,
        ("autoscaling", "horizontalpodautoscalers") => &autoscaler::Autoscaler,
        ("batch", "cronjobs") => &cron_job::CronJob,
        ("batch", "jobs") => &job::Job,
        ("certificates.k8s.io", "certificatesigningrequests") => &certificate_request::CertificateRequest,
        ("coordination.k8s.io", "leases") => &lease::Lease,
        ("discovery.k8s.io", "endpointslices") => &endpoint_slice::EndpointSlice,
        ("events.k8s.io", "events") => &event::NewEvent,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => &flow_control::FlowSchema,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => &flow_control::PriorityLevel,
        ("networking.k8s.io", "ingressclasses") => &ingress_class::IngressClass,
        ("networking.k8s.io", "ingresses") => &ingress::Ingress,
        ("networking.k8s.io", "ipaddresses") => &service_range::Address,
        ("networking.k8s.io", "networkpolicies") => &network_policy::NetworkPolicy,
        ("networking.k8s.io", "servicecidrs") => &service_range::Range,
        ("node.k8s.io", "runtimeclasses") => &runtime_class::RuntimeClass,
        ("policy", "poddisruptionbudgets") => &pod_disruption_budget::PodDisruptionBudget,
        ("rbac.authorization.k8s.io", "clusterrolebindings") => &rbac::Binding(rbac::Scope::Cluster),
        ("rbac.authorization.k8s.io", "clusterroles") => &rbac::Role(rbac::Scope::Cluster),
        ("rbac.authorization.k8s.io", "rolebindings") => &rbac::Binding(rbac::Scope::Namespace),
        ("rbac.authorization.k8s.io", "roles") => &rbac::Role(rbac::Scope::Namespace),
        ("resource.k8s.io", "deviceclasses") => &device::class::Class,
        ("resource.k8s.io", "resourceclaims") => &device::claim::Claim,
        ("resource.k8s.io", "resourceclaimtemplates") => &device::claim::Template,
        ("resource.k8s.io", "resourceslices") => &device::slice::Slice,
        ("scheduling.k8s.io", "priorityclasses") => &priority_class::PriorityClass,
        ("storage.k8s.io", "csidrivers") => &csi::Driver,
        ("storage.k8s.io", "csinodes") => &csi::Node,
        ("storage.k8s.io", "csistoragecapacities") => &csi::Capacity,
        ("storage.k8s.io", "storageclasses") => &storage_class::StorageClass,
        ("storage.k8s.io", "volumeattachments") => &volume_attachment::VolumeAttachment,
        ("storage.k8s.io", "volumeattributesclasses") => &volume_attributes_class::VolumeAttributesClass,
        _ => &Plain,
    }
}
