//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable, unless it says otherwise.

use api::Object;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Verdict};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

#[derive(Debug)]
pub struct DefaultTolerationSeconds;

impl Admission for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, pod: &'a mut Object) -> Verdict<'a> {
        if cx.is("", "pods", "") && matches!(cx.operation, Operation::Create | Operation::Update) {
            add(&mut pod["spec"]);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn add(spec: &mut Value) {
    for taint in TAINTS {
        let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
        let text = |toleration: &Value, key: &str| toleration[key].as_str().unwrap_or_default().to_owned();
        let tolerated = tolerations.iter().any(|toleration| {
            let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
            (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            tolerations
                .push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
            spec["tolerations"] = tolerations.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pod_says_stands() {
        let table = [
            (json!([]), 2),
            (json!([{"operator": "Exists"}]), 1),
            (json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]), 2),
            (json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]), 3),
        ];
        for (tolerations, count) in table {
            let mut spec = json!({"tolerations": tolerations});
            add(&mut spec);
            assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(count), "{spec}");
            let before = spec.clone();
            add(&mut spec);
            assert_eq!(spec, before);
        }
    }
}
