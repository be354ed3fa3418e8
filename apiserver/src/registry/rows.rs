//! The table of built-in kinds. A further kind is a further row.

use api::gvk::GroupVersionKind;
use api::names;

use super::descriptor::{Descriptor, Selectable, row};
use super::inert;
use crate::events::EVENTS_V1;
use crate::kinds::{job, replication_controller};

const POD_FIELDS: &[Selectable] = &[
    Selectable::plain("spec.nodeName"),
    Selectable::plain("spec.restartPolicy"),
    Selectable::plain("spec.schedulerName"),
    Selectable::plain("spec.serviceAccountName"),
    Selectable::new("spec.hostNetwork", "spec.hostNetwork", "false"),
    Selectable::plain("status.phase"),
    Selectable::plain("status.podIP"),
    Selectable::plain("status.nominatedNodeName"),
];
const NODE_FIELDS: &[Selectable] = &[Selectable::new("spec.unschedulable", "spec.unschedulable", "false")];
const EVENT_FIELDS: &[Selectable] = &[
    Selectable::plain("involvedObject.kind"),
    Selectable::plain("involvedObject.namespace"),
    Selectable::plain("involvedObject.name"),
    Selectable::plain("involvedObject.uid"),
    Selectable::plain("involvedObject.apiVersion"),
    Selectable::plain("involvedObject.resourceVersion"),
    Selectable::plain("involvedObject.fieldPath"),
    Selectable::plain("reason"),
    Selectable::plain("reportingComponent"),
    Selectable::new("source", "source.component", "").or("reportingComponent"),
    Selectable::plain("type"),
];
const CONTROLLER_FIELDS: &[Selectable] = &[Selectable::new("status.replicas", "status.replicas", "0")];
const JOB_FIELDS: &[Selectable] = &[Selectable::new("status.successful", "status.succeeded", "0")];
const NAMESPACE_FIELDS: &[Selectable] = &[Selectable::plain("status.phase")];
const SECRET_FIELDS: &[Selectable] = &[Selectable::plain("type")];
const SERVICE_FIELDS: &[Selectable] = &[Selectable::plain("spec.clusterIP"), Selectable::plain("spec.type")];
const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];

pub(super) fn built_in() -> Vec<Descriptor> {
    let groups = [core(), apps(), batch(), policy(), rbac(), small_groups(), reviews(), extensions(), inert::inert()];
    groups.into_iter().flatten().collect()
}

fn core_kind(kind: &str) -> GroupVersionKind {
    GroupVersionKind::new("", "v1", kind)
}

fn core() -> Vec<Descriptor> {
    let core = |kind, plural| row("", "v1", kind, plural);
    vec![
        core("Binding", "bindings").review(),
        component_status(),
        core("ConfigMap", "configmaps").short(&["cm"]),
        core("Endpoints", "endpoints")
            .short(&["ep"])
            .create_on_update()
            .deprecated("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        core("Event", "events")
            .short(&["ev"])
            .named(names::path_segment)
            .selectable(EVENT_FIELDS)
            .create_on_update()
            .without_dependents(),
        core("LimitRange", "limitranges").short(&["limits"]).create_on_update(),
        core("Namespace", "namespaces")
            .short(&["ns"])
            .cluster()
            .named(names::dns1123_label)
            .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
            .selectable(NAMESPACE_FIELDS)
            .status()
            .own_subresource("finalize", &["update"])
            .returns_deleted(),
        core("Node", "nodes").short(&["no"]).cluster().selectable(NODE_FIELDS).status().status_on_create().subresource(
            "proxy",
            core_kind("NodeProxyOptions"),
            PROXY,
        ),
        core("Pod", "pods")
            .short(&["po"])
            .category("all")
            .selectable(POD_FIELDS)
            .generation()
            .status()
            .status_on_create()
            .own_subresource("ephemeralcontainers", &["get", "patch", "update"])
            .own_subresource("log", &["get"])
            .own_subresource("resize", &["get", "patch", "update"])
            .subresource("attach", core_kind("PodAttachOptions"), CONNECT)
            .subresource("binding", core_kind("Binding"), &["create"])
            .subresource("eviction", GroupVersionKind::new("policy", "v1", "Eviction"), &["create"])
            .subresource("exec", core_kind("PodExecOptions"), CONNECT)
            .subresource("portforward", core_kind("PodPortForwardOptions"), CONNECT)
            .subresource("proxy", core_kind("PodProxyOptions"), PROXY)
            .returns_deleted(),
        core("PodTemplate", "podtemplates").generation().returns_deleted(),
        core("ResourceQuota", "resourcequotas").short(&["quota"]).status().returns_deleted(),
        core("Secret", "secrets").selectable(SECRET_FIELDS),
        core("ServiceAccount", "serviceaccounts")
            .short(&["sa"])
            .subresource("token", GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest"), &["create"])
            .returns_deleted(),
        core("Service", "services")
            .short(&["svc"])
            .category("all")
            .named(names::dns1035_label)
            .selectable(SERVICE_FIELDS)
            .status()
            .subresource("proxy", core_kind("ServiceProxyOptions"), PROXY)
            .create_on_update()
            .allocates()
            .returns_deleted(),
    ]
}

fn component_status() -> Descriptor {
    let component = row("", "v1", "ComponentStatus", "componentstatuses").short(&["cs"]).cluster().made();
    component.deprecated("v1 ComponentStatus is deprecated in v1.19+")
}

fn apps() -> Vec<Descriptor> {
    let apps = |kind, plural| row("apps", "v1", kind, plural);
    vec![
        apps("ControllerRevision", "controllerrevisions"),
        apps("Deployment", "deployments").short(&["deploy"]).category("all").generation().status().scale(),
        apps("ReplicaSet", "replicasets").short(&["rs"]).category("all").generation().status().scale(),
        // A workload like these, although it is older than their group.
        row("", "v1", "ReplicationController", "replicationcontrollers")
            .short(&["rc"])
            .category("all")
            .named(replication_controller::name)
            .selectable(CONTROLLER_FIELDS)
            .generation()
            .status()
            .scale(),
    ]
}

fn batch() -> Vec<Descriptor> {
    vec![
        row("batch", "v1", "CronJob", "cronjobs").short(&["cj"]).category("all").generation().status(),
        row("batch", "v1", "Job", "jobs")
            .category("all")
            .generation()
            .selectable(JOB_FIELDS)
            .status()
            .completed_by_reads(job::has_generated_labels),
    ]
}

fn policy() -> Vec<Descriptor> {
    vec![
        row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
            .short(&["pdb"])
            .named(names::path_segment)
            .generation()
            .status()
            .versioned_update(),
    ]
}

fn rbac() -> Vec<Descriptor> {
    let rbac = |kind, plural| {
        row("rbac.authorization.k8s.io", "v1", kind, plural).named(names::path_segment).create_on_update()
    };
    vec![
        rbac("ClusterRoleBinding", "clusterrolebindings").cluster(),
        rbac("ClusterRole", "clusterroles").cluster(),
        rbac("RoleBinding", "rolebindings"),
        rbac("Role", "roles"),
    ]
}

fn small_groups() -> Vec<Descriptor> {
    vec![
        row("events.k8s.io", "v1", "Event", "events")
            .short(&["ev"])
            .selectable(EVENT_FIELDS)
            .create_on_update()
            .without_dependents()
            .stored_as("core/events", &EVENTS_V1)
            .hashed_as("", "v1"),
        row("coordination.k8s.io", "v1", "Lease", "leases").create_on_update().versioned_update().relaxed(),
        row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices").generation(),
        row("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses").short(&["pc"]).cluster().generation(),
        row("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses").cluster().create_on_update().versioned_update(),
        row("storage.k8s.io", "v1", "StorageClass", "storageclasses").short(&["sc"]).cluster().returns_deleted(),
    ]
}

fn reviews() -> Vec<Descriptor> {
    let authorization = |kind, plural| row("authorization.k8s.io", "v1", kind, plural).review();
    vec![
        row("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews").cluster().review(),
        row("authentication.k8s.io", "v1", "TokenReview", "tokenreviews").cluster().review(),
        authorization("LocalSubjectAccessReview", "localsubjectaccessreviews"),
        authorization("SelfSubjectAccessReview", "selfsubjectaccessreviews").cluster(),
        authorization("SelfSubjectRulesReview", "selfsubjectrulesreviews").cluster(),
        authorization("SubjectAccessReview", "subjectaccessreviews").cluster(),
    ]
}

fn extensions() -> Vec<Descriptor> {
    vec![
        row("apiregistration.k8s.io", "v1", "APIService", "apiservices")
            .category("api-extensions")
            .cluster()
            .named(names::path_segment)
            .versioned_update()
            .status(),
        row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
            .short(&["crd", "crds"])
            .category("api-extensions")
            .hashed_as("apiextensions.k8s.io", "v1beta1")
            .cluster()
            .generation()
            .status()
            .versioned_update(),
    ]
}
