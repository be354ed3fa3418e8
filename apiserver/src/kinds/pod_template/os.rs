//! `spec.os`, and what a pod of that system cannot have.

use super::super::cursor::{Cursor, Errors, field, list};

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// Fields of a pod's security context. The namespaces of the host are beside it: upstream's internal form has them inside, and
/// looks at them where there is a context.
const OF_PODS: [(&str, bool); 14] = [
    ("appArmorProfile", true),
    ("seLinuxOptions", true),
    ("hostUsers", false),
    ("hostPID", false),
    ("hostIPC", false),
    ("seccompProfile", true),
    ("fsGroup", true),
    ("fsGroupChangePolicy", true),
    ("sysctls", true),
    ("shareProcessNamespace", false),
    ("runAsUser", true),
    ("runAsGroup", true),
    ("supplementalGroups", true),
    ("supplementalGroupsPolicy", true),
];
const OF_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

pub fn system(spec: &Cursor, errors: &mut Errors) {
    let os = spec.child("os");
    if !os.is_set() {
        return;
    }
    match os.text("name") {
        "" => errors.required(&os.child("name")),
        "linux" => linux(spec, errors),
        "windows" => windows(spec, errors),
        other => errors.push(api::field::FieldError::not_supported(&os.path(), other, &["linux", "windows"])),
    }
}

fn linux(spec: &Cursor, errors: &mut Errors) {
    let context = spec.child("securityContext");
    if context.has("windowsOptions") {
        errors.forbidden(&context.child("windowsOptions"), NOT_ON_LINUX);
    }
    for name in CONTAINERS {
        for container in spec.child(name).items() {
            let context = container.child("securityContext");
            if context.has("windowsOptions") {
                errors.forbidden(&context.child("windowsOptions"), NOT_ON_LINUX);
            }
        }
    }
}

fn windows(spec: &Cursor, errors: &mut Errors) {
    let context = spec.child("securityContext");
    for (name, inside) in OF_PODS {
        let at = if inside { context.child(name) } else { spec.child(name) };
        let set = match name {
            "hostPID" | "hostIPC" => at.value == true,
            // An empty list of these is not nil, but it does not come this far.
            "sysctls" | "supplementalGroups" => !list(context.value, name).is_empty(),
            _ => at.is_set(),
        };
        if set {
            errors.forbidden(&at, NOT_ON_WINDOWS);
        }
    }
    if context.has("seLinuxChangePolicy") {
        errors.forbidden(&context.child("seLinuxChangePolicy"), NOT_ON_WINDOWS);
    }
    for name in CONTAINERS {
        for container in spec.child(name).items() {
            let context = container.child("securityContext");
            for name in OF_CONTAINERS.into_iter().filter(|name| !field(context.value, name).is_null()) {
                errors.forbidden(&context.child(name), NOT_ON_WINDOWS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn systems_have_fields_of_their_own() {
        let table: &[(_, &[&str])] = &[
            (json!({"securityContext": {"runAsUser": 1}, "hostPID": true}), &[]),
            (
                json!({"os": {"name": "windows"}, "securityContext": {"runAsUser": 1}, "hostPID": true, "hostIPC": false,
                    "containers": [{"securityContext": {"privileged": false}}]}),
                &[
                    "spec.hostPID: Forbidden: cannot be set for a windows pod",
                    "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
                    "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
                ],
            ),
            (
                json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}, "runAsUser": 1}}),
                &["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
            ),
            (json!({"os": {}}), &["spec.os.name: Required value"]),
        ];
        for (spec, expected) in table {
            let mut errors = Errors::default();
            let pod = json!({"spec": spec});
            system(&Cursor::root(&pod, "spec"), &mut errors);
            let errors: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
            assert_eq!(errors, *expected, "{spec}");
        }
    }
}
