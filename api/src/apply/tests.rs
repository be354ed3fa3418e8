//! Stories: managers do things to one object, one after another; what becomes of it and whose are its fields.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::gvk::GroupVersionKind;
use crate::schema::{SchemaSet, TypeId, check};

struct Story {
    kind: &'static str,
    ty: TypeId,
    versions: OneVersion<'static>,
    object: Option<Value>,
    managed: ManagedFields,
    clock: u32,
}

/// `apps/v1 Deployment` or `v1 ConfigMap`.
fn story(api_version: &'static str, kind: &'static str) -> Story {
    let set = SchemaSet::builtin();
    let ty = set.of_kind(&GroupVersionKind::from_api_version(api_version, kind)).unwrap();
    let versions = OneVersion { set, ty, api_version };
    Story { kind, ty, versions, object: None, managed: ManagedFields::default(), clock: 0 }
}

impl Story {
    fn tracker<R>(&mut self, manager: &str, with: impl FnOnce(Tracker<'_>, &Self) -> R) -> R {
        self.clock += 1;
        let (now, reset) = (format!("2026-01-01T00:00:{:02}Z", self.clock), Set::default());
        let (versions, api_version) = (self.versions, self.versions.api_version);
        let subresource = "";
        let reset = &reset;
        with(
            Tracker { versions: &versions, api_version, kind: self.kind, subresource, manager, reset, now: &now },
            self,
        )
    }

    fn normal(&self, mut object: Value) -> Value {
        check::conform(self.versions.set, self.ty, &mut object);
        check::complete(self.versions.set, self.ty, &mut object);
        object["metadata"]["uid"] = "u".into();
        object
    }

    fn update(&mut self, manager: &str, object: Value) {
        let new = self.normal(self.named(object));
        let update = |tracker: Tracker<'_>, story: &Self| {
            tracker.update(story.object.as_ref(), &new, story.managed.clone()).unwrap()
        };
        self.managed = self.tracker(manager, update);
        self.object = Some(new);
    }

    /// What it makes, without making it.
    fn try_apply(&mut self, manager: &str, config: Value, force: bool) -> Result<Applied, String> {
        let config = self.named(config);
        let applied = self.tracker(manager, |tracker, story| {
            tracker.apply(story.object.as_ref(), story.managed.clone(), &config, force)
        });
        let applied = applied.map_err(|error| error.to_string())?;
        Ok(Applied { object: self.normal(applied.object), ..applied })
    }

    fn apply(&mut self, manager: &str, config: Value) -> Result<(), String> {
        let Applied { object, managed } = self.try_apply(manager, config, false)?;
        (self.object, self.managed) = (Some(object), managed);
        Ok(())
    }

    fn force(&mut self, manager: &str, config: Value) {
        let Applied { object, managed } = self.try_apply(manager, config, true).unwrap();
        (self.object, self.managed) = (Some(object), managed);
    }

    fn named(&self, mut object: Value) -> Value {
        object["metadata"]["name"] = "x".into();
        object["apiVersion"] = self.versions.api_version.into();
        object["kind"] = self.kind.into();
        object
    }

    fn part(&self, pointer: &str) -> Value {
        self.object.as_ref().and_then(|object| object.pointer(pointer)).cloned().unwrap_or_default()
    }

    fn fields(&self, manager: &str) -> String {
        let is = |id: &ManagerId| id.manager == manager;
        self.managed.iter().find(|(id, _)| is(id)).map(|(_, managed)| managed.fields.to_text()).unwrap_or_default()
    }
}

fn data(data: Value) -> Value {
    json!({"data": data})
}

#[test]
fn fields_change_hands() {
    let mut story = story("v1", "ConfigMap");
    story.update("maker", data(json!({"a": "1", "b": "1"})));
    story.update("editor", data(json!({"a": "2", "b": "1"})));
    assert_eq!(story.fields("maker"), r#"{"f:data":{".":{},"f:b":{}}}"#);
    assert_eq!(story.fields("editor"), r#"{"f:data":{"f:a":{}}}"#);
    assert!(story.apply("applier", data(json!({"a": "2", "c": "1"}))).is_ok(), "the same value is no conflict");
    assert_eq!(story.fields("applier"), r#"{"f:data":{"f:a":{},"f:c":{}}}"#);
    assert_eq!(story.fields("editor"), r#"{"f:data":{"f:a":{}}}"#);
    let refused = story.apply("applier", data(json!({"a": "3"}))).unwrap_err();
    assert_eq!(refused, "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.a");
    story.force("applier", data(json!({"a": "3"})));
    assert_eq!((story.fields("editor"), story.part("/data")), (String::new(), json!({"a": "3", "b": "1"})));
}

#[test]
fn what_is_no_longer_applied_goes_unless_somebody_has_it() {
    let mut story = story("v1", "ConfigMap");
    story.apply("one", data(json!({"a": "1", "b": "1", "c": "1"}))).unwrap();
    story.apply("two", data(json!({"b": "1"}))).unwrap();
    story.update("editor", data(json!({"a": "1", "b": "1", "c": "2"})));
    story.apply("one", data(json!({}))).unwrap();
    assert_eq!(story.part("/data"), json!({"b": "1", "c": "2"}));
    story.apply("two", json!({})).unwrap();
    assert_eq!((story.part("/data"), story.fields("two")), (json!({"c": "2"}), String::new()));
}

/// Of an element that is claimed without a field of its own, pruning leaves null, which is no error (structured-merge-diff takes it
/// for an element without a name): it goes, the other's claim or not.
#[test]
fn an_element_without_fields_goes_with_one_of_its_managers() {
    let mut story = story("apps/v1", "Deployment");
    let containers = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    story.apply("maker", containers(json!([{"name": "a"}]))).unwrap();
    for manager in ["one", "two"] {
        story.apply(manager, containers(json!([{}]))).unwrap();
    }
    story.apply("two", json!({})).unwrap();
    assert_eq!(story.part("/spec/template/spec/containers"), json!([{"name": "a", "resources": {}}]));
    assert_eq!((story.fields("one"), story.fields("two")), (String::new(), String::new()));
}

#[test]
fn an_element_keeps_what_was_added_to_it_by_nobody() {
    let mut story = story("apps/v1", "Deployment");
    let containers = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    story.apply("one", containers(json!([{"name": "a", "image": "x"}]))).unwrap();
    // A default, which no request has set.
    let mut object = story.object.clone().unwrap();
    object["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
    story.object = Some(object);
    story.apply("one", containers(json!([{"name": "a"}]))).unwrap();
    let left = json!([{"name": "a", "imagePullPolicy": "Always", "resources": {}}]);
    assert_eq!(story.part("/spec/template/spec/containers"), left);
    story.apply("one", containers(json!([{"name": "b"}]))).unwrap();
    assert_eq!(story.part("/spec/template/spec/containers"), json!([{"name": "b", "resources": {}}]));
}

#[test]
fn an_atomic_list_is_one_field() {
    let mut story = story("apps/v1", "Deployment");
    let command =
        |words: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "command": words}]}}}});
    story.apply("one", command(json!(["x"]))).unwrap();
    let refused = story.apply("two", command(json!(["x", "y"]))).unwrap_err();
    assert!(refused.ends_with(".spec.template.spec.containers[name=\"a\"].command"), "{refused}");
    story.force("two", command(json!(["y"])));
    assert_eq!(story.part("/spec/template/spec/containers/0/command"), json!(["y"]));
}

#[test]
fn times_are_of_the_last_change() {
    let mut story = story("v1", "ConfigMap");
    story.apply("one", data(json!({"a": "1"}))).unwrap();
    story.update("two", data(json!({"a": "1", "b": "1"})));
    story.apply("one", data(json!({"a": "1"}))).unwrap();
    story.update("two", data(json!({"a": "1", "b": "1"})));
    let time =
        |name: &str, operation| story.managed.time(&ManagerId::new(name, operation, "v1", "")).map(str::to_owned);
    assert_eq!(time("one", Operation::Apply).as_deref(), Some("2026-01-01T00:00:01Z"));
    assert_eq!(time("two", Operation::Update).as_deref(), Some("2026-01-01T00:00:02Z"));
}

#[test]
fn a_list_that_became_atomic_is_owned_whole() {
    let mut story = story("apps/v1", "Deployment");
    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}});
    story.apply("one", selector.clone()).unwrap();
    let old = json!([{"manager": "one", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:nodeSelector": {".": {}, "f:a": {}}}}}}}]);
    story.managed = ManagedFields::decode(&old).unwrap();
    story.update("two", {
        let mut object = story.object.clone().unwrap();
        object["metadata"]["labels"] = json!({"x": "y"});
        object
    });
    assert_eq!(story.fields("one"), r#"{"f:spec":{"f:template":{"f:spec":{"f:nodeSelector":{}}}}}"#);
}

/// Labels, and a list with keys in a list with keys. Empty maps are left out: to write one is to own the whole.
fn configs() -> impl Strategy<Value = Value> {
    let names = || prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4);
    let values = || proptest::collection::vec(prop::sample::select(vec!["1", "2"]), 4);
    (names(), values(), names(), names(), values()).prop_map(|(labels, label_values, containers, env, env_values)| {
        let labels: Map<String, Value> =
            labels.iter().zip(label_values).map(|(name, value)| ((*name).to_owned(), value.into())).collect();
        let env: Vec<Value> =
            env.iter().zip(&env_values).map(|(name, value)| json!({"name": name, "value": value})).collect();
        let containers: Vec<Value> = containers
            .iter()
            .zip(&env_values)
            .map(|(name, image)| json!({"name": name, "image": image, "env": env}))
            .collect();
        without_empty(
            json!({"metadata": {"labels": labels}, "spec": {"template": {"spec": {"containers": containers}}}}),
        )
    })
}

fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name, without_empty(value)));
            Value::Object(members.filter(|(_, value)| *value != json!({}) && *value != json!([])).collect())
        }
        Value::Array(items) => items.into_iter().map(without_empty).collect(),
        other => other,
    }
}

/// Only what belongs to one of two halves: labels and containers of some names.
fn half(config: &Value, names: [&str; 2]) -> Value {
    let mut half = config.clone();
    if let Some(labels) = half.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|name, _| names.contains(&name.as_str()));
    }
    if let Some(containers) = half.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut) {
        containers.retain(|container| names.contains(&container["name"].as_str().unwrap()));
    }
    without_empty(half)
}

/// The same whatever the order of lists is.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(unordered).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), unordered(value))).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn applying_twice_is_applying_once(first in configs(), second in configs(), third in configs()) {
        let mut story = story("apps/v1", "Deployment");
        story.apply("one", first).unwrap();
        story.update("two", second);
        story.force("one", third.clone());
        let (object, managed) = (story.object.clone(), story.managed.clone());
        story.apply("one", third).unwrap();
        prop_assert_eq!(story.object, object);
        prop_assert_eq!(story.managed, managed);
    }

    #[test]
    fn who_has_nothing_in_common_never_meets(steps in proptest::collection::vec((any::<bool>(), configs()), 1..8)) {
        let mut story = story("apps/v1", "Deployment");
        for (left, config) in steps {
            let (manager, names) = if left { ("left", ["a", "b"]) } else { ("right", ["c", "d"]) };
            prop_assert_eq!(story.apply(manager, half(&config, names)), Ok(()));
        }
        let of = |name: &str| story.managed.get(&ManagerId::new(name, Operation::Apply, "", "")).cloned();
        if let (Some(left), Some(right)) = (of("left"), of("right")) {
            prop_assert!(left.fields.intersection(&right.fields).is_empty());
        }
    }

    #[test]
    fn alone_one_gets_what_one_wants(configs in proptest::collection::vec(configs(), 1..5)) {
        let mut story = story("apps/v1", "Deployment");
        for config in &configs {
            story.apply("one", config.clone()).unwrap();
        }
        let mut alone = self::story("apps/v1", "Deployment");
        alone.apply("one", configs.last().unwrap().clone()).unwrap();
        prop_assert_eq!(story.object, alone.object);
    }

    #[test]
    fn an_update_owns_what_it_changed_and_nobody_else_does(first in configs(), second in configs(), third in configs()) {
        let mut story = story("apps/v1", "Deployment");
        story.apply("one", first).unwrap();
        story.force("two", second);
        let old = story.object.clone().unwrap();
        story.update("three", third);
        let place = Place::root(story.versions.set, story.ty);
        let changes = compare(place, &old, story.object.as_ref().unwrap(), Nulls::Implied).unwrap();
        let changed = changes.modified.union(&changes.added);
        for (id, managed) in story.managed.iter() {
            prop_assert!(id.manager == "three" || managed.fields.intersection(&changed).is_empty());
            prop_assert!(managed.fields.intersection(&changes.removed).is_empty());
        }
    }

    #[test]
    fn merging_is_associative_but_for_the_order_of_lists(a in configs(), b in configs(), c in configs()) {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap());
        let merged = |a: &Value, b: &Value| merge(place, a, b).unwrap();
        let left = merged(&merged(&a, &b), &c);
        prop_assert_eq!(unordered(&left), unordered(&merged(&a, &merged(&b, &c))));
        prop_assert_eq!(merged(&left, &c), left);
    }

    #[test]
    fn the_fields_of_a_merge_are_those_of_both(a in configs(), b in configs()) {
        let set = SchemaSet::builtin();
        let place = Place::root(set, set.of_kind(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap());
        let fields = |value: &Value| field_set(place, value).unwrap();
        let both = fields(&a).union(&fields(&b));
        // An empty map is a field only while nothing is in it.
        prop_assert!(fields(&merge(place, &a, &b).unwrap()).is_within(&both));
    }
}
