//! The rules in a Job that say which failures count, and which successes are enough.

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use reconcile::Key;

use super::indexes::Indexes;

/// What follows from a pod's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Counts,
    Ignored,
    FailsIndex,
    /// With what is told of it.
    FailsJob(String),
}

/// The first rule that matches decides.
pub(super) fn judge(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    for (number, rule) in rules.enumerate() {
        let Some(what) = matched(rule, pod) else { continue };
        match rule.action.as_str() {
            "Ignore" => return Verdict::Ignored,
            "FailIndex" => return Verdict::FailsIndex,
            "Count" => return Verdict::Counts,
            "FailJob" => return Verdict::FailsJob(format!("{what} matching FailJob rule at index {number}")),
            // An action of a later version.
            _ => {}
        }
    }
    Verdict::Counts
}

fn matched(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let (name, status) = (Key::of(pod), pod.status.as_ref()?);
    if let Some(codes) = &rule.on_exit_codes {
        let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let exits = |container: &ContainerStatus| {
            let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
            exit_matches(codes, &container.name, code)
                .then(|| format!("Container {} for pod {name} failed with exit code {code}", container.name))
        };
        return containers.into_iter().find_map(exits);
    }
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or(&[]);
    let found = status.conditions.iter().flatten().find(|condition| {
        let wanted = |pattern: &Option<String>| pattern.as_deref().unwrap_or("True") == condition.status;
        patterns.iter().any(|pattern| pattern.type_ == condition.type_ && wanted(&pattern.status))
    })?;
    Some(format!("Pod {name} has condition {}", found.type_))
}

fn exit_matches(codes: &PodFailurePolicyOnExitCodesRequirement, container: &str, code: i32) -> bool {
    let named = codes.container_name.as_deref().is_none_or(|name| name == container);
    let listed = codes.values.contains(&code);
    named
        && code != 0
        && match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
}

/// What is told when the indexes that succeeded are enough although not all did.
pub(super) fn is_enough(spec: &JobSpec, succeeded: &Indexes) -> Option<String> {
    let rules = spec.success_policy.as_ref().filter(|_| !succeeded.is_empty())?.rules.iter();
    let enough = |count: Option<i32>, there: i32| count.is_some_and(|count| there >= count);
    let number = rules.into_iter().position(|rule| match &rule.succeeded_indexes {
        None => enough(rule.succeeded_count, succeeded.len()),
        Some(wanted) => {
            let wanted = Indexes::parse(wanted, spec.completions.unwrap_or(0));
            let there = wanted.common(succeeded);
            !wanted.is_empty() && (there == wanted.len() || enough(rule.succeeded_count, there))
        }
    })?;
    Some(format!("Matched rules at index {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::object;
    use serde_json::{Value, json};

    #[test]
    fn the_first_rule_that_matches_decides() {
        let pod = object(json!({"metadata": {"namespace": "shop", "name": "p"}, "status": {
            "conditions": [{"type": "DisruptionTarget", "status": "True"}],
            "containerStatuses": [{"name": "c", "ready": false, "image": "", "imageID": "", "restartCount": 0,
                "state": {"terminated": {"exitCode": 42}}}]}}));
        let exit = |action: &str, operator: &str, values: Value| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
        let condition = |action: &str| json!({"action": action, "onPodConditions": [{"type": "DisruptionTarget"}]});
        let told = |text: &str| Verdict::FailsJob(text.to_owned());
        let table = [
            ("none", vec![], Verdict::Counts),
            ("another code", vec![exit("Ignore", "In", json!([1]))], Verdict::Counts),
            ("this code", vec![exit("FailIndex", "In", json!([1, 42]))], Verdict::FailsIndex),
            ("not another", vec![exit("Ignore", "NotIn", json!([1]))], Verdict::Ignored),
            ("disrupted", vec![condition("Ignore"), exit("FailJob", "In", json!([42]))], Verdict::Ignored),
            ("counts", vec![condition("Count")], Verdict::Counts),
            (
                "ends the Job by code",
                vec![exit("FailJob", "In", json!([42]))],
                told("Container c for pod shop/p failed with exit code 42 matching FailJob rule at index 0"),
            ),
            (
                "ends the Job by condition",
                vec![exit("Ignore", "In", json!([1])), condition("FailJob")],
                told("Pod shop/p has condition DisruptionTarget matching FailJob rule at index 1"),
            ),
        ];
        for (name, rules, expected) in table {
            let spec = object(json!({"template": {}, "podFailurePolicy": {"rules": rules}}));
            assert_eq!(judge(&spec, &pod), expected, "{name}");
        }
    }

    #[test]
    fn some_successes_are_enough() {
        let table = [
            (json!({"succeededCount": 3}), Some(0)),
            (json!({"succeededCount": 4}), None),
            (json!({"succeededIndexes": "0,1"}), Some(0)),
            (json!({"succeededIndexes": "0-3"}), None),
            (json!({"succeededIndexes": "0-3", "succeededCount": 2}), Some(0)),
        ];
        for (rule, expected) in table {
            let spec = object(json!({"template": {}, "completions": 9, "successPolicy": {"rules": [rule]}}));
            let expected = expected.map(|number| format!("Matched rules at index {number}"));
            assert_eq!(is_enough(&spec, &Indexes::parse("0,1,5", 9)), expected, "{rule}");
        }
    }
}
