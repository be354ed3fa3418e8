//! TaintNodesByCondition: a new node takes no pods until the node life cycle has seen it ready. Without the taint, pods could be
//! bound to it in between.

use api::Object;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Verdict};

const KEY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

#[derive(Debug)]
pub struct TaintNodesByCondition;

impl Admission for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, node: &'a mut Object) -> Verdict<'a> {
        if cx.operation == Operation::Create && cx.is("", "nodes", "") {
            taint(node);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn taint(node: &mut Object) {
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let is_it = |taint: &Value| taint["key"] == KEY && taint["effect"] == EFFECT;
    if !taints.iter().any(is_it) {
        taints.push(json!({"effect": EFFECT, "key": KEY}));
        node["spec"]["taints"] = taints.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taint_is_added_once() {
        let own = json!({"effect": EFFECT, "key": KEY});
        let other = json!({"effect": "NoExecute", "key": KEY});
        let table = [
            (json!({}), json!([own])),
            (json!({"spec": {"taints": [other]}}), json!([other, own])),
            (json!({"spec": {"taints": [own, other]}}), json!([own, other])),
        ];
        for (mut node, taints) in table {
            taint(&mut node);
            assert_eq!(node["spec"]["taints"], taints);
        }
    }
}
