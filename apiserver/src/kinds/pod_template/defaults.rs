//! The defaults of a PodSpec wherever it stands: in a Pod or in the template of a controller.
//!
//! What only a Pod gets (requests from limits, host ports, `enableServiceLinks`) is in [`super::super::pod`].

use serde_json::{Value, json};

use super::super::edit::{default_number, default_text, default_to, get_mut, list_mut, object_mut, remove, set};
use super::super::quantities;
use super::image::pull_policy;
use super::volume_defaults;

/// Lists of containers in a PodSpec.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Defaults of a PodTemplateSpec.
pub fn template(template: &mut Value) {
    if let Some(spec) = get_mut(template, "spec") {
        self::spec(spec);
    }
}

pub fn spec(spec: &mut Value) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    mirror_service_account(spec);
    for volume in list_mut(spec, "volumes") {
        volume_defaults::volume(volume);
    }
    for list in CONTAINER_LISTS {
        for container in list_mut(spec, list) {
            self::container(container);
        }
    }
    quantities::canonicalize(spec, "overhead");
    if let Some(resources) = get_mut(spec, "resources") {
        quantities::canonicalize_requirements(resources);
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`, which wins; both are always shown.
fn mirror_service_account(spec: &mut Value) {
    let text = |name: &str| spec.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match text("serviceAccountName").or_else(|| text("serviceAccount")).map(str::to_owned) {
        Some(name) => {
            set(spec, "serviceAccountName", name.as_str());
            set(spec, "serviceAccount", name);
        }
        None => {
            remove(spec, "serviceAccountName");
            remove(spec, "serviceAccount");
        }
    }
}

fn container(container: &mut Value) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = pull_policy(image);
    default_text(container, "imagePullPolicy", policy);
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    for port in list_mut(container, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in list_mut(container, "env") {
        let Some(source) = get_mut(variable, "valueFrom") else { continue };
        if let Some(reference) = get_mut(source, "fieldRef") {
            field_selector(reference);
        }
        if let Some(reference) = get_mut(source, "resourceFieldRef") {
            volume_defaults::divisor(reference);
        }
        if let Some(reference) = get_mut(source, "fileKeyRef") {
            default_to(reference, "optional", false);
        }
    }
    if let Some(resources) = object_mut(container, "resources") {
        quantities::canonicalize_requirements(resources);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = get_mut(container, name) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = get_mut(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(action) = get_mut(lifecycle, name).and_then(|handler| get_mut(handler, "httpGet")) {
                http_get(action);
            }
        }
    }
}

/// Defaults of an ObjectFieldSelector.
pub fn field_selector(reference: &mut Value) {
    default_text(reference, "apiVersion", "v1");
}

fn probe(probe: &mut Value) {
    default_number(probe, "timeoutSeconds", 1);
    default_number(probe, "periodSeconds", 10);
    default_number(probe, "successThreshold", 1);
    default_number(probe, "failureThreshold", 3);
    if let Some(action) = get_mut(probe, "httpGet") {
        http_get(action);
    }
    if let Some(action) = get_mut(probe, "grpc") {
        default_to(action, "service", "");
    }
}

fn http_get(action: &mut Value) {
    default_text(action, "path", "/");
    default_text(action, "scheme", "HTTP");
}
