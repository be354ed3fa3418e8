//! Subresources.

use serde_json::{Value, json};

use super::super::mutate;
use super::super::step::{Content, Request};
use super::{Story, WILD};

impl Story {
    pub(super) fn subresource(&mut self) {
        let pod = self.kind.kind == "Pod";
        let account = self.kind.kind == "ServiceAccount";
        let weights = [
            usize::from(self.kind.status) * 6,
            usize::from(self.kind.scale) * 6,
            usize::from(pod) * 8,
            usize::from(account) * 4,
            usize::from(self.kind.kind == "CertificateSigningRequest") * 8,
            usize::from(self.kind.kind == "Namespace") * 4,
            1,
        ];
        match self.random.weighted(&weights) {
            0 => self.status(),
            1 => self.scale(),
            2 => self.pod(),
            3 => self.token(),
            4 => self.approval(),
            5 => self.finalize(),
            _ => self.none_such(),
        }
    }

    fn status(&mut self) {
        let name = self.a_name();
        let path = format!("{}/status", self.kind.path(name));
        let request = match (self.random.below(5), self.seen(name)) {
            (0, _) => Request::new("GET", path),
            (1 | 2, Some(of)) => {
                let changes = self.status_change();
                Request::new("PUT", path).body("application/json", Content::Edited { of, changes })
            }
            (3, _) => {
                let patch = self.status_change();
                let types = ["application/merge-patch+json", "application/strategic-merge-patch+json"];
                let content_type = *self.random.pick(&types);
                Request::new("PATCH", path).body(content_type, Content::Json(patch))
            }
            _ => {
                let mut object = self.kind.object(name);
                object["status"] = self.status_change()["status"].clone();
                Request::new("PATCH", path)
                    .query("fieldManager", "m1")
                    .query("force", "true")
                    .body("application/apply-patch+yaml", Content::Json(object))
            }
        };
        let request = self.write_options(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    fn status_change(&mut self) -> Value {
        let mut object = self.kind.object("a");
        object["status"] = json!({});
        for _ in 0..6 {
            mutate::add(&mut self.random, &mut object, self.kind, WILD);
        }
        let status = object["status"].clone();
        if self.random.percent(30) {
            json!({"status": status, "metadata": {"labels": {"n": "9"}}, "spec": {"replicas": 8}})
        } else {
            json!({"status": status})
        }
    }

    fn scale(&mut self) {
        let name = self.a_name();
        let path = format!("{}/scale", self.kind.path(name));
        let replicas = self.random.pick(&[json!(0), json!(2), json!(5), json!(-1), json!("2"), Value::Null]).clone();
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": name, "namespace": "${ns}"}, "spec": {"replicas": replicas}});
        let patch = json!({"spec": {"replicas": replicas}});
        let request = match self.random.below(6) {
            0 => Request::new("GET", path),
            1 | 2 => Request::new("PUT", path).json(scale),
            3 => Request::new("PATCH", path).body("application/merge-patch+json", Content::Json(patch)),
            4 => {
                let replace = json!([{"op": "replace", "path": "/spec/replicas", "value": replicas}]);
                Request::new("PATCH", path).body("application/json-patch+json", Content::Json(replace))
            }
            _ => Request::new("PATCH", path)
                .query("fieldManager", "m4")
                .query("force", *self.random.pick(&["true", "false"]))
                .body("application/apply-patch+yaml", Content::Json(scale)),
        };
        let request = self.write_options(request);
        self.send(request);
    }

    fn pod(&mut self) {
        let name = self.a_name();
        let path = self.kind.path(name);
        let request = match self.random.below(7) {
            0 | 1 => {
                let targets = [
                    json!({"kind": "Node", "name": "n"}),
                    json!({"name": "m"}),
                    json!({"kind": "Node", "name": ""}),
                    json!({"kind": "Pod", "name": "n"}),
                ];
                let target = self.random.pick(&targets).clone();
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "target": target,
                    "metadata": {"name": name, "annotations": {"bound": "yes"}}});
                Request::new("POST", format!("{path}/binding")).json(binding)
            }
            2 | 3 => {
                let options = [
                    json!({}),
                    json!({"gracePeriodSeconds": 0}),
                    json!({"dryRun": ["All"]}),
                    json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}}),
                ];
                let options = self.random.pick(&options).clone();
                let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
                    "deleteOptions": options});
                Request::new("POST", format!("{path}/eviction")).json(eviction)
            }
            4 => {
                let patch = json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i:1"}]}});
                Request::new("PATCH", format!("{path}/ephemeralcontainers"))
                    .body("application/strategic-merge-patch+json", Content::Json(patch))
            }
            5 => {
                let cpu = *self.random.pick(&["1", "2", "x"]);
                let patch = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
                Request::new("PATCH", format!("{path}/resize"))
                    .body("application/strategic-merge-patch+json", Content::Json(patch))
            }
            _ => Request::new("GET", format!("{path}/{}", self.random.pick(&["ephemeralcontainers", "resize", "log"]))),
        };
        let request = self.write_options(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    fn token(&mut self) {
        let name = self.a_name();
        let specs = [
            json!({}),
            json!({"expirationSeconds": 3600, "audiences": ["x"]}),
            json!({"expirationSeconds": 5}),
            json!({"boundObjectRef": {"kind": "Pod", "name": "none", "apiVersion": "v1"}}),
            json!({"boundObjectRef": {"kind": "Other", "name": "none", "apiVersion": "v1"}}),
        ];
        let spec = self.random.pick(&specs).clone();
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        self.send(Request::new("POST", format!("{}/token", self.kind.path(name))).json(request));
    }

    fn approval(&mut self) {
        let name = self.a_name();
        let path = format!("{}/approval", self.kind.path(name));
        let condition = |kind: &str, status: &str| json!([{"type": kind, "status": status, "reason": "R"}]);
        let conditions = [
            condition("Approved", "True"),
            condition("Denied", "True"),
            condition("Failed", "True"),
            condition("Approved", "False"),
            condition("Other", "True"),
            json!([{"type": "Approved"}]),
            json!([]),
        ];
        let conditions = self.random.pick(&conditions).clone();
        let changes = json!({"status": {"conditions": conditions, "certificate": null}, "spec": {"username": "x"}});
        self.change_below(name, path, changes);
    }

    fn finalize(&mut self) {
        let name = self.a_name();
        let path = format!("{}/finalize", self.kind.path(name));
        let lists = [json!(["kubernetes"]), json!(["kubernetes", "example.com/f"]), json!(["bad"]), json!(["a b/c"])];
        let changes = json!({"spec": {"finalizers": self.random.pick(&lists)}, "metadata": {"labels": {"n": "8"}}});
        self.change_below(name, path, changes);
    }

    /// Reads what is below an object, or changes it in one of the ways there are.
    fn change_below(&mut self, name: &'static str, path: String, changes: Value) {
        let request = match (self.random.below(4), self.seen(name)) {
            (0, _) => Request::new("GET", path),
            (1, _) => Request::new("PATCH", path).body("application/merge-patch+json", Content::Json(changes)),
            (_, Some(of)) => Request::new("PUT", path).body("application/json", Content::Edited { of, changes }),
            _ => Request::new("PUT", path).json(self.kind.object(name)),
        };
        let request = self.write_options(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    /// A path that is not there, or a verb that it does not have.
    fn none_such(&mut self) {
        let name = self.a_name();
        let (path, collection) = (self.kind.path(name), self.kind.collection());
        let object = self.kind.object(name);
        let request = match self.random.below(7) {
            0 => Request::new("GET", format!("{path}/unknown")),
            1 => Request::new("POST", path).json(object),
            2 => Request::new("PUT", collection).json(object),
            3 => Request::new("PATCH", collection).body("application/merge-patch+json", Content::Json(json!({}))),
            4 => Request::new("DELETE", format!("{path}/status")),
            5 => Request::new("GET", format!("{path}/status/more")),
            _ => Request::new("POST", format!("{path}/status")).json(object),
        };
        self.send(request);
    }
}
