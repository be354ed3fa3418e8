//! Whether a container that ended is started again.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::container::ContainerKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    OnFailure,
    Never,
}

fn policy(container: &Container, pod: &Pod) -> Policy {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    match container.restart_policy.as_deref().or(of_pod) {
        Some("Never") => Policy::Never,
        Some("OnFailure") => Policy::OnFailure,
        _ => Policy::Always,
    }
}

/// core/v1 Container.restartPolicyRules: the first rule that matches the exit code decides.
fn rule_restarts(container: &Container, code: i32) -> bool {
    container.restart_policy_rules.iter().flatten().any(|rule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let listed = codes.values.as_ref().is_some_and(|values| values.contains(&code));
        rule.action == "Restart" && (codes.operator == "In") == listed
    })
}

/// True when a container that ended with `code` is to run again.
pub fn restarts(kind: ContainerKind, container: &Container, pod: &Pod, code: i32) -> bool {
    match kind {
        ContainerKind::Ephemeral => false,
        ContainerKind::Sidecar => true,
        ContainerKind::Init if code == 0 => false,
        ContainerKind::Init | ContainerKind::App => {
            rule_restarts(container, code)
                || match policy(container, pod) {
                    Policy::Always => true,
                    Policy::OnFailure => code != 0,
                    Policy::Never => false,
                }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn restart_decisions() {
        use ContainerKind::*;
        let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
        let table = [
            ("always, success", App, "Always", json!({}), 0, true),
            ("on failure, success", App, "OnFailure", json!({}), 0, false),
            ("on failure, failure", App, "OnFailure", json!({}), 1, true),
            ("never, failure", App, "Never", json!({}), 1, false),
            ("an init container that succeeded is done", Init, "Always", json!({}), 0, false),
            ("an init container that failed", Init, "Always", json!({}), 1, true),
            ("a sidecar ignores the pod's policy", Sidecar, "Never", json!({}), 0, true),
            ("an ephemeral container never", Ephemeral, "Always", json!({}), 1, false),
            ("the container's own policy wins", App, "Never", json!({"restartPolicy": "OnFailure"}), 1, true),
            ("rule matches", App, "Never", json!({"restartPolicy": "Never", "restartPolicyRules": rules}), 42, true),
            ("rule does not", App, "Never", json!({"restartPolicy": "Never", "restartPolicyRules": rules}), 1, false),
        ];
        for (name, kind, policy, mut container, code, expected) in table {
            container["name"] = json!("c");
            let container: Container = serde_json::from_value(container).expect(name);
            let pod: Pod =
                serde_json::from_value(json!({"spec": {"containers": [], "restartPolicy": policy}})).expect(name);
            assert_eq!(restarts(kind, &container, &pod, code), expected, "{name}");
        }
    }
}
