//! Priority: a pod's priority comes from its PriorityClass, or from the default class, or is 0.

use api::Object;
use api::meta::Meta;
use api::status::Status;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct Priority;

impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, pod: &'a mut Object) -> Verdict<'a> {
        Box::pin(async move {
            if !cx.is("", "pods", "") {
                return Ok(());
            }
            match (cx.operation, cx.old) {
                (Operation::Create, _) => create(cx, pod).await,
                (Operation::Update, Some(old)) => {
                    keep(&mut pod["spec"], &old["spec"]);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(async move {
            let class = object.filter(|class| class["globalDefault"] == true);
            let Some(class) = class.filter(|_| cx.is("scheduling.k8s.io", "priorityclasses", "")) else {
                return Ok(());
            };
            match default_class(cx).await? {
                // One that is there already is refused before anybody finds that it is there (upstream).
                Some(default) if cx.operation == Operation::Create || default.name() != class.name() => {
                    let why = format!(
                        "PriorityClass {} is already marked as default. Only one default can exist",
                        default.name()
                    );
                    Err(cx.forbidden(class, &why))
                }
                _ => Ok(()),
            }
        })
    }
}

async fn create(cx: &Attributes<'_>, pod: &mut Object) -> Result<(), Status> {
    let forbidden = |why: String| cx.forbidden(pod, &why);
    let spec = &pod["spec"];
    let name = spec["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        default_class(cx).await?
    } else {
        let found = cx.reader.get("scheduling.k8s.io", "priorityclasses", "", &name).await?;
        Some(found.ok_or_else(|| forbidden(format!("no PriorityClass with name {name} was found")))?)
    };
    let value = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or_default();
    if let Some(asked) = spec["priority"].as_i64().filter(|asked| *asked != value) {
        return Err(forbidden(format!(
            "the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        )));
    }
    let policy = match &class {
        Some(class) => class["preemptionPolicy"].as_str().map(str::to_owned),
        None => Some("PreemptLowerPriority".to_owned()),
    };
    if let Some(policy) = &policy
        && let Some(asked) = spec["preemptionPolicy"].as_str().filter(|asked| asked != policy)
    {
        return Err(forbidden(format!(
            "the string value of PreemptionPolicy ({asked}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        )));
    }
    let spec = &mut pod["spec"];
    if let Some(policy) = policy {
        spec["preemptionPolicy"] = policy.into();
    }
    if let Some(class) = class.filter(|_| name.is_empty()) {
        spec["priorityClassName"] = class.name().into();
    }
    spec["priority"] = value.into();
    Ok(())
}

/// An update that leaves out what this step set does not unset it.
fn keep(new: &mut Value, old: &Value) {
    for key in ["priority", "preemptionPolicy"] {
        if new[key].is_null() && !old[key].is_null() {
            new[key] = old[key].clone();
        }
    }
}

/// Of several, made in a race, the one with the lowest value.
async fn default_class(cx: &Attributes<'_>) -> Result<Option<Object>, Status> {
    let classes = cx.reader.list("scheduling.k8s.io", "priorityclasses", "").await?;
    let defaults = classes.into_iter().filter(|class| class["globalDefault"] == true);
    Ok(defaults.min_by_key(|class| class["value"].as_i64().unwrap_or_default()))
}
