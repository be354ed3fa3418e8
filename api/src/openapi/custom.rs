//! Definitions of kinds that are not built in: the CRD's schema, with what every object has (`apiextensions-apiserver`'s
//! `controller/openapi/builder` and `.../v2`).

use serde_json::{Map, Value, json};

use super::definition::{Dialect, group_version_kind};
use super::reach::{LIST_META, OBJECT_META};
use crate::gvk::GroupVersionKind;

const PRESERVES: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
/// Of the kind and its list.
const SELECTABLE: &str = "x-kubernetes-selectable-fields";

impl Dialect {
    /// The list of a kind with this schema.
    pub(super) fn custom_list(self, kind: &GroupVersionKind, element: &str, schema: &Value) -> Value {
        let string = json!({"type": "string"});
        let mut list = json!({
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": string,
                "kind": string,
                "metadata": self.described(LIST_META),
                "items": {"type": "array", "items": self.reference(element)},
            },
            "x-kubernetes-group-version-kind": [group_version_kind(kind)],
        });
        if let Some(fields) = schema.get(SELECTABLE) {
            list[SELECTABLE] = fields.clone();
        }
        list
    }

    pub(super) fn custom(self, kind: &GroupVersionKind, schema: &Value) -> Value {
        let mut definition = if schema.is_object() { schema.clone() } else { json!({}) };
        let preserves = says(&definition, PRESERVES);
        if self == Self::V2 {
            simplify(&mut definition);
        }
        self.complete(&mut definition);
        definition["type"] = "object".into();
        if self == Self::V2 && preserves {
            // kubectl would take the members that are named for all there are.
            let fields = definition.get(SELECTABLE).cloned();
            definition = json!({"type": "object"});
            if let Some(fields) = fields {
                definition[SELECTABLE] = fields;
            }
        } else {
            self.add_members(&mut definition);
        }
        definition["x-kubernetes-group-version-kind"] = json!([group_version_kind(kind)]);
        definition
    }

    /// Says of what is inside what goes without saying: the members of embedded objects, and what a number or text is.
    fn complete(self, schema: &mut Value) {
        let Some(members) = schema.as_object_mut() else { return };
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = members.get_mut(key) {
                self.complete(inner);
            }
        }
        if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
            properties.values_mut().for_each(|property| self.complete(property));
        }
        if self == Self::V3 && says(schema, "x-kubernetes-int-or-string") && schema.get("anyOf").is_none() {
            schema["anyOf"] = json!([{"type": "integer"}, {"type": "string"}]);
        }
        if says(schema, EMBEDDED) && !(self == Self::V2 && says(schema, PRESERVES)) {
            self.add_members(schema);
            let mut required = schema["required"].as_array().cloned().unwrap_or_default();
            for name in ["kind", "apiVersion"] {
                if !required.iter().any(|own| own == name) {
                    required.push(name.into());
                }
            }
            schema["required"] = required.into();
        }
    }

    fn add_members(self, schema: &mut Value) {
        let string = json!({"type": "string"});
        for (name, property) in
            [("apiVersion", string.clone()), ("kind", string), ("metadata", self.described(OBJECT_META))]
        {
            schema["properties"][name] = property;
        }
    }

    /// A reference beside which a description may stand.
    fn described(self, name: &str) -> Value {
        match self {
            Self::V2 => self.reference(name),
            Self::V3 => json!({"allOf": [self.reference(name)]}),
        }
    }
}

fn says(schema: &Value, extension: &str) -> bool {
    schema.get(extension) == Some(&Value::Bool(true))
}

/// Makes a v3 schema one that v2 can say: what v2 does not know goes, and what kubectl would misread too. Clients then accept more than
/// the server will.
fn simplify(schema: &mut Value) {
    let nullable = |schema: &Value| says(schema, "nullable");
    let Some(members) = schema.as_object_mut() else { return };
    for unknown in ["oneOf", "anyOf", "allOf", "not", "default"] {
        members.remove(unknown);
    }
    let preserves = members.get(PRESERVES) == Some(&Value::Bool(true));
    let of_any_type = members.remove("nullable") == Some(Value::Bool(true));
    if of_any_type || preserves {
        members.remove("items");
        members.remove("properties");
    }
    let has_type = |members: &Map<String, Value>, wanted: &str| members.get("type").is_some_and(|own| own == wanted);
    let unknown_elements = has_type(members, "array") && !members.contains_key("items");
    let int_or_string = members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    if of_any_type || unknown_elements || int_or_string || (preserves && has_type(members, "object")) {
        members.remove("type");
    }
    let properties = members.get("properties").and_then(Value::as_object);
    let optional: Vec<String> =
        properties.into_iter().flatten().filter(|(_, own)| nullable(own)).map(|(name, _)| name.clone()).collect();
    let any_values = members.get("additionalProperties").is_some_and(nullable);
    if let Some(required) = members.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !any_values && !optional.iter().any(|own| name == own.as_str()));
        if required.is_empty() {
            members.remove("required");
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(key) {
            simplify(inner);
        }
    }
    if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(simplify);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(dialect: Dialect, property: &Value) -> Value {
        let schema = json!({"type": "object", "required": ["p"], "properties": {"p": property}});
        let kind = GroupVersionKind::new("example.com", "v1", "Widget");
        dialect.custom(&kind, &schema)
    }

    #[test]
    fn what_v2_cannot_say_goes() {
        let any = json!({PRESERVES: true});
        let table = [
            (json!({"type": "string", "nullable": true, "enum": ["a"], "default": "a"}), json!({"enum": ["a"]}), false),
            (json!({"type": "object", PRESERVES: true, "properties": {"a": {}}}), any, true),
            (json!({"type": "array", PRESERVES: true, "items": {}}), json!({PRESERVES: true}), true),
            (json!({"type": "integer", "not": {}, "maximum": 3}), json!({"type": "integer", "maximum": 3}), true),
            (
                json!({"type": "object", "additionalProperties": {"type": "string", "nullable": true}, "required": ["a"]}),
                json!({"type": "object", "additionalProperties": {}}),
                true,
            ),
        ];
        for (property, expected, required) in table {
            let found = definition(Dialect::V2, &property);
            assert_eq!(found["properties"]["p"], expected, "{property}");
            assert_eq!(found.get("required").is_some(), required, "{property}");
        }
    }

    #[test]
    fn embedded_objects_have_what_every_object_has() {
        let found = definition(Dialect::V3, &json!({"type": "object", EMBEDDED: true}));
        let embedded = &found["properties"]["p"];
        assert_eq!(embedded["required"], json!(["kind", "apiVersion"]));
        let meta = json!({"allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}]});
        assert_eq!((&embedded["properties"]["metadata"], &found["properties"]["metadata"]), (&meta, &meta));
        let open = definition(Dialect::V2, &json!({"type": "object", EMBEDDED: true, PRESERVES: true}));
        assert_eq!(open["properties"]["p"], json!({EMBEDDED: true, PRESERVES: true}));
        let number = definition(Dialect::V3, &json!({"x-kubernetes-int-or-string": true}));
        assert_eq!(number["properties"]["p"]["anyOf"], json!([{"type": "integer"}, {"type": "string"}]));
    }

    #[test]
    fn a_list_can_be_selected_by_the_fields_of_its_kind() {
        let fields = json!([{"fieldPath": "spec.a"}]);
        let kind = GroupVersionKind::new("example.com", "v1", "WidgetList");
        let list = Dialect::V3.custom_list(&kind, "com.example.v1.Widget", &json!({SELECTABLE: fields}));
        assert_eq!(list[SELECTABLE], fields);
    }
}
