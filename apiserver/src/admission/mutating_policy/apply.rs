//! Merges what a policy says that an object should have, as server-side apply does, but for nobody: no manager owns the fields
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go`).

use api::apply::{Misfits, Place, atomic, check, merge};
use api::schema::{SchemaSet, TypeId};
use serde_json::Value;

/// The object with what the configuration has.
///
/// # Errors
/// The configuration does not fit the kind, or would replace what is only replaced as a whole.
pub fn apply(set: &SchemaSet, ty: TypeId, object: &Value, mut configuration: Value) -> Result<Value, String> {
    for header in ["apiVersion", "kind"] {
        configuration[header] = object[header].clone();
    }
    let place = Place::root(set, ty);
    check(place, &configuration)
        .map_err(|misfits| format!("failed to convert patch object to typed object: {misfits}"))?;
    let whole = atomic(place, &configuration);
    if !whole.is_empty() {
        let places = whole.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {places}"));
    }
    if let Err(Misfits(mut misfits)) = check(place, object) {
        // An object may have elements twice.
        misfits.retain(|misfit| !misfit.message.starts_with("duplicate entries for key"));
        if !misfits.is_empty() {
            return Err(format!("failed to convert original object to typed object: {}", Misfits(misfits)));
        }
    }
    merge(place, object, &configuration).map_err(|why| format!("failed to merge patch: {why}"))
}

#[cfg(test)]
mod tests {
    use api::gvk::GroupVersionKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn configurations_merge_as_those_of_server_side_apply() {
        let set = SchemaSet::builtin();
        let ty = set.of_kind(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap();
        let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
        let object = |mut object: Value| {
            object["apiVersion"] = "apps/v1".into();
            object["kind"] = "Deployment".into();
            object
        };
        let env = |env: Value| pod(json!({"containers": [{"name": "c", "env": env}]}));
        let atomic = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ";
        let table = [
            (json!({}), json!({"spec": {"replicas": 3}}), Ok(json!({"spec": {"replicas": 3}}))),
            (
                env(json!([{"name": "a", "value": "1"}])),
                env(json!([{"name": "b", "value": "2"}])),
                Ok(env(json!([{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]))),
            ),
            (
                env(json!([{"name": "a", "value": "1"}, {"name": "a", "value": "2"}, {"name": "b"}])),
                env(json!([{"name": "a", "value": "3"}])),
                Ok(env(json!([{"name": "a", "value": "3"}, {"name": "b"}]))),
            ),
            (
                json!({}),
                json!({"spec": {"no": 1}}),
                Err("failed to convert patch object to typed object: .spec.no: field not declared in schema".to_owned()),
            ),
            (
                json!({}),
                json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
                Err(format!("{atomic}.spec.selector")),
            ),
            (
                json!({}),
                pod(json!({"containers": [{"name": "a", "args": ["x"]}], "tolerations": [{"key": "a"}]})),
                Err(format!("{atomic}.spec.template.spec.containers[0].args, .spec.template.spec.tolerations")),
            ),
        ];
        for (old, configuration, expected) in table {
            let said = apply(set, ty, &object(old), configuration.clone());
            assert_eq!(said, expected.map(object), "{configuration}");
        }
    }
}
