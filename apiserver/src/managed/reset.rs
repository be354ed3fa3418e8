//! What the server takes back from a request: the status from a write to the object, everything else from a write to its
//! status. Nobody manages that by such a request. From the `GetResetFields` of upstream's strategies.

use std::sync::LazyLock;

use api::apply::{PathElement, Set};

use crate::registry::Descriptor;

static NOTHING: LazyLock<Set> = LazyLock::new(Set::default);
static STATUS: LazyLock<Set> = LazyLock::new(|| set(&["status"]));
static SPEC: LazyLock<Set> = LazyLock::new(|| set(&["spec"]));
static SPEC_AND_METADATA: LazyLock<Set> = LazyLock::new(|| set(&["spec", "metadata"]));
static SPEC_AND_STATUS: LazyLock<Set> = LazyLock::new(|| set(&["spec", "status"]));
static OF_DEPLOYMENT_STATUS: LazyLock<Set> = LazyLock::new(|| set(&["spec", "metadata.labels"]));
static OF_POD_STATUS: LazyLock<Set> =
    LazyLock::new(|| set(&["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]));
static OF_CSR_STATUS: LazyLock<Set> = LazyLock::new(|| set(&["spec", "status.conditions"]));
static OF_CSR_APPROVAL: LazyLock<Set> = LazyLock::new(|| set(&["spec", "status.certificate"]));

fn set(paths: &[&str]) -> Set {
    let mut set = Set::default();
    for path in paths {
        set.insert(&path.split('.').map(PathElement::field).collect::<Vec<_>>());
    }
    set
}

pub(super) fn reset(row: &Descriptor, subresource: &str) -> &'static Set {
    match (row.info.group.as_str(), row.info.plural.as_str(), subresource) {
        ("certificates.k8s.io", "certificatesigningrequests", "") => &SPEC_AND_STATUS,
        ("certificates.k8s.io", "certificatesigningrequests", "status") => &OF_CSR_STATUS,
        ("certificates.k8s.io", "certificatesigningrequests", "approval") => &OF_CSR_APPROVAL,
        // Upstream says it for a group that there is not.
        ("networking.k8s.io", "servicecidrs", _) => &NOTHING,
        (_, _, "") if row.has_status() => &STATUS,
        ("", "namespaces", "finalize") => &STATUS,
        ("", "pods", "status") => &OF_POD_STATUS,
        ("apps", "deployments", "status") => &OF_DEPLOYMENT_STATUS,
        (
            "admissionregistration.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "internal.apiserver.k8s.io"
            | "resource.k8s.io"
            | "storage.k8s.io"
            | "storagemigration.k8s.io",
            _,
            "status",
        ) => &SPEC_AND_METADATA,
        (_, _, "status") => &SPEC,
        _ => &NOTHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn the_server_takes_back_what_the_request_is_not_about() {
        let registry = Registry::built_in();
        let table = [
            ("", "pods", "", r#"{"f:status":{}}"#),
            ("", "pods", "status", r#"{"f:metadata":{"f:deletionTimestamp":{},"f:ownerReferences":{}},"f:spec":{}}"#),
            ("", "pods", "resize", "{}"),
            ("", "services", "status", r#"{"f:spec":{}}"#),
            ("", "configmaps", "", "{}"),
            ("apps", "deployments", "status", r#"{"f:metadata":{"f:labels":{}},"f:spec":{}}"#),
        ];
        for (group, plural, subresource, expected) in table {
            let row = registry.get(group, "v1", plural).unwrap();
            assert_eq!(reset(row, subresource).to_text(), expected, "{plural} {subresource}");
        }
    }
}
