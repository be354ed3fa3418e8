//! Removes what a schema does not know (`schema/pruning`).

use serde_json::{Map, Value};

use super::Structural;

/// What every object has, so that schemas need not say it.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes a whole custom resource. Answers with the paths of what was removed, sorted: `spec.a[0].b`.
pub fn prune(object: &mut Value, schema: &Structural) -> Vec<String> {
    let mut walk = Walk::default();
    walk.value(object, Some(schema), true);
    walk.removed.sort();
    walk.removed
}

#[derive(Default)]
struct Walk {
    path: String,
    removed: Vec<String>,
}

impl Walk {
    fn value(&mut self, value: &mut Value, schema: Option<&Structural>, root: bool) {
        if let Some(schema) = schema.filter(|schema| schema.preserve_unknown) {
            return self.kept(value, schema, root);
        }
        match value {
            Value::Object(members) => self.members(members, schema, root),
            Value::Array(items) => {
                let schema = schema.and_then(|schema| schema.items.as_deref());
                self.items(items, |walk, item| walk.value(item, schema, false));
            }
            _ => {}
        }
    }

    fn members(&mut self, members: &mut Map<String, Value>, schema: Option<&Structural>, root: bool) {
        let embedded = schema.is_some_and(|schema| root || schema.embedded);
        members.retain(|name, value| {
            if embedded && META.contains(&name.as_str()) {
                return true;
            }
            let known = schema.filter(|schema| schema.properties.contains_key(name) || schema.additional.is_some());
            let at = self.path.len();
            self.push(name);
            match known {
                Some(schema) => self.value(value, schema.member(name), false),
                None => self.removed.push(self.path.clone()),
            }
            self.path.truncate(at);
            known.is_some()
        });
    }

    /// Unknown members stay; what is known is pruned inside.
    fn kept(&mut self, value: &mut Value, schema: &Structural, root: bool) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let is_meta = (root || schema.embedded) && META.contains(&name.as_str());
                    if is_meta || (!schema.properties.contains_key(name) && schema.additional.is_none()) {
                        continue;
                    }
                    let at = self.path.len();
                    self.push(name);
                    self.value(value, schema.member(name), false);
                    self.path.truncate(at);
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.items.as_deref() {
                    self.items(items, |walk, item| walk.kept(item, schema, false));
                }
            }
            _ => {}
        }
    }

    fn items(&mut self, items: &mut [Value], mut each: impl FnMut(&mut Self, &mut Value)) {
        for (index, item) in items.iter_mut().enumerate() {
            let at = self.path.len();
            self.path += &format!("[{index}]");
            each(self, item);
            self.path.truncate(at);
        }
    }

    fn push(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }
}

/// Removes nulls where no null may stand and no default takes its place.
pub fn prune_nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Object(members) => members.retain(|name, value| {
            let schema = schema.and_then(|schema| schema.member(name));
            let goes = value.is_null() && schema.is_some_and(|schema| !schema.nullable && schema.default.is_none());
            if !goes {
                prune_nulls(value, schema);
            }
            !goes
        }),
        Value::Array(items) => {
            let schema = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().for_each(|item| prune_nulls(item, schema));
        }
        _ => {}
    }
}

/// As [`prune`], of a value that is no whole object.
pub fn prune_nested(value: &mut Value, schema: &Structural) {
    Walk::default().value(value, Some(schema), false);
}
