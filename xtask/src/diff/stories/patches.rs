//! Patches of all types, and apply.

use serde_json::{Value, json};

use super::super::mutate;
use super::super::step::{Content, Request};
use super::{Story, WILD};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

impl Story {
    pub(super) fn patch(&mut self) {
        let name = self.a_name();
        let request = Request::new("PATCH", self.kind.path(name));
        let request = match self.random.weighted(&[5, 5, 6, 1]) {
            0 => {
                let patch = self.json_patch(name);
                request.body(JSON_PATCH, Content::Json(patch))
            }
            1 => {
                let patch = self.partial();
                request.body(MERGE, Content::Json(patch))
            }
            2 => {
                let patch = if self.random.percent(50) { self.partial() } else { self.directives() };
                request.body(STRATEGIC, Content::Json(patch))
            }
            _ => self.odd(request),
        };
        let request = self.write_options(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    fn json_patch(&mut self, name: &str) -> Value {
        let operations = [
            json!({"op": "add", "path": "/metadata/labels/x", "value": "1"}),
            json!({"op": "add", "path": "/metadata/annotations", "value": {"y": "2"}}),
            json!({"op": "add", "path": "/metadata/annotations/y", "value": "3"}),
            json!({"op": "replace", "path": "/metadata/labels/item", "value": "q"}),
            json!({"op": "replace", "path": "/metadata/labels/none", "value": "q"}),
            json!({"op": "remove", "path": "/metadata/labels/item"}),
            json!({"op": "remove", "path": "/metadata/labels/none"}),
            json!({"op": "test", "path": "/metadata/labels/item", "value": name}),
            json!({"op": "test", "path": "/metadata/labels/item", "value": "never"}),
            json!({"op": "test", "path": "/metadata/labels/none", "value": null}),
            json!({"op": "copy", "from": "/metadata/labels/item", "path": "/metadata/labels/copied"}),
            json!({"op": "move", "from": "/metadata/labels/item", "path": "/metadata/labels/moved"}),
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}),
            json!({"op": "replace", "path": "/metadata/name", "value": "other"}),
            json!({"op": "add", "path": "/spec/unknown", "value": 1}),
            json!({"op": "add", "path": "/metadata/finalizers", "value": ["example.com/f"]}),
            json!({"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/g"}),
            json!({"op": "remove", "path": "/metadata/finalizers"}),
            json!({"op": "remove", "path": "/metadata/finalizers/0"}),
            json!({"op": "replace", "path": "", "value": {}}),
            json!({"op": "add", "path": "no-slash", "value": 1}),
            json!({"op": "frob", "path": "/metadata"}),
            json!({"op": "add", "path": "/metadata/labels/a~1b", "value": "1"}),
            json!({"op": "add", "path": "/data/c", "value": "MQ=="}),
            json!({"op": "replace", "path": "/spec/replicas", "value": 3}),
            json!({"op": "replace", "path": "/spec/replicas", "value": "3"}),
            json!({"op": "remove", "path": "/spec"}),
        ];
        let count = 1 + self.random.weighted(&[6, 3, 1]);
        let mut picked: Vec<Value> = (0..count).map(|_| self.random.pick(&operations).clone()).collect();
        if self.kind.kind == "Namespace" {
            // Which finalizer is the first of one that is being deleted differs from run to run.
            picked.retain(|operation| operation["path"] != "/metadata/finalizers/0");
        }
        picked.into()
    }

    /// Something to merge.
    fn partial(&mut self) -> Value {
        if self.random.percent(60) {
            return self.changes();
        }
        let mut object = self.kind.object("a");
        mutate::add(&mut self.random, &mut object, self.kind, WILD);
        if self.random.percent(30) {
            // Duplicate fields are for bodies of objects.
            let _ = mutate::spoil(&mut self.random, &mut object);
        }
        if let Value::Object(members) = &mut object {
            members.remove("metadata");
        }
        object
    }

    fn directives(&mut self) -> Value {
        let lists = [
            json!({"metadata": {"finalizers": ["example.com/h"]}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/f"]}}),
            json!({"metadata": {"$setElementOrder/finalizers": ["example.com/h", "example.com/f"],
                "finalizers": ["example.com/h"]}}),
            json!({"metadata": {"labels": {"$patch": "replace", "item": "z"}}}),
            json!({"metadata": {"labels": {"$patch": "delete"}}}),
            json!({"metadata": {"labels": {"$patch": "frob"}}}),
            json!({"metadata": {"labels": {"$retainKeys": ["item"], "item": "z"}}}),
            json!({"metadata": {"ownerReferences": [{"uid": "u", "apiVersion": "v1", "kind": "Pod", "name": "p"}]}}),
            json!({"metadata": {"ownerReferences": [{"uid": "u", "$patch": "delete"}]}}),
            json!({"metadata": {"ownerReferences": [{"kind": "Pod"}]}}),
            json!({"spec": {"containers": [{"name": "c", "image": "i:9"}, {"name": "d", "image": "i:1"}]}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "i:9"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "$patch": "delete"}]}}}}),
            json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "e"}, {"name": "c"}],
                "containers": [{"name": "e", "image": "i:2"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"image": "i:9"}]}}}}),
            json!({"spec": {"ports": [{"port": 80, "name": "web"}, {"port": 81, "name": "more"}]}}),
            json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}),
            json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 90}]}}),
            json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "i"}]}),
            json!({"subjects": [{"kind": "User", "name": "w", "apiGroup": "rbac.authorization.k8s.io"}]}),
            json!({"data": {"$patch": "replace", "z": "MQ=="}}),
            json!({"data": {"a": null}}),
            json!({"$patch": "delete"}),
            json!({"$patch": "replace", "metadata": {"name": "a"}}),
        ];
        self.random.pick(&lists).clone()
    }

    /// What is no patch.
    fn odd(&mut self, request: Request) -> Request {
        let text = |text: &str| Content::Text(text.to_owned());
        match self.random.below(12) {
            0 => request.body("application/json", Content::Json(json!({}))),
            1 => request.body("text/plain", text("x")),
            2 => request.body(JSON_PATCH, text("{}")),
            3 => request.body(JSON_PATCH, text("[{\"op\":")),
            4 => request.body(MERGE, text("[]")),
            5 => request.body(MERGE, text("null")),
            6 => request.body(STRATEGIC, text("\"x\"")),
            7 => request.body(STRATEGIC, text("")),
            8 => request.body("application/apply-patch+cbor", text("{}")),
            9 => request.body("application/cbor", text("{}")),
            10 => request.body("application/vnd.kubernetes.protobuf", text("{}")),
            _ => request.body(JSON_PATCH, text("[]")),
        }
    }

    pub(super) fn apply(&mut self) {
        let name = self.a_name();
        let mut object = self.kind.object(name);
        if self.random.percent(60) {
            mutate::add(&mut self.random, &mut object, self.kind, WILD / 2);
        }
        if self.random.percent(50) {
            // Another manager has other labels.
            let label = *self.random.pick(&["one", "two"]);
            let value = *self.random.pick(&["1", "2"]);
            object["metadata"]["labels"] = json!({"scenario": "${ns}", label: value});
        }
        if self.random.percent(30)
            && let Value::Object(members) = &mut object
        {
            members.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
        }
        let spoiled = if self.random.percent(10) { mutate::spoil(&mut self.random, &mut object) } else { None };
        let request = Request::new("PATCH", self.kind.path(name));
        let content = match spoiled {
            None if self.random.percent(20) => yaml(&object),
            None => Content::Json(object),
            Some(text) => Content::Text(text),
        };
        let mut request = request.body(APPLY, content);
        if self.random.percent(95) {
            request = request.query("fieldManager", *self.random.pick(&["m1", "m1", "m2", "m3"]));
        }
        if self.random.percent(35) {
            request = request.query("force", *self.random.pick(&["true", "true", "false", "1"]));
        }
        if self.random.percent(10) {
            request = request.query("dryRun", "All");
        }
        if self.random.percent(15) {
            request = request.query("fieldValidation", *self.random.pick(&["Strict", "Warn", "Ignore"]));
        }
        let request = self.agent(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }
}

/// As people write it. What cannot be written so is JSON, which is YAML.
pub(super) fn yaml(object: &Value) -> Content {
    serde_saphyr::to_string(object).map_or_else(|_| Content::Json(object.clone()), Content::Text)
}
