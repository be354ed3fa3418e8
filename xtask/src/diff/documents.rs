//! OpenAPI documents, without what may differ between two servers that say the same: sentences, versions, the order of sets, and what
//! is said once for many.

use serde_json::{Map, Value};

/// Whether the answers at a path are such documents.
pub fn are_at(path: &str) -> bool {
    path.starts_with("/openapi/")
}

pub fn normal(document: &Value) -> Value {
    let mut plain = Document { root: document }.plain("", document);
    if let Some(members) = plain.as_object_mut() {
        // Of v2: they stand where they are used now.
        members.remove("parameters");
        if let Some(info) = members.get_mut("info").and_then(Value::as_object_mut) {
            info.remove("version");
        }
    }
    plain
}

struct Document<'d> {
    root: &'d Value,
}

impl Document<'_> {
    fn plain(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(members) => self.object(members),
            Value::Array(elements) => {
                let mut elements: Vec<Value> = elements.iter().map(|element| self.plain("", element)).collect();
                match key {
                    "required" | "consumes" | "produces" => elements.sort_by_key(Value::to_string),
                    "parameters" => elements.sort_by_key(|own| (own["name"].to_string(), own["in"].to_string())),
                    _ => {}
                }
                elements.into()
            }
            // The hash of a document says nothing of what is in it.
            Value::String(url) if key == "serverRelativeURL" => url.split('?').next().into(),
            other => other.clone(),
        }
    }

    fn object(&self, members: &Map<String, Value>) -> Value {
        let reference = members.get("$ref").and_then(Value::as_str).filter(|_| members.len() == 1);
        if let Some(shared) = reference.and_then(|name| name.strip_prefix("#/parameters/")) {
            return self.plain("", &self.root["parameters"][shared]);
        }
        // Wrapped, so that a sentence may stand beside it, and without one.
        if let (1, Some([only])) =
            (described(members), members.get("allOf").and_then(Value::as_array).map(Vec::as_slice))
        {
            return self.plain("", only);
        }
        let of_every_group = |name: &str| name.ends_with(".v1.DeleteOptions") || name.ends_with(".v1.WatchEvent");
        let kept = members.iter().filter(|(key, value)| *key != "description" || !value.is_string());
        kept.map(|(key, value)| {
            let mut value = self.plain(key, value);
            // Which groups a server knows at all.
            if let Some(definition) = value.as_object_mut().filter(|_| of_every_group(key)) {
                definition.remove("x-kubernetes-group-version-kind");
            }
            (key.clone(), value)
        })
        .collect()
    }
}

/// How many members there are beside a sentence.
fn described(members: &Map<String, Value>) -> usize {
    members.keys().filter(|key| *key != "description").count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_says_the_same_is_equal() {
        let table = [
            (json!({"a": {"description": "x", "type": "string"}}), json!({"a": {"type": "string"}})),
            (
                json!({"properties": {"description": {"type": "x"}}}),
                json!({"properties": {"description": {"type": "x"}}}),
            ),
            (json!({"required": ["b", "a"]}), json!({"required": ["a", "b"]})),
            (json!({"enum": ["b", "a"]}), json!({"enum": ["b", "a"]})),
            (json!({"allOf": [{"$ref": "#/x"}], "description": "y"}), json!({"$ref": "#/x"})),
            (json!({"allOf": [{"$ref": "#/x"}], "default": {}}), json!({"allOf": [{"$ref": "#/x"}], "default": {}})),
            (
                json!({"parameters": {"p-1": {"name": "p", "in": "query"}}, "x": {"parameters": [{"$ref": "#/parameters/p-1"}]}}),
                json!({"x": {"parameters": [{"name": "p", "in": "query"}]}}),
            ),
            (json!({"serverRelativeURL": "/openapi/v3/api?hash=1"}), json!({"serverRelativeURL": "/openapi/v3/api"})),
            (json!({"info": {"title": "t", "version": "1"}}), json!({"info": {"title": "t"}})),
        ];
        for (document, expected) in table {
            assert_eq!(normal(&document), expected);
        }
    }
}
