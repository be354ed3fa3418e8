use serde_json::{Value, json};

use super::*;
use crate::gvk::GroupVersionKind;

fn patched(kind: &str, original: &Value, patch: Value) -> Result<Value, StrategicPatchError> {
    let set = SchemaSet::builtin();
    let api_version = if kind == "Deployment" { "apps/v1" } else { "v1" };
    let api_version = if kind == "PodDisruptionBudget" { "policy/v1" } else { api_version };
    let ty = set.of_kind(&GroupVersionKind::from_api_version(api_version, kind)).expect("a kind");
    apply(set, ty, original, patch)
}

fn check(cases: Vec<(&str, &str, Value, Value, Value)>) {
    for (name, kind, original, patch, expected) in cases {
        assert_eq!(patched(kind, &original, patch), Ok(expected), "{name}");
    }
}

fn containers(list: Value) -> Value {
    json!({"spec": {"containers": list}})
}

#[test]
fn objects_merge() {
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    check(vec![
        (
            "add, change and remove",
            "Pod",
            labels(json!({"a": "1", "b": "2"})),
            labels(json!({"a": "3", "b": null, "c": "4"})),
            labels(json!({"a": "3", "c": "4"})),
        ),
        ("null of a member that is not there", "Pod", json!({}), labels(json!({"a": null})), labels(json!({}))),
        (
            "null of an object",
            "Pod",
            labels(json!({"a": "1"})),
            json!({"metadata": {"labels": null}}),
            json!({"metadata": {}}),
        ),
        (
            "another type takes over",
            "Pod",
            labels(json!({"a": "1"})),
            json!({"metadata": {"labels": "x"}}),
            json!({"metadata": {"labels": "x"}}),
        ),
        (
            "replace",
            "Pod",
            labels(json!({"a": "1"})),
            labels(json!({"$patch": "replace", "b": "2"})),
            labels(json!({"b": "2"})),
        ),
        ("delete", "Pod", labels(json!({"a": "1"})), labels(json!({"$patch": "delete"})), labels(json!({}))),
        (
            "replace the whole",
            "Pod",
            labels(json!({"a": "1"})),
            json!({"$patch": "replace", "kind": "Pod"}),
            json!({"kind": "Pod"}),
        ),
        (
            "a directive about nothing",
            "Pod",
            json!({"metadata": {}}),
            labels(json!({"$patch": "delete"})),
            json!({"metadata": {}}),
        ),
        (
            "an object that is not merged",
            "PodDisruptionBudget",
            json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}}),
        ),
    ]);
}

#[test]
fn lists_of_objects_merge_by_key() {
    let live = containers(json!([{"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:1"}]));
    check(vec![
        (
            "change one",
            "Pod",
            live.clone(),
            containers(json!([{"name": "b", "image": "b:2"}])),
            containers(json!([{"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:2"}])),
        ),
        (
            "remove a member of one",
            "Pod",
            live.clone(),
            containers(json!([{"name": "a", "tty": null}])),
            containers(json!([{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}])),
        ),
        (
            "new ones come before those that only the server has",
            "Pod",
            live.clone(),
            containers(json!([{"name": "c", "image": "c:1"}])),
            containers(
                json!([{"name": "c", "image": "c:1"}, {"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:1"}]),
            ),
        ),
        (
            "delete one",
            "Pod",
            live.clone(),
            containers(json!([{"name": "a", "$patch": "delete"}])),
            containers(json!([{"name": "b", "image": "b:1"}])),
        ),
        (
            "replace the list",
            "Pod",
            live.clone(),
            containers(json!([{"$patch": "replace"}, {"name": "c", "image": "c:1"}])),
            containers(json!([{"name": "c", "image": "c:1"}])),
        ),
        (
            "replace one",
            "Pod",
            live.clone(),
            containers(
                json!([{"name": "a", "image": "a:1"}, {"name": "b", "ports": [{"containerPort": 80, "$patch": "delete"}, {"containerPort": 81}]}]),
            ),
            containers(
                json!([{"name": "a", "image": "a:1", "tty": true}, {"name": "b", "image": "b:1", "ports": [{"containerPort": 81}]}]),
            ),
        ),
    ]);
}

#[test]
fn lists_by_their_own_strategies() {
    let live = containers(json!([{"name": "a", "image": "a:1"}]));
    check(vec![
        ("an empty patch changes nothing", "Pod", live.clone(), containers(json!([])), live.clone()),
        (
            "the key of strategic merge is not that of server-side apply",
            "Service",
            json!({"spec": {"ports": [{"port": 53, "protocol": "TCP"}]}}),
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}),
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}),
        ),
        (
            "lists without a strategy are replaced",
            "Pod",
            json!({"spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["x"]}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["y"]}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["y"]}]}}),
        ),
        (
            "inside of lists inside of lists",
            "Pod",
            containers(json!([{"name": "a", "env": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]}])),
            containers(json!([{"name": "a", "env": [{"name": "y", "value": "3"}]}])),
            containers(json!([{"name": "a", "env": [{"name": "x", "value": "1"}, {"name": "y", "value": "3"}]}])),
        ),
    ]);
}

#[test]
fn lists_of_scalars_merge_as_sets() {
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    check(vec![
        ("add", "Pod", finalizers(json!(["a", "b"])), finalizers(json!(["c"])), finalizers(json!(["c", "a", "b"]))),
        (
            "what is there stays where it is",
            "Pod",
            finalizers(json!(["a", "b"])),
            finalizers(json!(["b"])),
            finalizers(json!(["a", "b"])),
        ),
        (
            "delete",
            "Pod",
            finalizers(json!(["a", "b", "c"])),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "x"]}}),
            finalizers(json!(["b", "c"])),
        ),
        (
            "delete from a list that is not there",
            "Pod",
            json!({"metadata": {}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
            json!({"metadata": {}}),
        ),
        (
            "delete and add",
            "Pod",
            finalizers(json!(["a", "b"])),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
            finalizers(json!(["c", "b"])),
        ),
        (
            "delete, add and order",
            "Pod",
            finalizers(json!(["a", "b", "s"])),
            json!({"metadata": {
                "$deleteFromPrimitiveList/finalizers": ["a"],
                "$setElementOrder/finalizers": ["c", "b"],
                "finalizers": ["c"],
            }}),
            finalizers(json!(["c", "b", "s"])),
        ),
    ]);
}

#[test]
fn order_is_set() {
    let live = containers(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]));
    let order = |names: &[&str], list: Option<Value>| {
        let mut spec =
            json!({"$setElementOrder/containers": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
        if let Some(list) = list {
            spec["containers"] = list;
        }
        json!({"spec": spec})
    };
    let named = |names: &[&str]| containers(names.iter().map(|name| json!({"name": name})).collect());
    check(vec![
        ("order alone", "Pod", live.clone(), order(&["c", "a", "b"], None), named(&["c", "a", "b"])),
        ("those of the server go between", "Pod", live.clone(), order(&["c", "a"], None), named(&["b", "c", "a"])),
        (
            "with a new one",
            "Pod",
            live.clone(),
            order(&["a", "d", "b", "c"], Some(json!([{"name": "d"}]))),
            named(&["a", "d", "b", "c"]),
        ),
        (
            "with a deletion",
            "Pod",
            live.clone(),
            order(&["c", "a"], Some(json!([{"name": "b", "$patch": "delete"}]))),
            named(&["c", "a"]),
        ),
        (
            "with a deletion that makes room for a new one",
            "Pod",
            live.clone(),
            order(&["a", "d"], Some(json!([{"name": "a", "$patch": "delete"}, {"name": "d"}]))),
            named(&["b", "c", "d"]),
        ),
        (
            "of nothing: what is new stands where Go's sort leaves it",
            "Pod",
            live.clone(),
            order(&[], Some(json!([{"name": "x"}, {"name": "y"}]))),
            named(&["a", "b", "c", "y", "x"]),
        ),
        (
            "of nothing, with one that is there",
            "Pod",
            live.clone(),
            order(&[], Some(json!([{"name": "b"}, {"name": "y"}, {"name": "x"}]))),
            named(&["x", "y", "a", "b", "c"]),
        ),
        ("of a list that is not there", "Pod", json!({"spec": {}}), order(&["a"], None), json!({"spec": {}})),
        (
            "of a list that is new",
            "Pod",
            json!({"spec": {}}),
            order(&["a", "b"], Some(json!([{"name": "a"}, {"name": "x", "$patch": "delete"}, {"name": "b"}]))),
            named(&["a", "b"]),
        ),
    ]);
}

#[test]
fn keys_are_retained() {
    let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let rolling = strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}));
    check(vec![
        (
            "a union changes its member",
            "Deployment",
            rolling.clone(),
            strategy(json!({"$retainKeys": ["type"], "type": "Recreate"})),
            strategy(json!({"type": "Recreate"})),
        ),
        (
            "of an element",
            "Pod",
            json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}, "emptyDir": null}]}}),
            json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}),
        ),
    ]);
    let wrong = [
        json!({"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": {}}),
        json!({"$retainKeys": ["type", {"$patch": "replace"}], "type": "Recreate"}),
    ];
    for wrong in wrong {
        assert_eq!(patched("Deployment", &rolling, strategy(wrong)), Err(StrategicPatchError::RetainKeysFormat));
    }
}

fn check_errors(cases: Vec<(Value, &str, Answer)>) {
    let live = json!({
        "metadata": {"labels": {"a": "b"}, "finalizers": ["a"]},
        "spec": {"containers": [{"name": "a"}], "imagePullSecrets": [{}], "tolerations": [{"key": "t"}]},
    });
    for (patch, message, answer) in cases {
        let error = patched("Pod", &live, patch).expect_err(message);
        assert_eq!((error.to_string().as_str(), error.answer()), (message, answer));
    }
}

#[test]
fn errors_in_upstreams_words() {
    check_errors(vec![
        (json!([]), "json: cannot unmarshal array into Go value of type map[string]interface {}", Answer::BadRequest),
        (
            containers(json!([{"image": "x", "tty": true}])),
            "map: map[image:x tty:true] does not contain declared merge key: name",
            Answer::Unknown,
        ),
        (
            containers(json!([{"$patch": "delete"}])),
            "map: map[$patch:delete] does not contain declared merge key: name",
            Answer::Unknown,
        ),
        (
            containers(json!([{"name": "a", "$patch": "odd"}])),
            "unknown patch type: odd in map: map[$patch:odd name:a]",
            Answer::Unknown,
        ),
        (
            containers(json!([{"name": "a", "$patch": "merge"}])),
            "merging lists cannot yet be specified in the patch",
            Answer::Unknown,
        ),
        (
            json!({"metadata": {"$patch": "merge"}}),
            "unknown patch type: merge in map: map[$patch:merge]",
            Answer::Unknown,
        ),
        (containers(json!(["a"])), "list element types are not identical: [[map[name:a]] [a]]", Answer::Unknown),
        (
            json!({"metadata": {"finalizers": [["b"]]}}),
            "list element types are not identical: [[a] [[b]]]",
            Answer::Unknown,
        ),
    ]);
    let empty = json!({"metadata": {"finalizers": []}});
    let lists = patched("Pod", &empty, json!({"metadata": {"finalizers": [["b"]]}}));
    assert_eq!(lists, Err(StrategicPatchError::ListOfLists));
}

#[test]
fn errors_about_directives_beside_a_list() {
    check_errors(vec![
        (
            json!({"metadata": {"$deleteFromPrimitiveList": ["b"]}}),
            "invalid patch format of primitive list",
            Answer::BadRequest,
        ),
        (
            json!({"metadata": {"$setElementOrder": ["b"]}}),
            "invalid patch format of setElementOrder list",
            Answer::BadRequest,
        ),
        (
            json!({"metadata": {"$setElementOrder/finalizers": "b"}}),
            "expected a []interface {}, but received a string",
            Answer::Unknown,
        ),
        (
            json!({"spec": {"$setElementOrder/volumes": [], "volumes": []}}),
            "no elements in any of the given slices",
            Answer::Unknown,
        ),
        (json!({"spec": {"$retainKeys": "x"}}), "invalid patch format of retainKeys", Answer::BadRequest),
        (
            json!({"spec": {"$setElementOrder/odd": ["b"]}}),
            r#"unable to find api field in struct PodSpec for the json field "odd""#,
            Answer::Unknown,
        ),
        (
            json!({"spec": {"$setElementOrder/tolerations": [], "tolerations": []}}),
            "map: map[key:t] does not contain declared merge key: ",
            Answer::Unknown,
        ),
        (
            json!({"spec": {"$setElementOrder/containers": [{"x": 1}]}}),
            "map: map[x:1] does not contain declared merge key: name",
            Answer::Unknown,
        ),
        (
            json!({"spec": {"containers": [{"name": "a"}], "$setElementOrder/containers": [{"name": "b"}]}}),
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
            Answer::Unknown,
        ),
    ]);
}
