//! Deletes, of one and of many.

use serde_json::json;

use super::super::peer::PROTOBUF;
use super::super::step::{Content, Request};
use super::Story;

impl Story {
    fn delete_options(&mut self, mut request: Request, seen: Option<String>) -> Request {
        if self.random.percent(10) {
            request = request.query("dryRun", *self.random.pick(&["All", "All", "None"]));
        }
        if self.random.percent(15) {
            let seconds = *self.random.pick(&["0", "0", "1", "5", "-1", "x"]);
            request = request.query("gracePeriodSeconds", seconds);
        }
        if self.random.percent(15) {
            let policies = ["Foreground", "Background", "Orphan", "Foreground", "Sideways"];
            request = request.query("propagationPolicy", *self.random.pick(&policies));
        }
        if self.random.percent(4) {
            request = request.query("orphanDependents", *self.random.pick(&["true", "false"]));
        }
        if !self.random.percent(35) {
            return request;
        }
        let of = seen.unwrap_or_default();
        let (uid, version) = (format!("${{uid:{of}}}"), format!("${{rv:{of}}}"));
        let bodies = [
            json!({}),
            json!({"apiVersion": "v1", "kind": "DeleteOptions"}),
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 2}),
            json!({"preconditions": {"uid": uid}}),
            json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}}),
            json!({"preconditions": {"resourceVersion": version}}),
            json!({"preconditions": {"uid": uid, "resourceVersion": "1"}}),
            json!({"propagationPolicy": "Foreground"}),
            json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
            json!({"gracePeriodSeconds": 0}),
            json!({"gracePeriodSeconds": -5}),
            json!({"dryRun": ["All"]}),
            json!({"dryRun": ["Nothing"]}),
            json!({"apiVersion": "v1", "kind": "Pod"}),
            json!({"unknown": 1}),
            json!({"gracePeriodSeconds": "1"}),
        ];
        let mut body = self.random.pick(&bodies).clone();
        if self.random.percent(80) || body["kind"] == "Pod" {
            return request.json(body);
        }
        // Without a message of it, it is sent as it is.
        body["apiVersion"] = "v1".into();
        body["kind"] = "DeleteOptions".into();
        request.body(PROTOBUF, Content::Json(body))
    }

    pub(super) fn delete(&mut self) {
        let name = self.a_name();
        let seen = self.seen(name);
        let request = Request::new("DELETE", self.kind.path(name));
        let request = self.delete_options(request, seen);
        let request = if self.random.percent(3) {
            request.body("application/json", Content::Text("{\"a\":".into()))
        } else {
            request
        };
        let label = self.send(request);
        self.objects.push((name, label));
    }

    pub(super) fn delete_collection(&mut self) {
        let request = self.selected("DELETE");
        let request = self.delete_options(request, None);
        let request =
            if self.random.percent(15) { request.query("limit", *self.random.pick(&["1", "2"])) } else { request };
        let label = self.send(request);
        self.lists.push(label);
    }
}
