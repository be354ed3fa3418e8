//! Creates and updates.

use serde_json::{Value, json};

use super::super::mutate;
use super::super::peer::PROTOBUF;
use super::super::step::{Content, Request};
use super::changes::own;
use super::patches::yaml;
use super::{Story, WILD};

impl Story {
    pub(super) fn create(&mut self) {
        let name = self.a_name();
        let mut object = self.kind.object(name);
        for _ in 0..self.random.weighted(&[5, 4, 2]) {
            mutate::add(&mut self.random, &mut object, self.kind, WILD);
        }
        if self.kind.review
            && self.random.percent(70)
            && let Value::Object(members) = &mut object
        {
            // They have no names.
            members.remove("metadata");
        } else if self.random.percent(8) {
            object["metadata"]["finalizers"] = json!(["example.com/f"]);
        }
        // Two would be listed in an order that is the servers' choice.
        if !self.generated && !self.kind.review && self.random.percent(8) {
            self.generated = true;
            // Among those of all scenarios, it stands at the same place on both sides.
            object["metadata"]["generateName"] = if self.kind.namespaced { "g-" } else { "${ns}-g-" }.into();
            if let Value::Object(metadata) = &mut object["metadata"] {
                metadata.remove("name");
            }
        }
        let spoiled = if self.random.percent(25) { mutate::spoil(&mut self.random, &mut object) } else { None };
        let unnamed = spoiled.is_none() && is_named_by_server(&object);
        let request = Request::new("POST", self.kind.collection());
        let request = match spoiled {
            Some(text) => request.body("application/json", Content::Text(text)),
            None if self.random.percent(4) => request.body("application/yaml", yaml(&object)),
            None if !self.kind.custom && self.random.percent(8) => request.body(PROTOBUF, Content::Json(object)),
            None => request.json(object),
        };
        let mut request = self.write_options(request);
        if unnamed {
            // It would be listed anywhere among the others.
            request.query.retain(|(name, _)| name != "dryRun");
            request = request.query("dryRun", "All");
        }
        let request = self.accept(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    pub(super) fn update(&mut self) {
        let name = self.a_name();
        let request = Request::new("PUT", self.kind.path(name));
        let request = match (self.seen(name), self.random.below(100)) {
            (Some(of), 0..60) => {
                let changes = self.changes();
                let as_message = !self.kind.custom && self.random.percent(10);
                let content_type = if as_message { PROTOBUF } else { "application/json" };
                request.body(content_type, Content::Edited { of, changes })
            }
            (Some(of), 60..70) => {
                let mut object = self.kind.object(name);
                object["metadata"]["resourceVersion"] = format!("${{rv:{of}}}").into();
                mutate::add(&mut self.random, &mut object, self.kind, WILD);
                request.json(object)
            }
            (_, 70..75) => {
                let mut object = self.kind.object(name);
                let version = *self.random.pick(&["1", "x", "0", "99999999999999999999"]);
                object["metadata"]["resourceVersion"] = version.into();
                request.json(object)
            }
            _ => {
                let mut object = self.kind.object(name);
                mutate::add(&mut self.random, &mut object, self.kind, WILD);
                let spoiled = if self.random.percent(40) { mutate::spoil(&mut self.random, &mut object) } else { None };
                match spoiled {
                    Some(text) => request.body("application/json", Content::Text(text)),
                    None => request.json(object),
                }
            }
        };
        let request = self.write_options(request);
        let label = self.send(request);
        self.objects.push((name, label));
    }

    /// A merge patch that a client makes to what it read.
    pub(super) fn changes(&mut self) -> Value {
        let own = own(&mut self.random, self.kind.kind);
        let number = self.random.below(5);
        let changes = [
            json!({"metadata": {"labels": {"item": "z"}}}),
            json!({"metadata": {"labels": {"n": number.to_string()}}}),
            json!({"metadata": {"annotations": {"n": number.to_string()}}}),
            json!({"metadata": {"resourceVersion": null, "annotations": {"n": "7"}}}),
            json!({}),
            json!({"metadata": {"finalizers": ["example.com/f"]}}),
            json!({"metadata": {"finalizers": null}}),
            json!({"metadata": {"managedFields": null}}),
            json!({"metadata": {"managedFields": []}}),
            json!({"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}}),
            json!({"metadata": {"creationTimestamp": null, "uid": null, "generation": null}}),
            json!({"metadata": {"name": "other"}}),
            json!({"metadata": {"namespace": "other"}}),
            json!({"unknown": 1}),
            own.clone(),
            own.clone(),
            own,
        ];
        self.random.pick(&changes).clone()
    }
}

/// The one kind that gets a whole name of its server, not even with a prefix.
fn is_named_by_server(object: &Value) -> bool {
    let is_empty = |key: &str| matches!(&object["metadata"][key], Value::Null) || object["metadata"][key] == "";
    object["kind"] == "LimitRange" && is_empty("name") && is_empty("generateName")
}
