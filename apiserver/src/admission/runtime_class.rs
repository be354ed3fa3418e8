//! RuntimeClass: a pod's class must be there; its overhead and where it can run come from the class.

use api::Object;
use api::status::Status;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct RuntimeClass;

impl Admission for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, pod: &'a mut Object) -> Verdict<'a> {
        Box::pin(async move {
            if !concerns(cx) {
                return Ok(());
            }
            let class = class(cx, pod).await?;
            match class {
                Some(class) => fill_in(&mut pod["spec"], &class).map_err(|why| cx.forbidden(pod, &why)),
                None => Ok(()),
            }
        })
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, pod: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(async move {
            let Some(pod) = pod.filter(|_| concerns(cx)) else { return Ok(()) };
            let class = class(cx, pod).await?;
            let wanted = class.as_ref().map(|class| &class["overhead"]).filter(|overhead| !overhead.is_null());
            let own = &pod["spec"]["overhead"];
            let why = match wanted {
                Some(wanted) if wanted["podFixed"] != *own => DIFFERENT,
                None if !own.is_null() => UNDEFINED,
                _ => return Ok(()),
            };
            Err(cx.forbidden(pod, why))
        })
    }
}

const UNDEFINED: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
const DIFFERENT: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

fn concerns(cx: &Attributes<'_>) -> bool {
    cx.is("", "pods", "") && cx.operation == Operation::Create
}

async fn class(cx: &Attributes<'_>, pod: &Object) -> Result<Option<Object>, Status> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    let found = cx.reader.get("node.k8s.io", "runtimeclasses", "", name).await?;
    found.map(Some).ok_or_else(|| cx.forbidden(pod, &format!("pod rejected: RuntimeClass {name:?} not found")))
}

fn fill_in(spec: &mut Value, class: &Value) -> Result<(), String> {
    if !class["overhead"].is_null() {
        let fixed = &class["overhead"]["podFixed"];
        if spec["overhead"].as_object().is_some_and(|own| !own.is_empty()) && spec["overhead"] != *fixed {
            return Err(DIFFERENT.to_owned());
        }
        spec["overhead"] = fixed.clone();
    }
    for (key, value) in class["scheduling"]["nodeSelector"].as_object().into_iter().flatten() {
        let own = &spec["nodeSelector"][key];
        if !own.is_null() && own != value {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                text(value),
                text(own)
            ));
        }
        spec["nodeSelector"][key] = value.clone();
    }
    let added = class["scheduling"]["tolerations"].as_array().cloned().unwrap_or_default();
    if !added.is_empty() {
        let own = spec["tolerations"].as_array().cloned().unwrap_or_default();
        spec["tolerations"] = merged([own, added].concat()).into();
    }
    Ok(())
}

/// Without those that another one includes; of equal ones the first stays.
fn merged(all: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let later = all[index + 1..].iter().any(|other| other != toleration && includes(other, toleration));
        if !later && !kept.iter().any(|other| includes(other, toleration)) {
            kept.push(toleration.clone());
        }
    }
    kept
}

fn includes(large: &Value, small: &Value) -> bool {
    let text = |toleration: &Value, key: &str| toleration[key].as_str().unwrap_or_default().to_owned();
    let (key, effect) = (text(large, "key"), text(large, "effect"));
    let exists = text(large, "operator") == "Exists";
    if large == small {
        return true;
    }
    if key != text(small, "key") && !(key.is_empty() && exists) {
        return false;
    }
    if !effect.is_empty() && effect != text(small, "effect") {
        return false;
    }
    let seconds = |toleration: &Value| toleration["tolerationSeconds"].as_i64();
    if effect == "NoExecute"
        && let Some(longest) = seconds(large)
        && seconds(small).is_none_or(|seconds| seconds > longest)
    {
        return false;
    }
    exists || matches!(text(small, "operator").as_str(), "" | "Equal") && text(small, "value") == text(large, "value")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_says_where_its_pods_run_and_what_they_cost() {
        let class = json!({"overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"},
            "tolerations": [{"key": "x", "operator": "Exists"}]}});
        let filled = json!({"overhead": {"cpu": "1"}, "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "x", "operator": "Exists"}]});
        let table = [
            (json!({}), Ok(filled.clone())),
            (json!({"overhead": {"cpu": "1"}, "tolerations": [{"key": "x", "value": "v"}]}), Ok(filled)),
            (json!({"overhead": {"cpu": "2"}}), Err(DIFFERENT.to_owned())),
            (
                json!({"nodeSelector": {"a": "c"}}),
                Err("conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c".to_owned()),
            ),
        ];
        for (mut spec, expected) in table {
            let outcome = fill_in(&mut spec, &class).map(|()| spec.clone());
            assert_eq!(outcome, expected, "{spec}");
        }
    }
}
