//! Kinds that are stored and checked for those who act on them elsewhere, or here at a later time. Who creates one is warned.

use api::names;

use crate::autoscaling::AUTOSCALER_V1;
use crate::kinds::mutating_policy;

use super::descriptor::{Descriptor, Selectable, row};

const REQUEST_FIELDS: &[Selectable] = &[Selectable::plain("spec.signerName")];
const SLICE_FIELDS: &[Selectable] = &[Selectable::plain("spec.nodeName"), Selectable::plain("spec.driver")];

const NOT_ENFORCED: &str = "is stored, but nothing enforces it yet";
const NOT_MOUNTED: &str = "is stored, but no node mounts it yet";
const NO_CONTROLLER: &str = "is stored, but no controller of this program acts on it yet";

pub(super) fn inert() -> Vec<Descriptor> {
    [policies(), networking(), storage(), workloads(), devices(), requests()].into_iter().flatten().collect()
}

fn policies() -> Vec<Descriptor> {
    let admission = |kind, plural| {
        let row = row("admissionregistration.k8s.io", "v1", kind, plural).category("api-extensions").cluster();
        row.generation().versioned_update()
    };
    let flow = |kind, plural| {
        let row = row("flowcontrol.apiserver.k8s.io", "v1", kind, plural).cluster().generation();
        row.status()
    };
    let mutating = |version, kind, plural| {
        let row = row("admissionregistration.k8s.io", version, kind, plural).category("api-extensions").cluster();
        row.generation().versioned_update().off().hashed_as("admissionregistration.k8s.io", "v1beta1")
    };
    let alpha = |kind, plural, warning| {
        let storage = format!("admissionregistration.k8s.io/{plural}");
        mutating("v1alpha1", kind, plural).stored_as(&storage, &mutating_policy::Alpha).deprecated(warning)
    };
    let (policies, bindings) = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings");
    vec![
        mutating("v1beta1", "MutatingAdmissionPolicy", policies),
        mutating("v1beta1", "MutatingAdmissionPolicyBinding", bindings),
        alpha(
            "MutatingAdmissionPolicy",
            policies,
            "admissionregistration.k8s.io/v1alpha1 MutatingAdmissionPolicy is deprecated in v1.35+, unavailable in v1.38+",
        ),
        alpha(
            "MutatingAdmissionPolicyBinding",
            bindings,
            "admissionregistration.k8s.io/v1alpha1 MutatingAdmissionPolicyBinding is deprecated in v1.35+, unavailable in v1.38+",
        ),
        admission("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        admission("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        admission("ValidatingAdmissionPolicy", "validatingadmissionpolicies").status(),
        admission("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
        flow("FlowSchema", "flowschemas"),
        flow("PriorityLevelConfiguration", "prioritylevelconfigurations"),
    ]
}

fn networking() -> Vec<Descriptor> {
    let networking = |kind, plural| row("networking.k8s.io", "v1", kind, plural);
    vec![
        // Both are for a controller that somebody installs, as everywhere.
        networking("Ingress", "ingresses").short(&["ing"]).generation().status(),
        networking("IngressClass", "ingressclasses").cluster().generation(),
        networking("NetworkPolicy", "networkpolicies").short(&["netpol"]).generation().inert(NOT_ENFORCED),
        networking("IPAddress", "ipaddresses")
            .short(&["ip"])
            .cluster()
            .named(address)
            .inert("is stored, but addresses of Services are not taken from it yet"),
        networking("ServiceCIDR", "servicecidrs")
            .cluster()
            .status()
            .status_on_create()
            .status_on_update()
            .inert("is stored, but addresses of Services are not taken from it yet"),
    ]
}

fn storage() -> Vec<Descriptor> {
    let storage = |kind, plural| row("storage.k8s.io", "v1", kind, plural);
    let driver = "is stored, but CSI drivers are not called yet";
    let core = |kind, plural| row("", "v1", kind, plural).status().returns_deleted().inert(NOT_MOUNTED);
    vec![
        core("PersistentVolumeClaim", "persistentvolumeclaims").short(&["pvc"]).completed_by_reads(|_| true),
        core("PersistentVolume", "persistentvolumes").short(&["pv"]).cluster(),
        storage("CSIDriver", "csidrivers").cluster().versioned_update().returns_deleted().inert(driver),
        storage("CSINode", "csinodes").cluster().versioned_update().returns_deleted().inert(driver),
        storage("CSIStorageCapacity", "csistoragecapacities").versioned_update().inert(driver),
        storage("VolumeAttachment", "volumeattachments")
            .cluster()
            .versioned_update()
            .returns_deleted()
            .status()
            .inert(driver),
        storage("VolumeAttributesClass", "volumeattributesclasses")
            .short(&["vac"])
            .hashed_as("storage.k8s.io", "v1beta1")
            .cluster()
            .returns_deleted()
            .inert(driver),
    ]
}

fn workloads() -> Vec<Descriptor> {
    let workload =
        |kind, plural| row("apps", "v1", kind, plural).category("all").generation().status().inert(NO_CONTROLLER);
    vec![
        workload("DaemonSet", "daemonsets").short(&["ds"]),
        workload("StatefulSet", "statefulsets").short(&["sts"]).named(names::dns1123_label).scale(),
    ]
}

fn devices() -> Vec<Descriptor> {
    let resource = |kind, plural| {
        let row = row("resource.k8s.io", "v1", kind, plural).returns_deleted();
        row.inert("is stored, but devices are not allocated yet")
    };
    vec![
        resource("DeviceClass", "deviceclasses").cluster().generation().named(names::long_name),
        resource("ResourceClaim", "resourceclaims").status(),
        resource("ResourceClaimTemplate", "resourceclaimtemplates"),
        resource("ResourceSlice", "resourceslices").cluster().selectable(SLICE_FIELDS),
    ]
}

fn requests() -> Vec<Descriptor> {
    vec![
        autoscaler("v2"),
        autoscaler("v1")
            .stored_as("autoscaling/horizontalpodautoscalers", &AUTOSCALER_V1)
            .hashed_as("autoscaling", "v2"),
        row("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests")
            .short(&["csr"])
            .cluster()
            .named(any_name)
            .selectable(REQUEST_FIELDS)
            .status()
            .own_subresource("approval", &["get", "patch", "update"]),
    ]
}

fn autoscaler(version: &str) -> Descriptor {
    row("autoscaling", version, "HorizontalPodAutoscaler", "horizontalpodautoscalers")
        .short(&["hpa"])
        .category("all")
        .status()
        .inert(NO_CONTROLLER)
}

/// What all names must be is enough.
fn any_name(_name: &str) -> Vec<String> {
    Vec::new()
}

/// An IPAddress is named by its address, in the one form that there is.
fn address(name: &str) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(address) => vec![format!("must be in canonical form (\"{address}\")")],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_name() {
        let cases = [
            ("10.0.0.1", ""),
            ("2001:db8::1", ""),
            ("2001:db8:0::1", "must be in canonical form (\"2001:db8::1\")"),
            ("a", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ];
        for (name, expected) in cases {
            assert_eq!(address(name).join("\n"), expected, "{name}");
        }
    }

    #[test]
    fn who_creates_what_nothing_acts_on_is_told() {
        let silent: Vec<String> =
            inert().iter().filter(|row| row.inert.is_none() && !row.off).map(|row| row.info.kind.clone()).collect();
        let policies = [
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "FlowSchema",
            "PriorityLevelConfiguration",
        ];
        assert_eq!(silent, [&policies[..], &["Ingress", "IngressClass", "CertificateSigningRequest"]].concat());
    }
}
